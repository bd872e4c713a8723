package store_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// What the random hosts and selectors are made of. It is little, so that they meet, and full of what is special to
// globs, to LIKE or to SQL.
func values() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"web", "db", "web-1", "50%", "a_b", "axb", `a\b`, "", "WEB", "ü", "a'b", "*", "?", "null", "{}"}),
		rapid.StringOfN(rapid.RuneFrom([]rune(`ab*?%_\ü"'`)), 0, 4, -1),
	)
}

func labelKeys() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"env", "role", "gpu", "a.b/c"})
}

// selectors generates the texts of selectors.
func selectors(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 && rapid.IntRange(0, 2).Draw(t, "nested") > 0 {
			inner := selectors(depth - 1)
			switch rapid.IntRange(0, 3).Draw(t, "operator") {
			case 0:
				return "not (" + inner.Draw(t, "term") + ")"
			case 1:
				return "(" + inner.Draw(t, "left") + " or " + inner.Draw(t, "right") + ")"
			default:
				return "(" + inner.Draw(t, "left") + " and " + inner.Draw(t, "right") + ")"
			}
		}
		field := rapid.OneOf(labelKeys(), rapid.SampledFrom([]string{"name", "site"})).Draw(t, "field")
		switch rapid.IntRange(0, 6).Draw(t, "comparison") {
		case 0:
			return field + "=" + quoted(values().Draw(t, "value"))
		case 1:
			return field + "!=" + quoted(values().Draw(t, "value"))
		case 2:
			return field + "~" + quoted(values().Draw(t, "glob"))
		case 3:
			return field + " in " + list(t)
		case 4:
			return field + " notin " + list(t)
		case 5:
			return "has(" + labelKeys().Draw(t, "label") + ")"
		default:
			return "*"
		}
	})
}

func list(t *rapid.T) string {
	var texts []string
	for _, value := range rapid.SliceOfN(values(), 1, 3).Draw(t, "list") {
		texts = append(texts, quoted(value))
	}
	return "(" + strings.Join(texts, ",") + ")"
}

func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// TestSelectorsMeanTheSameInSQL compares the hosts that the database finds with those that Selector.Match picks.
func TestSelectorsMeanTheSameInSQL(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		undo := fleet.Errorf(fleet.Conflict, "undo")
		err := s.InTx(t.Context(), func(tx *store.Store) error {
			hosts := randomHosts(rt)
			if stored, err := tx.AddHosts(t.Context(), hosts); err != nil || len(stored) != len(hosts) {
				rt.Fatalf("AddHosts = %v, %v", stored, err)
			}
			for range 8 {
				compare(t, rt, tx, hosts)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			rt.Fatal(err)
		}
	})
}

func randomHosts(rt *rapid.T) []fleet.Host {
	var hosts []fleet.Host
	for i := range rapid.IntRange(1, 6).Draw(rt, "hosts") {
		hosts = append(hosts, fleet.Host{
			ID: fleet.NewID(), Name: rapid.SampledFrom([]string{"web-", "WEB-", "db_", "a:"}).Draw(rt, "name") + strconv.Itoa(i),
			Address: "192.0.2.1", Port: 22, Site: rapid.SampledFrom([]string{"web", "db", "default"}).Draw(rt, "site"),
			Labels: rapid.MapOfN(labelKeys(), values(), 0, 3).Draw(rt, "labels"), Connection: fleet.ConnectionSSH, Enabled: true,
		})
	}
	return hosts
}

func compare(t *testing.T, rt *rapid.T, tx *store.Store, hosts []fleet.Host) {
	t.Helper()
	text := selectors(3).Draw(rt, "selector")
	sel, err := fleet.ParseSelector(text)
	if err != nil {
		rt.Fatalf("%s: %v", text, err)
	}
	var want []string
	for _, h := range hosts {
		if sel.Match(h.Name, h.Site, h.Labels) {
			want = append(want, h.Name)
		}
	}
	slices.Sort(want)
	found, _, err := tx.Hosts(t.Context(), fleet.Everything(), fleet.HostFilter{Selector: &sel}, fleet.Page{})
	if err != nil {
		rt.Fatalf("%s: %v", text, err)
	}
	got := namesOf(found, func(h fleet.Host) string { return h.Name })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		rt.Fatalf("%s finds %v, and matches %v", text, got, want)
	}
	scope := fleet.Actor{Kind: fleet.ActorUser, Role: fleet.Viewer, Selector: &sel}.Scope()
	if n, err := tx.CountHosts(t.Context(), scope, fleet.HostFilter{}); err != nil || n != len(want) {
		rt.Fatalf("%s as a scope counts %d, %v; want %d", text, n, err, len(want))
	}
}
