package queue

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	minServers = 2
	maxServers = 16 // each holds a subscription to Redis and a handful of timers
	// A task holds its slot that long even on the fastest host, so slots take no more tasks a second than this allows.
	shortestTask = 50 * time.Millisecond
	fetchRate    = 2000                 // tasks a second that one process is to fetch at most
	assumedTrip  = 2 * time.Millisecond // to a Redis that did not answer when it was asked how far it is
	tripSamples  = 5
)

// A share is what one server has of the slots, and how often it looks into which lane first.
type share struct {
	slots   int
	weights map[fleet.Priority]int
}

// shares divides the slots among servers. Interactive tasks have a tenth of the slots to themselves, because weights do
// not help while long sessions hold every slot. From 20 slots on another tenth is for interactive and normal ones, so
// that slow bulk work does not hold up what is normal. The rest is for everybody, in as many servers as it takes to
// fetch what the slots can work at that distance from Redis.
func shares(slots, sites int, trip time.Duration) []share {
	var all []share
	rest := slots
	reserve := func(n int, weights map[fleet.Priority]int) {
		all = append(all, share{n, weights})
		rest -= n
	}
	if slots > 1 {
		reserve(max(1, slots/10), map[fleet.Priority]int{fleet.PriorityInteractive: 1})
	}
	if slots >= 20 {
		reserve(slots/10, map[fleet.Priority]int{fleet.PriorityInteractive: 6, fleet.PriorityNormal: 3})
	}
	servers := min(max(minServers, serversFor(slots, sites, trip)), maxServers-len(all), rest)
	for i := range servers {
		all = append(all, share{(rest + i) / servers, map[fleet.Priority]int{
			fleet.PriorityInteractive: 6, fleet.PriorityNormal: 3, fleet.PriorityBulk: 1,
		}})
	}
	return all
}

// serversFor returns how many servers fetch as fast as the slots can work. One server does one thing at a time: it asks
// Redis for a task of one queue, and if that has none, of the next.
func serversFor(slots, sites int, trip time.Duration) int {
	rate := min(int64(slots)*int64(time.Second/shortestTask), fetchRate)
	busy := rate * int64(max(1, sites)*len(fleet.Priorities())) * int64(trip) // of the fetching within a second, in nanoseconds
	return int((busy + int64(time.Second) - 1) / int64(time.Second))
}

// roundTrip measures how long Redis takes to answer: the median of a few times.
func roundTrip(ctx context.Context, client redis.UniversalClient) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	trips := make([]time.Duration, 0, tripSamples)
	for range tripSamples {
		began := time.Now()
		if client.Ping(ctx).Err() == nil {
			trips = append(trips, time.Since(began))
		}
	}
	if len(trips) == 0 {
		return assumedTrip
	}
	slices.Sort(trips)
	return trips[len(trips)/2]
}
