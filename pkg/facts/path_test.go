package facts_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestAPathHasOneCanonicalForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		path facts.Path
		want string
	}{
		{"the whole document is the empty string", facts.Path{}, ""},
		{"words stand bare", facts.Path{"kernel", "Release_2"}, "kernel.Release_2"},
		{"keys with colons stand in quotes", facts.Path{"packages", "dpkg:openssl:amd64", "version"}, `packages."dpkg:openssl:amd64".version`},
		{"keys with dots stand in quotes", facts.Path{"filesystems", "/mnt/a.b", "size"}, `filesystems."/mnt/a.b".size`},
		{"the empty name stands in quotes", facts.Path{""}, `""`},
		{"a name that begins with a digit stands in quotes", facts.Path{"0"}, `"0"`},
		{"only what has to be is escaped", facts.Path{"<&>\u2028é\"\\\n\x01"}, "\"<&>\u2028é\\\"\\\\\\n\\u0001\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.path.String(); got != tt.want {
				t.Errorf("%q is %s, want %s", tt.path, got, tt.want)
			}
			if got, err := facts.ParsePath(tt.want); err != nil || !slices.Equal(got, tt.path) {
				t.Errorf("%s is %q, %v; want %q", tt.want, got, err, tt.path)
			}
		})
	}
}

func TestParsingAPathIsLenientAboutQuotes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]facts.Path{
		"packages.dpkg:openssl:amd64.version": {"packages", "dpkg:openssl:amd64", "version"},
		`filesystems."\u002fmnt".size`:        {"filesystems", "/mnt", "size"},
		`"/mnt/a."b`:                          {"/mnt/a.b"},
		"a b.é.9":                             {"a b", "é", "9"},
	} {
		if got, err := facts.ParsePath(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestAPathThatCannotBeReadSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"a dot at the start", ".a", `path: at character 1: expected a name; the empty name is written ""`},
		{"two dots", "é..b", `path: at character 3: expected a name; the empty name is written ""`},
		{"a dot at the end", "a.", `path: at character 3: expected a name; the empty name is written ""`},
		{"a quote that is not closed", `a."b`, "path: at character 3: expected a closing quote"},
		{"a quote that ends in an escape", `"b\`, "path: at character 1: expected a closing quote"},
		{"an escape that is none", `"\x"`, "path: at character 1: expected a JSON string"},
		{"a NUL", `"\u0000"`, "path: at character 1: expected a name without NUL"},
		{"a control character outside quotes", "a\nb", "path: at character 2: expected a printable character; others stand escaped in quotes"},
		{"bytes that are not UTF-8", "a.\xff", "path: at character 3: expected UTF-8"},
		{"bytes in quotes that are not UTF-8", "\"\xff\"", "path: at character 1: expected a JSON string"},
		{"an asterisk", "packages.*.version", "path: at character 10: expected the name of one thing; a name with * in it stands in quotes"},
		{"too many names", strings.Repeat("a.", 256) + "a", "path: at character 513: expected no more than 256 names"},
		{"too many bytes", strings.Repeat("a", 1<<16+1), "path: has more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := facts.ParsePath(tt.text)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if fields := fleet.FieldsOf(err); fleet.KindOf(err) != fleet.Invalid || len(fields) != 1 || fields[0].Field != "path" {
				t.Errorf("kind %v with fields %v", fleet.KindOf(err), fields)
			}
		})
	}
}

func TestEveryPathSurvivesItsString(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]facts.Path{}
	for range 20_000 {
		p := randomPath(r)
		text := p.String()
		got, err := facts.ParsePath(text)
		if err != nil || !slices.Equal(got, p) {
			t.Fatalf("%q is written %s and read %q, %v", p, text, got, err)
		}
		if other, known := seen[text]; known && !slices.Equal(other, p) {
			t.Fatalf("%q and %q are both written %s", p, other, text)
		}
		seen[text] = p
		pattern, err := facts.ParsePattern(text)
		if err != nil || pattern.String() != text || p.Pattern().String() != text {
			t.Fatalf("as a pattern %s is %s, %v, and that of the path %s", text, pattern, err, p.Pattern())
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"", "a.b", `packages."dpkg:openssl:amd64".version`, `"a\u0001".""`, `a"b"*`, ".", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := facts.ParsePath(text)
		if err != nil {
			if fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("%v is of kind %v", err, fleet.KindOf(err))
			}
			return
		}
		canonical := p.String()
		again, err := facts.ParsePath(canonical)
		if len(canonical) <= 1<<16 && (err != nil || !slices.Equal(again, p)) {
			t.Fatalf("%q is %q, written %s, read %q, %v", text, p, canonical, again, err)
		}
		if covered := p.Pattern().Covers(p); !covered {
			t.Fatalf("%q does not cover itself", p)
		}
	})
}
