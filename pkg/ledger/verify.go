package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// What may be wrong.
const (
	Altered = "altered" // an entry is not what it was
	Missing = "missing" // entries are gone
	Added   = "added"   // entries are among sealed ones that were not there
	Forged  = "forged"  // a seal is not what it was
	Broken  = "broken"  // a seal does not follow on the one before: one was removed, added or moved
)

// A Problem is something that is wrong.
type Problem struct {
	Kind     string    `json:"kind"`
	Seal     int64     `json:"seal"` // its number
	SealedAt time.Time `json:"sealed_at"`
	Month    time.Time `json:"month"`
	Message  string    `json:"message"`
}

// A Finding is what came of looking at all seals and entries.
type Finding struct {
	Seals    int       `json:"seals"`
	Entries  int       `json:"entries"` // sealed ones that are there
	Unsealed int       `json:"unsealed"`
	Oldest   time.Time `json:"oldest_unsealed,omitzero"`
	Dropped  int       `json:"dropped"` // seals whose entries are not kept any more
	Problems []Problem `json:"problems"`
	Head     string    `json:"head"` // root of the last seal, in hexadecimal; empty: there is none
}

// OK reports whether nothing is wrong.
func (f Finding) OK() bool { return len(f.Problems) == 0 }

// A Verifier looks for what was done to a log. Give it all seals and entries, in any order; it keeps some 100 bytes of
// each entry. The seals should be read first: what is sealed meanwhile is then unsealed for it, and not forged.
type Verifier struct {
	// Kept reports whether entries of a month, given as its first moment, must still be there. nil: all months.
	Kept func(month time.Time) bool

	seals   []fleet.AuditSeal
	entries []entry
}

// entry is what is kept of one.
type entry struct {
	at    fleet.AuditPosition
	month time.Time
	when  time.Time
	leaf  Hash
}

// Seal adds a seal.
func (v *Verifier) Seal(s fleet.AuditSeal) { v.seals = append(v.seals, s) }

// Entry adds an entry. One that cannot be encoded is an altered one.
func (v *Verifier) Entry(e fleet.AuditRecord) {
	leaf, err := LeafOf(e)
	if err != nil {
		leaf = Hash{}
	}
	v.entries = append(v.entries, entry{e.AuditPosition, monthOf(e.CreatedAt), e.CreatedAt, leaf})
}

// Holds reports whether a seal with that root is there. Look at it only if the Finding is OK.
func (v *Verifier) Holds(root Hash) bool {
	return slices.ContainsFunc(v.seals, func(s fleet.AuditSeal) bool { return s.Root == root })
}

// Verify compares everything with everything.
func (v *Verifier) Verify() Finding {
	slices.SortStableFunc(v.seals, func(a, b fleet.AuditSeal) int { return cmp.Compare(a.Seq, b.Seq) })
	slices.SortFunc(v.entries, func(a, b entry) int { return a.at.Compare(b.at) })
	f := Finding{Seals: len(v.seals), Problems: []Problem{}}
	v.chain(&f)
	left := v.entries
	for rest := v.seals; len(rest) > 0; {
		batch := 1
		for batch < len(rest) && rest[batch].To == rest[0].To {
			batch++
		}
		n := 0
		for n < len(left) && left[n].at.Compare(rest[0].To) <= 0 {
			n++
		}
		v.batch(&f, rest[:batch], left[:n])
		f.Entries += n
		left, rest = left[n:], rest[batch:]
	}
	f.Unsealed = len(left)
	for _, e := range left {
		if f.Oldest.IsZero() || e.when.Before(f.Oldest) {
			f.Oldest = e.when
		}
	}
	if len(v.seals) > 0 {
		f.Head = fmt.Sprintf("%x", v.seals[len(v.seals)-1].Root)
	}
	return f
}

// chain looks at the seals alone.
func (v *Verifier) chain(f *Finding) {
	var last fleet.AuditSeal
	for _, s := range v.seals {
		if rootOf(s) != s.Root {
			f.report(s, Forged, "the seal's own fields do not give its root")
		}
		next := s.From == last.To && s.To.Compare(s.From) > 0
		alike := last.Seq > 0 && s.From == last.From && s.To == last.To && s.Month.After(last.Month)
		switch {
		case s.Seq != last.Seq+1:
			f.report(s, Broken, fmt.Sprintf("seal %d comes after seal %d", s.Seq, last.Seq))
		case s.PrevRoot != last.Root:
			f.report(s, Broken, "the seal names another root than that of the seal before")
		case !next && !alike:
			f.report(s, Broken, "the seal does not begin where the one before ends")
		}
		last = s
	}
}

// batch looks at the entries of seals that share their bounds and differ in their months.
func (v *Verifier) batch(f *Finding, seals []fleet.AuditSeal, entries []entry) {
	months := map[time.Time][]Hash{}
	for _, e := range entries {
		months[e.month] = append(months[e.month], e.leaf)
	}
	for _, s := range seals {
		leaves := months[s.Month.UTC()]
		delete(months, s.Month.UTC())
		switch {
		case len(leaves) == 0 && s.Entries > 0 && v.Kept != nil && !v.Kept(s.Month):
			f.Dropped++
		case len(leaves) < s.Entries:
			f.report(s, Missing, fmt.Sprintf("%d of %d entries are missing", s.Entries-len(leaves), s.Entries))
		case len(leaves) > s.Entries:
			f.report(s, Added, fmt.Sprintf("%d entries are there that are not under the seal, which is of %d", len(leaves)-s.Entries, s.Entries))
		case RootOf(leaves) != s.EntriesRoot:
			f.report(s, Altered, fmt.Sprintf("one or more of %d entries are not what was sealed", s.Entries))
		}
	}
	for month, leaves := range months {
		f.report(seals[0], Added, fmt.Sprintf("%d entries of %s are there that are not under the seal", len(leaves), month.Format("2006-01")))
	}
}

func (f *Finding) report(s fleet.AuditSeal, kind, message string) {
	f.Problems = append(f.Problems, Problem{Kind: kind, Seal: s.Seq, SealedAt: s.SealedAt, Month: s.Month, Message: message})
}

func sortTimes(times []time.Time) { slices.SortFunc(times, time.Time.Compare) }
