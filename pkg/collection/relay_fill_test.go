package collection_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestWhoGetsHowMuch(t *testing.T) {
	t.Parallel()
	const beyond = collection.Beyond
	tests := []struct {
		name             string
		room             int
		held, most, want []int
	}{
		{"nobody is there", 5, nil, nil, nil},
		{"there is no room", 0, []int{0, 0}, []int{beyond, beyond}, []int{0, 0}},
		{"a window is too full already", -3, []int{0, 0}, []int{beyond, beyond}, []int{0, 0}},
		{"one alone gets everything", 5, []int{7}, []int{beyond}, []int{5}},
		{"equals get equal shares", 6, []int{1, 1, 1}, []int{beyond, beyond, beyond}, []int{2, 2, 2}},
		{"what cannot be divided goes to the first ones", 5, []int{0, 0, 0}, []int{beyond, beyond, beyond}, []int{2, 2, 1}},
		{"who holds all slots waits until the other one has as many", 50, []int{250, 0}, []int{beyond, beyond}, []int{0, 50}},
		{"then both go on", 50, []int{120, 100}, []int{beyond, beyond}, []int{15, 35}},
		{"who may have no more leaves the rest to others", 10, []int{0, 0}, []int{2, beyond}, []int{2, 8}},
		{"all may have no more", 10, []int{0, 3}, []int{2, 1}, []int{2, 1}},
		{"one who may have none gets none", 3, []int{0, 9}, []int{0, beyond}, []int{0, 3}},
	}
	for _, tt := range tests {
		if got := collection.Fill(tt.room, tt.held, tt.most); !slices.Equal(got, tt.want) {
			t.Errorf("%s: Fill(%d, %v, %v) = %v, want %v", tt.name, tt.room, tt.held, tt.most, got, tt.want)
		}
	}
}

// TestNobodyGetsMoreThanWhoHasLess holds what fair means: whoever got something could not have left it to one who has less
// and may have more, and no room is left that anybody may have.
func TestNobodyGetsMoreThanWhoHasLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "parties")
		room := rapid.IntRange(-5, 300).Draw(t, "room")
		held := rapid.SliceOfN(rapid.IntRange(0, 100), n, n).Draw(t, "held")
		most := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 60), rapid.Just(collection.Beyond)), n, n).Draw(t, "most")
		given := collection.Fill(room, held, most)
		sum, left := 0, false
		for i := range given {
			sum += given[i]
			left = left || given[i] < most[i]
			if given[i] < 0 || given[i] > most[i] {
				t.Fatalf("%d gets %d, and may have %d", i, given[i], most[i])
			}
			for j := range given {
				if given[i] > 0 && given[j] < most[j] && held[i]+given[i] > held[j]+given[j]+1 {
					t.Fatalf("%d has %d then, and %d has %d and might have more", i, held[i]+given[i], j, held[j]+given[j])
				}
			}
		}
		if sum > max(0, room) || sum < room && left {
			t.Fatalf("%d of %d are given away; somebody may have more: %v", sum, room, left)
		}
	})
}

func TestHowManyMessagesMayWait(t *testing.T) {
	t.Parallel()
	const interactive, normal, bulk = fleet.PriorityInteractive, fleet.PriorityNormal, fleet.PriorityBulk
	tests := []struct {
		name           string
		lane           fleet.Priority
		slots, running int
		want           int
	}{
		{"without workers some wait, for people to see", bulk, 0, 0, 16},
		{"without workers what is interactive waits alike", interactive, 0, 0, 16},
		{"free slots and a margin", normal, 200, 0, 250},
		{"taken slots are no room", bulk, 200, 150, 100},
		{"no slot is free", bulk, 200, 200, 50},
		{"more is running than there are slots", bulk, 100, 200, 25},
		{"a small worker has a margin, too", normal, 4, 4, 16},
		{"what is interactive does not wait for others' slots", interactive, 200, 200, 250},
	}
	for _, tt := range tests {
		if got := collection.Window(tt.lane, tt.slots, tt.running); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestHowLongARelayPauses(t *testing.T) {
	t.Parallel()
	const every = collection.RelayEvery
	tests := []struct {
		name     string
		n        int
		pressure float64
		since    time.Duration
		want     time.Duration
	}{
		{"nothing was rung for", 0, 0, every, every},
		{"little was used up", 20, 0.8, every, every},
		{"twice as much was used up as should be", 80, 2, every, every / 2},
		{"that much within a moment", 80, 2, every / 5, every / 10},
		{"all of it was used up, and much more", 400, 50, every, every / 10},
		{"the round before is long ago", 80, 2, time.Hour, every / 2},
		{"a round could not ring for more", collection.RelayBatch, 0, every, 0},
	}
	for _, tt := range tests {
		if got := collection.PauseAfter(tt.n, tt.pressure, tt.since); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
