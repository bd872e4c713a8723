package simulate

import (
	"fmt"
	"math"
	"testing"
)

func TestTheShareOfHostsThatDrift(t *testing.T) {
	t.Parallel()
	const hosts, sweeps = 2000, 50
	for _, share := range []float64{0, 0.001, 0.01, 0.2, 0.5, 1} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			total := 0
			for sweep := int64(2); sweep <= sweeps+1; sweep++ {
				drifting := 0
				for number := range hosts {
					d := newDrift(Options{Seed: 1, Drift: share, DriftFacts: 3}, number)
					switch d.count(sweep) - d.count(sweep-1) {
					case 0:
					case 3:
						drifting++
					default:
						t.Fatalf("host %d changes %d facts at execution %d, want none or 3", number, d.count(sweep)-d.count(sweep-1), sweep)
					}
				}
				// Five standard deviations of that many throws of a coin.
				if want, room := share*hosts, 5*math.Sqrt(hosts*share*(1-share)); math.Abs(float64(drifting)-want) > room {
					t.Errorf("%d of %d hosts drift at execution %d, want %.0f within %.0f", drifting, hosts, sweep, want, room)
				}
				total += drifting
			}
			if want := share * hosts * sweeps; math.Abs(float64(total)-want) > want/20 {
				t.Errorf("%d drifts in all, want %.0f within a twentieth", total, want)
			}
		})
	}
}

func TestFactsTakeTurns(t *testing.T) {
	t.Parallel()
	for number := range 20 {
		d := newDrift(Options{Drift: 0.3, DriftFacts: number % 17}, number)
		times := make([]int64, d.facts)
		for count := range int64(100) {
			for fact, want := range times {
				if got := d.times(int64(fact), count); got != want {
					t.Fatalf("host %d: fact %d has changed %d times after %d changes, want %d", number, fact, got, count, want)
				}
			}
			fact, before := d.change(count)
			if before != times[fact] {
				t.Fatalf("host %d: change %d finds %d changes of fact %d, want %d", number, count, before, fact, times[fact])
			}
			times[fact]++
		}
	}
}

// A test holds 10,000 hosts of 30 sweeps against the feed: that must not cost more than reading the feed.
func BenchmarkPlantedOfAFleet(b *testing.B) {
	o := Options{Hosts: 10_000, Drift: 0.01}
	hosts := make([]*host, o.Hosts)
	for number := range hosts {
		hosts[number] = &host{number: number, random: derive(o.Seed, "facts", number), drift: newDrift(o, number)}
	}
	b.ReportAllocs()
	for b.Loop() {
		found := 0
		for _, h := range hosts {
			found += len(h.planted(30))
		}
		if found == 0 {
			b.Fatal("nothing was planted")
		}
	}
}
