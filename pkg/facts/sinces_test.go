package facts_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

func TestSinceIsTheNewestOfWhatTouchesThePath(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	s := facts.NewSinces(day(1), map[string]time.Time{
		`packages."dpkg:a:amd64"`: day(5), `packages."dpkg:a:amd64".version`: day(3), `packages."dpkg:b:amd64".version`: day(7), "kernel": day(4),
	}, map[string]time.Time{"hw.*": day(6), "packages.*.origin": day(8)})
	for _, tt := range []struct {
		name, path string
		want       int
	}{
		{"what never changed holds since the first report", "hostname", 1},
		{"a change at an ancestor is newer than its own", `packages."dpkg:a:amd64".version`, 5},
		{"a change of its own", `packages."dpkg:b:amd64".version`, 7},
		{"a change of a sibling does not matter", `packages."dpkg:b:amd64".status`, 1},
		{"a change of the object it lies in", "kernel.release", 4},
		{"a baseline that covers it", "hw.serial", 6},
		{"a baseline that covers an ancestor", "hw.serial.x", 6},
		{"a baseline below it", `packages."dpkg:b:amd64"`, 8},
		{"a baseline that misses it", "hw2.serial", 1},
		{"changes below it, with a newer baseline", "packages", 8},
		{"the root holds since the newest of all", "", 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := facts.ParsePath(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Of(p); !got.Equal(day(tt.want)) {
				t.Errorf("since %v, want %v", got, day(tt.want))
			}
		})
	}
	broken := facts.NewSinces(day(1), map[string]time.Time{`a."`: day(2)}, map[string]time.Time{`..`: day(3)})
	if got := broken.Of(facts.Path{"x"}); !got.Equal(day(3)) {
		t.Errorf("what cannot be read counts for everything: %v, want %v", got, day(3))
	}
	if got := (facts.Sinces{}).Of(facts.Path{"x"}); !got.IsZero() {
		t.Errorf("nothing is known since %v", got)
	}
}

func TestSinceAgreesWithALookAtEveryChange(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	at := func() time.Time { return time.Unix(r.Int64N(1_000_000), 0) }
	related := func(a, b facts.Path) bool { return a.Pattern().Covers(b) || b.Pattern().Covers(a) }
	for range 2_000 {
		first := time.Unix(0, 0)
		changes := map[string]time.Time{}
		paths := map[string]facts.Path{}
		for range r.IntN(6) {
			p := randomPath(r)
			changes[p.String()], paths[p.String()] = at(), p
		}
		s := facts.NewSinces(first, changes, nil)
		p := randomPath(r)
		if r.IntN(2) == 0 {
			for _, other := range paths {
				p = other[:len(other)/2]
			}
		}
		want := first
		for text, changed := range changes {
			if related(paths[text], p) && changed.After(want) {
				want = changed
			}
		}
		if got := s.Of(p); !got.Equal(want) {
			t.Fatalf("%q since %v, want %v with %v", p, got, want, changes)
		}
	}
}
