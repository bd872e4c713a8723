package collector_test

import (
	"slices"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

func TestEveryVersionAfterTheFirstSaysWhatItRevised(t *testing.T) {
	t.Parallel()
	for _, typ := range collector.Builtin() {
		if typ.SchemaVersion < 1 {
			t.Errorf("%s has version %d", typ.Name, typ.SchemaVersion)
		}
		for version := 2; version <= typ.SchemaVersion; version++ {
			if i := version - 2; i >= len(typ.Revisions) || typ.Revisions[i].Version != version {
				t.Errorf("%s has version %d and does not say what version %d revised", typ.Name, typ.SchemaVersion, version)
			}
		}
		if len(typ.Revisions) > max(typ.SchemaVersion-1, 0) {
			t.Errorf("%s has %d revisions and version %d", typ.Name, len(typ.Revisions), typ.SchemaVersion)
		}
		for _, r := range typ.Revisions {
			if len(r.Paths) == 0 {
				t.Errorf("version %d of %s revised nothing", r.Version, typ.Name)
			}
			for _, path := range r.Paths {
				if p, err := facts.ParsePattern(path); err != nil || p.All() {
					t.Errorf("version %d of %s revised %q: %v", r.Version, typ.Name, path, err)
				}
			}
		}
	}
}

func TestRevisionsOfTheVersionsBetweenAreJoined(t *testing.T) {
	t.Parallel()
	typ := collector.Type{Name: "x", SchemaVersion: 4, Revisions: []collector.Revision{
		{Version: 2, Paths: []string{"a.*.b", "c"}}, {Version: 3, Paths: []string{"d"}}, {Version: 4, Paths: []string{"e"}},
	}}
	for _, tt := range []struct {
		name      string
		low, high int
		want      []string
	}{
		{"from the first to the last", 1, 4, []string{"a.*.b", "c", "d", "e"}},
		{"the lower one is known already", 2, 4, []string{"d", "e"}},
		{"the higher one counts", 1, 2, []string{"a.*.b", "c"}},
		{"none between", 3, 3, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range collector.RevisedOf(typ, tt.low, tt.high) {
				got = append(got, p.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAVersionThatNobodyKnowsRevisesEverything(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, typ string
		a, b      int
		all       bool
	}{
		{"a version that is newer than this program", "os", 1, 999, true},
		{"the same, the other way round", "os", 999, 1, true},
		{"a type that this program does not have", "quantum", 1, 2, true},
		{"a version before the first", "os", 0, 1, true},
		{"the same version of a known type", "os", 1, 1, false},
		{"the same version of an unknown type", "quantum", 7, 7, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := collector.Revised(tt.typ, tt.a, tt.b)
			if all := len(got) == 1 && got[0].All(); all != tt.all || !all && len(got) > 0 {
				t.Errorf("got %v, want everything: %v", got, tt.all)
			}
		})
	}
}
