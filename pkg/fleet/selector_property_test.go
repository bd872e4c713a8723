package fleet_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A model is a selector as the tests understand it: a text in one of its spellings, and which hosts it means,
// worked out without a line of the package.
type model struct {
	text  string
	picks func(host) bool
}

type host struct {
	name, site string
	labels     map[string]string
}

// The words are few and short, so that hosts and selectors meet. Each test makes its own generators, because rapid's
// name themselves when first used and so cannot be shared by parallel tests.

func words() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "ab", "a.b", "ä", "", `q"\`, "and", "a-1"})
}

func keys() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"env", "k8s.io/app", "x", "Env"})
}

func patterns() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"*", "?", "a*", "*b", "a?b", "?*", "**a", "", "ä", "*-?", "a.b", `q"*`})
}

func drawHost(t *rapid.T) host {
	return host{
		name: words().Draw(t, "name"), site: words().Draw(t, "site"),
		labels: rapid.MapOf(keys(), words()).Draw(t, "labels"),
	}
}

// drawModel draws a selector of at most the depth.
func drawModel(t *rapid.T, depth int) model {
	if depth == 0 {
		return drawTerm(t)
	}
	switch rapid.IntRange(0, 5).Draw(t, "node") {
	case 0:
		inner := drawModel(t, depth-1)
		return model{keyword(t, "not") + " (" + inner.text + ")", func(h host) bool { return !inner.picks(h) }}
	case 1, 2:
		a, b := drawModel(t, depth-1), drawModel(t, depth-1)
		text := "(" + a.text + " , " + b.text + ")" // an or needs no parentheses beside a comma
		if rapid.Bool().Draw(t, "and") {
			text = "((" + a.text + ")" + keyword(t, "and") + "(" + b.text + "))"
		}
		return model{text, func(h host) bool { return a.picks(h) && b.picks(h) }}
	case 3, 4:
		a, b := drawModel(t, depth-1), drawModel(t, depth-1)
		text := "(" + a.text + ")" + keyword(t, "or") + "(" + b.text + ")"
		return model{text, func(h host) bool { return a.picks(h) || b.picks(h) }}
	}
	return drawTerm(t)
}

// drawTerm draws a comparison or a star.
func drawTerm(t *rapid.T) model {
	subject, value := drawSubject(t)
	word := words().Draw(t, "value")
	equal := func(h host) bool { v, ok := value(h); return ok && v == word }
	switch rapid.IntRange(0, 5).Draw(t, "term") {
	case 0:
		return model{subject + rapid.SampledFrom([]string{"=", " == "}).Draw(t, "equals") + spelled(t, word), equal}
	case 1:
		return model{subject + "!=" + spelled(t, word), func(h host) bool { return !equal(h) }}
	case 2:
		pattern := patterns().Draw(t, "pattern")
		re := globRegexp(pattern)
		return model{subject + "~" + quoted(pattern), func(h host) bool { v, ok := value(h); return ok && re.MatchString(v) }}
	case 3:
		other := words().Draw(t, "other")
		among := func(h host) bool { v, ok := value(h); return ok && (v == word || v == other) }
		list := " (" + spelled(t, word) + " , " + spelled(t, other) + ")"
		if rapid.Bool().Draw(t, "negated") {
			return model{subject + " " + keyword(t, "notin") + list, func(h host) bool { return !among(h) }}
		}
		return model{subject + " " + keyword(t, "in") + list, among}
	case 4:
		return model{"*", func(host) bool { return true }}
	}
	key := keys().Draw(t, "present")
	has := func(h host) bool { _, ok := h.labels[key]; return ok }
	switch rapid.IntRange(0, 2).Draw(t, "presence") {
	case 0:
		return model{keyword(t, "has") + "(" + key + ")", has}
	case 1:
		return model{key, has}
	}
	return model{"!" + key, func(h host) bool { return !has(h) }}
}

// drawSubject draws what to compare: its spelling, and how to get it from a host.
func drawSubject(t *rapid.T) (string, func(host) (string, bool)) {
	switch rapid.IntRange(0, 3).Draw(t, "subject") {
	case 0:
		return keyword(t, "name"), func(h host) (string, bool) { return h.name, true }
	case 1:
		return keyword(t, "site"), func(h host) (string, bool) { return h.site, true }
	}
	key := keys().Draw(t, "key")
	return key, func(h host) (string, bool) { v, ok := h.labels[key]; return v, ok }
}

func keyword(t *rapid.T, word string) string {
	if rapid.Bool().Draw(t, "capitals") {
		return strings.ToUpper(word)
	}
	return word
}

var plain = regexp.MustCompile(`^[A-Za-z0-9._:/-]+$`)

// spelled writes a value, without quotes if that is possible and drawn.
func spelled(t *rapid.T, value string) string {
	if plain.MatchString(value) && rapid.Bool().Draw(t, "plain") {
		return value
	}
	return quoted(value)
}

func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func globRegexp(pattern string) *regexp.Regexp {
	escaped := regexp.QuoteMeta(pattern)
	return regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(escaped) + `$`)
}

func parseModel(t *rapid.T, m model) fleet.Selector {
	s, err := fleet.ParseSelector(m.text)
	if err != nil {
		t.Fatalf("ParseSelector(%q): %v", m.text, err)
	}
	return s
}

func TestSelectorPicksWhatTheNaiveEvaluatorPicks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, h := drawModel(t, 4), drawHost(t)
		if got, want := parseModel(t, m).Match(h.name, h.site, h.labels), m.picks(h); got != want {
			t.Fatalf("%s: picks %+v: %t, want %t", m.text, h, got, want)
		}
	})
}

func TestSelectorStringReadsBackAsItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := parseModel(t, drawModel(t, 4))
		again, err := fleet.ParseSelector(s.String())
		if err != nil {
			t.Fatalf("its own text %q: %v", s, err)
		}
		if diff := cmp.Diff(s.Expr(), again.Expr()); diff != "" {
			t.Fatalf("%q reads back differently (-first +second):\n%s", s, diff)
		}
		if again.String() != s.String() {
			t.Fatalf("%q is not canonical: it reads back as %q", s, again)
		}
	})
}

func TestSelectorObeysDeMorgan(t *testing.T) {
	t.Parallel()
	laws := []struct{ one, other string }{
		{"not (A and B)", "not A or not B"},
		{"not (A or B)", "not A and not B"},
		{"not (A, B)", "not A or not B"},
		{"not not A", "A"},
		{"A and (B or A)", "A"},
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, h := drawModel(t, 2), drawModel(t, 2), drawHost(t)
		put := strings.NewReplacer("A", "("+a.text+")", "B", "("+b.text+")")
		for i, law := range laws {
			one := parseModel(t, model{text: put.Replace(law.one)}).Match(h.name, h.site, h.labels)
			other := parseModel(t, model{text: put.Replace(law.other)}).Match(h.name, h.site, h.labels)
			if one != other {
				t.Fatalf("law %d, %s = %s: %t and %t for %+v", i, put.Replace(law.one), put.Replace(law.other), one, other, h)
			}
		}
	})
}

func TestGlobMatchesLikeItsRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]rune("abä*?.-")), 0, 12)
		pattern, name := string(letters.Draw(t, "pattern")), string(letters.Draw(t, "name"))
		got := parseModel(t, model{text: "name~" + quoted(pattern)}).Match(name, "", nil)
		if want := globRegexp(pattern).MatchString(name); got != want {
			t.Fatalf("%s matches %s: %t, want %t", strconv.Quote(pattern), strconv.Quote(name), got, want)
		}
	})
}
