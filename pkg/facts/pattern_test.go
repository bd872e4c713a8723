package facts_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func pattern(tb testing.TB, text string) facts.Pattern {
	tb.Helper()
	p, err := facts.ParsePattern(text)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestAPatternCoversWhatItMatchesAndAllBelow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, pattern string
		covers, not   []facts.Path
	}{
		{"the empty pattern covers everything", "", []facts.Path{{}, {"a"}, {"a", "b"}}, nil},
		{"** covers everything", "**", []facts.Path{{}, {"a"}, {"a", "b"}}, nil},
		{"* covers everything but the root", "*", []facts.Path{{"a"}, {""}, {"a.b", "c"}}, []facts.Path{{}}},
		{"a name covers itself and what lies below", "kernel", []facts.Path{{"kernel"}, {"kernel", "release"}}, []facts.Path{{}, {"kernels"}, {"a", "kernel"}}},
		{
			"* stands for one name, dots and all", "filesystems.*.size",
			[]facts.Path{{"filesystems", "/mnt/a.b", "size"}, {"filesystems", "", "size"}, {"filesystems", "x", "size", "y"}},
			[]facts.Path{{"filesystems", "size"}, {"filesystems", "a", "b", "size"}, {"filesystems", "/mnt/a.b"}},
		},
		{
			"* stands for a part of a name", "packages.dpkg:linux-*:*",
			[]facts.Path{{"packages", "dpkg:linux-image:amd64"}, {"packages", "dpkg:linux-::", "version"}},
			[]facts.Path{{"packages", "dpkg:linux-image"}, {"packages", "rpm:linux-a:b"}},
		},
		{"several * overlap nowhere", "a*a*a", []facts.Path{{"aaa"}, {"abaca"}}, []facts.Path{{"aa"}, {"a"}, {"abab"}}},
		{
			"** stands for any number of names", "a.**.z",
			[]facts.Path{{"a", "z"}, {"a", "b", "z"}, {"a", "b", "c", "z", "y"}},
			[]facts.Path{{"a"}, {"z"}, {"b", "a", "z"}, {"a", "b"}},
		},
		{"** at the start", "**.version", []facts.Path{{"version"}, {"a", "b", "version"}}, []facts.Path{{}, {"a"}}},
		{"** at the end says nothing", "a.**", []facts.Path{{"a"}, {"a", "b"}}, []facts.Path{{"b"}}},
		{"what is quoted is meant", `"*".a"*"*`, []facts.Path{{"*", "a*"}, {"*", "a*b"}}, []facts.Path{{"x", "a*"}, {"*", "ab"}}},
		{"a part in quotes holds dots", `"10.0."*`, []facts.Path{{"10.0.0.1"}, {"10.0."}}, []facts.Path{{"10.1.0.1"}, {"10", "0"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := pattern(t, tt.pattern)
			re := regexp.MustCompile(p.Regexp())
			for _, path := range tt.covers {
				if !p.Covers(path) || !re.MatchString(path.String()) {
					t.Errorf("%s covers %q: %v, and by %s: %v", tt.pattern, path, p.Covers(path), re, re.MatchString(path.String()))
				}
			}
			for _, path := range tt.not {
				if p.Covers(path) || re.MatchString(path.String()) {
					t.Errorf("%s covers %q: %v, and by %s: %v", tt.pattern, path, p.Covers(path), re, re.MatchString(path.String()))
				}
			}
			if again := pattern(t, p.String()); again.Regexp() != p.Regexp() || again.String() != p.String() {
				t.Errorf("%s is written %s, which is another pattern", tt.pattern, p)
			}
		})
	}
}

func TestAPatternThatCannotBeReadSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"two dots", "*..b", `path: at character 3: expected a name; the empty name is written ""`},
		{"a quote that is not closed", `*."b`, "path: at character 3: expected a closing quote"},
		{"too many segments", strings.Repeat("*.", 32) + "*", "path: at character 65: expected no more than 32 segments"},
		{"too many bytes", strings.Repeat("a", 513), "path: has more than 512 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := facts.ParsePattern(tt.text); err == nil || err.Error() != tt.want || fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("%v of kind %v, want %s", err, fleet.KindOf(err), tt.want)
			}
		})
	}
}

// randomPattern returns a pattern that has a chance of covering the path.
func randomPattern(r *rand.Rand, path facts.Path) string {
	var segments []string
	for _, name := range path {
		switch r.IntN(8) {
		case 0:
			segments = append(segments, "*")
		case 1:
			segments = append(segments, "**")
		case 2:
			segments = append(segments, "**", facts.Path{name}.String())
		case 3, 4:
			segments = append(segments, globOf(r, name))
		case 5:
			segments = append(segments, globOf(r, randomName(r)))
		case 6:
			segments = append(segments, facts.Path{name}.String())
		}
	}
	if r.IntN(6) == 0 {
		segments = append(segments, "**")
	}
	return strings.Join(segments, ".")
}

// globOf returns the name with some of its characters replaced by asterisks.
func globOf(r *rand.Rand, name string) string {
	var b strings.Builder
	for _, c := range name {
		switch r.IntN(4) {
		case 0:
			b.WriteByte('*')
		case 1:
			b.WriteString("*" + quoted(string(c)))
		default:
			b.WriteString(quoted(string(c)))
		}
	}
	if b.Len() == 0 || r.IntN(3) == 0 {
		b.WriteByte('*')
	}
	return b.String()
}

// quoted returns s in quotes, whether it needs them or not.
func quoted(s string) string {
	return strings.TrimSuffix(facts.Path{s + "."}.String(), `."`) + `"`
}

func TestARegexpMatchesExactlyWhatThePatternCovers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	covered := 0
	for range 5_000 {
		path := randomPath(r)
		text := randomPattern(r, path)
		if len(text) > 512 {
			continue
		}
		p := pattern(t, text)
		re := regexp.MustCompile(p.Regexp())
		again := pattern(t, p.String())
		for _, path := range []facts.Path{path, randomPath(r), append(path, randomName(r)), path[:len(path)/2]} {
			covers := p.Covers(path)
			if covers {
				covered++
			}
			if matches := re.MatchString(path.String()); matches != covers {
				t.Fatalf("%s covers %q: %v; %s matches %s: %v", text, path, covers, re, path, matches)
			}
			if again.Covers(path) != covers {
				t.Fatalf("%s, written %s, covers %q: %v", text, p, path, covers)
			}
		}
	}
	if covered < 3_000 {
		t.Errorf("only %d of the paths were covered", covered)
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{"", "*", "**.a", "packages.dpkg:*.version", `"10.0."*."\u0001"`, "a**b", `""*`, "*\"", "{2}.[a].^$"} {
		f.Add(seed, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, first, second string) {
		p, err := facts.ParsePattern(text)
		if err != nil {
			if fleet.KindOf(err) != fleet.Invalid {
				t.Fatalf("%v is of kind %v", err, fleet.KindOf(err))
			}
			return
		}
		re, err := regexp.Compile(p.Regexp())
		if err != nil {
			t.Fatal(err)
		}
		first, second = strings.ToValidUTF8(first, "?"), strings.ToValidUTF8(second, "?")
		for _, path := range []facts.Path{{}, {first}, {first, second}, {second, first, second}} {
			if re.MatchString(path.String()) != p.Covers(path) {
				t.Fatalf("%q covers %q: %v, which %s denies", text, path, p.Covers(path), re)
			}
		}
		if written := p.String(); len(written) <= 512 {
			if again, err := facts.ParsePattern(written); err != nil || again.Regexp() != p.Regexp() {
				t.Fatalf("%q is written %q, which is %v, %v", text, written, again, err)
			}
		}
	})
}
