package collection

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

const (
	leastMargin  = 16  // messages that wait in a lane beyond the free slots, at least; all of them at a site without workers
	relayBatch   = 500 // tasks of a round: claims of those that are rung first wait until the last one is
	relayTries   = 8   // how often a round looks for somebody to take what others could not use
	searchSpare  = 16  // collections looked at beyond those that a share is enough for
	beyondBounds = math.MaxInt
)

// margin is how many messages of a lane may wait beyond the free slots, so that a slot that becomes free finds one.
func margin(slots int) int { return max(leastMargin, slots/4) }

// window returns how many messages of a lane may wait for a claim at a site with so many slots, so many of them taken.
// What is interactive is small by rule, has slots of its own, and is not to wait for anybody's: it may fill all slots
// however many are taken.
func window(p fleet.Priority, slots, running int) int {
	if p == fleet.PriorityInteractive {
		return slots + margin(slots)
	}
	return max(0, slots-running) + margin(slots)
}

// fill shares room out: one by one to whoever holds least, the first of equals, and to nobody more than most says. The
// three are of equal length; the answer is how many each one gets.
func fill(room int, held, most []int) []int {
	given := make([]int, len(held))
	if room <= 0 || len(held) == 0 {
		return given
	}
	upTo := func(level, i int) int { return min(most[i], max(0, level-held[i])) }
	level := sort.Search(slices.Max(held)+room+1, func(level int) bool {
		sum := 0
		for i := range held {
			sum += upTo(level, i)
		}
		return sum > room
	}) - 1
	for i := range held {
		given[i] = upTo(level, i)
		room -= given[i]
	}
	for i := range held {
		if room > 0 && given[i] < most[i] && held[i]+given[i] == level {
			given[i]++
			room--
		}
	}
	return given
}

// A round hands out turns: of what may be rung for at each site's lane, equal shares to the actors, counting what they
// have in flight already, and of an actor's share equal ones to the actor's collections.
type round struct {
	lanes  []*lane           // the most urgent first
	left   int               // of relayBatch
	flying map[uuid.UUID]int // what each collection has in flight at all sites
}

type lane struct {
	store.Lane
	served  bool // a worker collects at its site
	margin  int
	room    int // messages that may be put on the queue
	given   int
	parties []*party
}

type party struct {
	store.Party
	held     int               // what it has in flight in the lane
	flights  map[uuid.UUID]int // the same by collection
	found    []candidate       // collections that may have something to give
	after    uuid.UUID         // the last collection that was looked at
	complete bool              // there is none behind it
}

type candidate struct {
	store.Candidate
	held int
}

// out says that the party has nothing to give in this round.
func (p *party) out() bool { return p.complete && len(p.found) == 0 }

func newRound(line store.Line) *round {
	r := &round{left: relayBatch, flying: map[uuid.UUID]int{}}
	running, rung := map[string]int{}, map[store.Lane]int{}
	held, flights := map[store.Party]int{}, map[store.Party]map[uuid.UUID]int{}
	for _, f := range line.Flights {
		running[f.Site] += f.Running
		rung[f.Lane] += f.Rung
		r.flying[f.CollectionID] += f.Rung + f.Running
		held[f.Party] += f.Rung + f.Running
		if flights[f.Party] == nil {
			flights[f.Party] = map[uuid.UUID]int{}
		}
		flights[f.Party][f.CollectionID] = f.Rung + f.Running
	}
	lanes := map[store.Lane]*lane{}
	for _, p := range line.Waiting {
		l := lanes[p.Lane]
		if l == nil {
			slots := line.Slots[p.Site]
			l = &lane{Lane: p.Lane, served: slots > 0, margin: margin(slots), room: window(p.Priority, slots, running[p.Site]) - rung[p.Lane]}
			lanes[p.Lane] = l
			r.lanes = append(r.lanes, l)
		}
		l.parties = append(l.parties, &party{Party: p, held: held[p], flights: flights[p]})
	}
	slices.SortStableFunc(r.lanes, func(a, b *lane) int {
		return cmp.Compare(slices.Index(fleet.Priorities(), a.Priority), slices.Index(fleet.Priorities(), b.Priority))
	})
	return r
}

// deal hands out turns until nothing may be rung for any more or nobody has anything to give. What one could not use, in
// the next try the others get.
func (r *round) deal(ctx context.Context, tx *store.Store) ([]store.Rung, error) {
	var dealt []store.Rung
	for range relayTries {
		shares := r.shares()
		if len(shares) == 0 {
			break
		}
		if err := r.search(ctx, tx, shares); err != nil {
			return nil, err
		}
		turns, of := r.turns(shares)
		taken, err := tx.TakeTurns(ctx, turns)
		if err != nil {
			return nil, err
		}
		r.settle(turns, of, taken)
		dealt = append(dealt, taken...)
	}
	return dealt, nil
}

// A share is how many tasks of a party may be rung for.
type share struct {
	lane  *lane
	party *party
	n     int
}

func (r *round) shares() []share {
	var shares []share
	left := r.left
	for _, l := range r.lanes {
		var parties []*party
		var held, most []int
		for _, p := range l.parties {
			if !p.out() {
				parties, held, most = append(parties, p), append(held, p.held), append(most, beyondBounds)
			}
		}
		if len(parties) == 0 {
			continue
		}
		for i, n := range fill(min(l.room, left), held, most) {
			if n > 0 {
				shares = append(shares, share{l, parties[i], n})
				left -= n
			}
		}
	}
	return shares
}

// search looks for collections of those who have a share and not enough to use it for.
func (r *round) search(ctx context.Context, tx *store.Store, shares []share) error {
	var searches []store.Search
	var parties []*party
	for _, s := range shares {
		if p := s.party; !p.complete && len(p.found) < s.n {
			searches = append(searches, store.Search{Party: p.Party, After: p.after, Limit: s.n + len(p.flights) + searchSpare})
			parties = append(parties, p)
		}
	}
	if len(searches) == 0 {
		return nil
	}
	found, err := tx.WaitingCollections(ctx, searches)
	if err != nil {
		return err
	}
	for i, p := range parties {
		p.complete = len(found[i]) < searches[i].Limit
		for _, c := range found[i] {
			p.found = append(p.found, candidate{Candidate: c, held: p.flights[c.CollectionID]})
			p.after = c.CollectionID
		}
	}
	return nil
}

// turns divides the shares among the parties' collections. It drops those that have as much in flight as they may.
func (r *round) turns(shares []share) ([]store.Turn, []share) {
	var turns []store.Turn
	var of []share
	asked := map[uuid.UUID]int{}
	for _, s := range shares {
		s.party.found = slices.DeleteFunc(s.party.found, func(c candidate) bool { return r.most(s.lane, c, asked) <= 0 })
		held, most := make([]int, len(s.party.found)), make([]int, len(s.party.found))
		for i, c := range s.party.found {
			held[i], most[i] = c.held, r.most(s.lane, c, asked)
		}
		for i, n := range fill(s.n, held, most) {
			if n > 0 {
				id := s.party.found[i].CollectionID
				turns, of = append(turns, store.Turn{Party: s.party.Party, CollectionID: id, Limit: n}), append(of, s)
				asked[id] += n
			}
		}
	}
	return turns, of
}

// most returns how many more of a collection's tasks may be in flight at the lane's site: with a MaxParallel none where
// nobody would work them, because elsewhere somebody might.
func (r *round) most(l *lane, c candidate, asked map[uuid.UUID]int) int {
	if c.MaxParallel == 0 {
		return beyondBounds
	}
	if !l.served {
		return 0
	}
	return c.MaxParallel - r.flying[c.CollectionID] - asked[c.CollectionID]
}

// settle notes what was taken. A collection that did not use its turn up has nothing more to give in this round.
func (r *round) settle(turns []store.Turn, of []share, taken []store.Rung) {
	got := make([]int, len(turns))
	for _, t := range taken {
		got[t.Turn]++
	}
	r.left -= len(taken)
	for i, turn := range turns {
		l, p := of[i].lane, of[i].party
		l.room -= got[i]
		l.given += got[i]
		p.held += got[i]
		r.flying[turn.CollectionID] += got[i]
		at := slices.IndexFunc(p.found, func(c candidate) bool { return c.CollectionID == turn.CollectionID })
		if got[i] < turn.Limit {
			p.found = slices.Delete(p.found, at, at+1)
		} else {
			p.found[at].held += got[i]
		}
	}
}

// pressure returns how much of their margins the lanes have used up since the round before, where more waits than could
// be rung for: 1 is half of one. Beyond it slots may stand empty before the next round.
func (r *round) pressure() float64 {
	most := 0.0
	for _, l := range r.lanes {
		if l.room <= 0 {
			most = max(most, 2*float64(l.given)/float64(l.margin))
		}
	}
	return most
}
