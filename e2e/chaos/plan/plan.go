// Package plan draws the faults of a run from a seed: the same seed and numbers give the same kinds of faults on the
// same targets at the same offsets.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A Kind is what is done to its target.
type Kind string

// The kinds of faults.
const (
	Kill            Kind = "kill -9"            // a process is killed, and started again after For
	Freeze          Kind = "SIGSTOP"            // a process is stopped, and goes on after For
	Cut             Kind = "TCP cut"            // all connections of a process to one server are reset
	Hole            Kind = "TCP black hole"     // nothing passes between a process and one server for For, and nobody is told
	RedisRestart    Kind = "Redis restart"      // ended in good order, and started again
	RedisWipe       Kind = "Redis wiped"        // killed, its files deleted, and started again empty
	PostgresRestart Kind = "PostgreSQL restart" // a fast shutdown, and started again
	PostgresCrash   Kind = "PostgreSQL crash"   // the server and all its processes are killed, and started again
	PostgresStop    Kind = "PostgreSQL stop"    // a fast shutdown, and started again after For
	DiskFull        Kind = "disk full"          // nothing is left on PostgreSQL's file system for For
)

// The servers that processes are linked to.
const (
	Postgres = "postgres"
	Redis    = "redis"
)

// A Fault is one thing that goes wrong.
type Fault struct {
	Number int           `json:"number"` // from 1
	At     time.Duration `json:"at"`     // from the start of the run
	Kind   Kind          `json:"kind"`
	Target string        `json:"target"`           // a process, or the server itself
	Server string        `json:"server,omitempty"` // of Cut and Hole: the other end of the link
	For    time.Duration `json:"for,omitempty"`
}

// String says what the fault is in one line.
func (f Fault) String() string {
	text := fmt.Sprintf("%3d %7.1fs %-18s %s", f.Number, f.At.Seconds(), f.Kind, f.Target)
	if f.Server != "" {
		text += " to " + f.Server
	}
	if f.For > 0 {
		text += fmt.Sprintf(" for %.1fs", f.For.Seconds())
	}
	return text
}

// deck is what twenty faults in a row are: every kind is among them.
func deck() []Kind {
	return []Kind{
		Kill, Kill, Kill, Kill, Freeze, Freeze, Freeze, Cut, Cut, Cut, Hole, Hole, Hole,
		RedisRestart, RedisWipe, RedisWipe, PostgresRestart, PostgresCrash, PostgresStop, DiskFull,
	}
}

const (
	twoIn  = 4  // one fault in so many begins together with the one before
	restIn = 10 // after so many faults comes a rest, so that what they leave behind can be seen to end
	rest   = 3  // gaps
)

// Options say what to draw.
type Options struct {
	Seed      uint64
	Faults    int
	Processes []string      // that faults are done to
	Gap       time.Duration // from the beginning of a fault to that of the next: once to twice this long; at least a millisecond
}

// Draw returns the faults. They are in the order of their beginnings, and no target has two at once.
func Draw(o Options) []Fault {
	dice := rand.New(rand.NewPCG(o.Seed, 0x726f6c6c63616c6c)) //nolint:gosec // reproducible on purpose
	busy := map[string]time.Duration{}                        // until when a target has a fault
	faults := make([]Fault, 0, o.Faults)
	var hand []Kind
	at := o.Gap
	for number := 1; number <= o.Faults; number++ {
		if len(hand) == 0 {
			hand = deck()
			dice.Shuffle(len(hand), func(i, j int) { hand[i], hand[j] = hand[j], hand[i] })
		}
		f := Fault{Number: number, Kind: hand[0]}
		hand = hand[1:]
		if number > 1 && dice.IntN(twoIn) > 0 {
			at += o.Gap + span(dice, o.Gap)
		}
		if number > 1 && number%restIn == 1 {
			at += rest * o.Gap
		}
		f.aim(dice, o.Processes)
		at = max(at, busy[f.place()])
		f.At = at
		busy[f.place()] = at + f.For + settle(f.Kind)
		faults = append(faults, f)
	}
	return faults
}

// aim chooses target and length of the fault.
func (f *Fault) aim(dice *rand.Rand, processes []string) {
	switch f.Kind {
	case Kill:
		f.Target, f.For = pick(dice, processes), span(dice, 3*time.Second)
	case Freeze:
		f.Target, f.For = pick(dice, processes), time.Second+span(dice, 14*time.Second)
	case Cut:
		f.Target, f.Server = pick(dice, processes), pick(dice, []string{Postgres, Redis})
	case Hole:
		f.Target, f.Server = pick(dice, processes), pick(dice, []string{Postgres, Redis})
		f.For = time.Second + span(dice, 11*time.Second)
	case RedisRestart, RedisWipe:
		f.Target = Redis
	case PostgresStop:
		f.Target, f.For = Postgres, 2*time.Second+span(dice, 6*time.Second)
	case DiskFull:
		f.Target, f.For = Postgres, 2*time.Second+span(dice, 4*time.Second)
	case PostgresRestart, PostgresCrash:
		f.Target = Postgres
	}
}

// place is what no other fault may be done to meanwhile.
func (f *Fault) place() string {
	if f.Server != "" {
		return f.Target + " to " + f.Server
	}
	return f.Target
}

// settle is how long a target is left alone after a fault, so that it has come back.
func settle(k Kind) time.Duration {
	switch k {
	case RedisRestart, RedisWipe:
		return 4 * time.Second
	case PostgresRestart, PostgresCrash, PostgresStop, DiskFull:
		return 8 * time.Second
	case Kill:
		return 3 * time.Second
	default:
		return time.Second
	}
}

func span(dice *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(dice.Int64N(int64(d/time.Millisecond))) * time.Millisecond
}

func pick(dice *rand.Rand, choices []string) string { return choices[dice.IntN(len(choices))] }

// Kinds returns all kinds, in the order in which they are reported.
func Kinds() []Kind {
	return slices.Compact(deck())
}
