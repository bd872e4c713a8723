package simulate

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Shares say which shares of the hosts misbehave in which way, each from 0 to 1 and all together at most 1. No host
// misbehaves in two ways. A share is rounded to whole hosts, but is one host at least. Which hosts these are follows
// from the seed and the number of hosts.
type Shares struct {
	Dead             float64 // FaultDead
	Mute             float64 // FaultMute
	Hang             float64 // FaultHang
	ResetAtAccept    float64 // FaultResetAtAccept
	ResetInHandshake float64 // FaultResetInHandshake
	ResetInAnswer    float64 // FaultResetInAnswer
	Drip             float64 // FaultDrip
	Endless          float64 // FaultEndless
	Auth             float64 // FaultAuth
	Noise            float64 // Behaviour.Noise
	WrongKey         float64 // Behaviour.NextKeyAfter is 1: another key than the one that was seen at first
}

// A share is one of the Shares and what it does to a host.
type share struct {
	field string
	of    float64
	apply func(*Behaviour)
}

func (s Shares) list() []share {
	fault := func(f Fault) func(*Behaviour) { return func(b *Behaviour) { b.Fault = f } }
	return []share{
		{"dead", s.Dead, fault(FaultDead)},
		{"mute", s.Mute, fault(FaultMute)},
		{"hang", s.Hang, fault(FaultHang)},
		{"reset_at_accept", s.ResetAtAccept, fault(FaultResetAtAccept)},
		{"reset_in_handshake", s.ResetInHandshake, fault(FaultResetInHandshake)},
		{"reset_in_answer", s.ResetInAnswer, fault(FaultResetInAnswer)},
		{"drip", s.Drip, fault(FaultDrip)},
		{"endless", s.Endless, fault(FaultEndless)},
		{"auth", s.Auth, fault(FaultAuth)},
		{"noise", s.Noise, func(b *Behaviour) { b.Noise = true }},
		{"wrong_key", s.WrongKey, func(b *Behaviour) { b.NextKeyAfter = 1 }},
	}
}

func (s Shares) check() error {
	total := 0.0
	for _, share := range s.list() {
		if !(share.of >= 0 && share.of <= 1) { // also what is not a number
			return fleet.InvalidField(share.field, "must be from 0 to 1")
		}
		total += share.of
	}
	if total > 1+1e-9 { // thirds, say, do not add up exactly
		return fleet.InvalidField("shares", "must not be more than all hosts together")
	}
	return nil
}

// behaviours returns how each host behaves before Options.Behave has its say.
func behaviours(o Options) []Behaviour {
	list := make([]Behaviour, o.Hosts)
	for number := range list {
		list[number] = Behaviour{Latency: o.Latency, DripEvery: o.DripEvery, MaxStartups: o.MaxStartups}
	}
	if o.Shares == (Shares{}) {
		return list
	}
	order := shuffled(o.Seed, o.Hosts)
	for _, share := range o.Shares.list() {
		if share.of == 0 {
			continue
		}
		count := max(1, int(math.Round(share.of*float64(o.Hosts))))
		count = min(count, len(order))
		for _, number := range order[:count] {
			share.apply(&list[number])
		}
		order = order[count:]
	}
	return list
}

// shuffled returns the numbers of the hosts in an order that follows from the seed.
func shuffled(seed uint64, hosts int) []int {
	type drawn struct {
		lot    []byte
		number int
	}
	lots := make([]drawn, hosts)
	for number := range lots {
		lots[number] = drawn{derive(seed, "fault", number), number}
	}
	slices.SortFunc(lots, func(a, b drawn) int { return cmp.Or(bytes.Compare(a.lot, b.lot), cmp.Compare(a.number, b.number)) })
	order := make([]int, hosts)
	for i, lot := range lots {
		order[i] = lot.number
	}
	return order
}
