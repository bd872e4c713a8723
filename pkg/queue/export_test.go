package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Slots returns the slots of each server, those with reserved ones first.
func Slots(slots, sites int, trip time.Duration) []int {
	var all []int
	for _, s := range shares(slots, sites, trip) {
		all = append(all, s.slots)
	}
	return all
}

// RoundTrip measures how long Redis takes to answer.
func RoundTrip(ctx context.Context, client redis.UniversalClient) time.Duration {
	return roundTrip(ctx, client)
}
