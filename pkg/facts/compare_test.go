package facts_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

func patterns(tb testing.TB, texts ...string) []facts.Pattern {
	tb.Helper()
	var out []facts.Pattern
	for _, text := range texts {
		out = append(out, pattern(tb, text))
	}
	return out
}

// told writes a comparison as lines: the kind, the path, before and after, and why it is no change.
func told(c facts.Comparison) []string {
	lines := []string{}
	for _, d := range c.Changes {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", d.Kind(), d.Path, d.Before, d.After))
	}
	for _, d := range c.Unlearned {
		lines = append(lines, fmt.Sprintf("%s: %s %s %s %s", d.Why, d.Kind(), d.Path, d.Before, d.After))
	}
	for _, p := range c.Baselines {
		lines = append(lines, "baseline "+p.String())
	}
	return lines
}

func TestCompare(t *testing.T) {
	t.Parallel()
	type options struct{ before, after, revised []string }
	for _, tt := range []struct {
		name, before, after string
		options             options
		want                []string
	}{
		{"the same document differs in nothing", `{"a":{"b":1}}`, `{"a":{"b":1}}`, options{}, nil},
		{"spaces and the order of names mean nothing", `{"a":1,"b":{"c":[1,2]}}`, ` { "b" : { "c" : [ 1 , 2 ] } , "a" : 1 } `, options{}, nil},
		{"numbers are doubles", `{"a":1e2,"b":0.1,"c":9007199254740993,"d":-0}`, `{"a":100,"b":1.0E-1,"c":9007199254740992,"d":0}`, options{}, nil},
		{"numbers that differ by one bit differ", `{"a":0.1}`, `{"a":0.10000000000000002}`, options{}, []string{"changed a 0.1 0.10000000000000002"}},
		{"strings mean what they say", `{"a":"\u00e9\/","é":1}`, `{"a":"é/","\u00e9":1}`, options{}, nil},
		{"a number is no string", `{"a":1}`, `{"a":"1"}`, options{}, []string{`changed a 1 "1"`}},
		{"null is something", `{"a":null}`, `{"b":null}`, options{}, []string{"removed a null ", "added b  null"}},
		{"arrays are compared by what they hold", `{"a":[1,"[",null],"b":[[1,{"x":[2.0]}]]}`, `{"a":[1.0,"\u005b",null],"b":[[1, {"x":[2]}]]}`, options{}, nil},
		{"arrays of arrays differ as a whole", `{"b":[[1,{"x":2}]]}`, `{"b":[[1,{"x":3}]]}`, options{}, []string{`changed b [[1,{"x":2}]] [[1,{"x":3}]]`}},
		{"minus zero is zero and what no double can hold is infinite", `{"a":[-0,1e999]}`, `{"a":[0,1E+999]}`, options{}, nil},
		{"the last of a name holds", `{"a":1,"a":2}`, `{"a":2}`, options{}, nil},
		{"objects are compared name by name", `{"p":{"a":{"v":1,"w":1},"b":{"v":1}}}`, `{"p":{"a":{"v":2,"w":1},"b":{"v":1}}}`, options{}, []string{"changed p.a.v 1 2"}},
		{"what came is one difference with the whole value", `{"p":{}}`, `{"p":{"a.b":{"v":1,"w":2}}}`, options{}, []string{`added p."a.b"  {"v":1,"w":2}`}},
		{"what went is one difference with the whole value", `{"p":{"a":{"v":1,"w":2}}}`, `{"p":{}}`, options{}, []string{`removed p.a {"v":1,"w":2} `}},
		{"arrays differ as a whole", `{"a":[1,2,3]}`, `{"a":[1,3]}`, options{}, []string{"changed a [1,2,3] [1,3]"}},
		{"the order of an array means something", `{"a":[1,2]}`, `{"a":[2,1]}`, options{}, []string{"changed a [1,2] [2,1]"}},
		{"an object that becomes a scalar is one difference", `{"a":{"b":1}}`, `{"a":null}`, options{}, []string{`changed a {"b":1} null`}},
		{"differences come in the order of their names", `{}`, `{"b":1,"a":{"z":1},"a.b":2,"":3}`, options{}, []string{`added ""  3`, `added a  {"z":1}`, `added "a.b"  2`, "added b  1"}},
		{"documents that are no objects differ at the root", `1`, `{"a":1}`, options{}, []string{`changed  1 {"a":1}`}},

		{
			"what could not be told before and is told now was learned", `{"a":{"s":null}}`, `{"a":{"s":1}}`,
			options{before: []string{"*.s"}},
			[]string{"unavailable: changed a.s null 1", "baseline *.s"},
		},
		{
			"what was told before and cannot be told now is not gone", `{"l":{"a":{"v":1}}}`, `{"l":{}}`,
			options{after: []string{"l"}},
			[]string{`unavailable: removed l.a {"v":1} `},
		},
		{
			"nothing is null, an empty string, an empty array or an empty object", `{"a":1,"b":1,"c":1,"d":1}`, `{"a":null,"b":"","c":[ ],"d":{ }}`,
			options{after: []string{"*"}},
			[]string{"unavailable: changed a 1 null", `unavailable: changed b 1 ""`, "unavailable: changed c 1 [ ]", "unavailable: changed d 1 { }"},
		},
		{"zero and false are something", `{"a":1,"b":true}`, `{"a":0,"b":false}`, options{after: []string{"*"}}, []string{"changed a 1 0", "changed b true false"}},
		{
			"a value that both tell is a change whatever was unavailable", `{"a":1}`, `{"a":2}`,
			options{before: []string{"a"}, after: []string{"a"}},
			[]string{"changed a 1 2"},
		},
		{
			"the path above what is unavailable is not covered", `{"a":{"s":1}}`, `{}`,
			options{after: []string{"a.s"}},
			[]string{`removed a {"s":1} `},
		},
		{
			"of the patterns that cover it the one with the most segments is the baseline", `{"a":{"b":null}}`, `{"a":{"b":1}}`,
			options{before: []string{"*", "a.*", "a"}},
			[]string{"unavailable: changed a.b null 1", "baseline a.*"},
		},

		{
			"what was redefined did not change", `{"a":{"v":1},"b":1}`, `{"a":{"v":2},"b":2}`,
			options{revised: []string{"a.v"}},
			[]string{"changed b 1 2", "schema: changed a.v 1 2", "baseline a.v"},
		},
		{
			"a member that the version brought was learned", `{"p":{"x":{"v":1}}}`, `{"p":{"x":{"v":1,"n":2}}}`,
			options{revised: []string{"p.*.n"}},
			[]string{"schema: added p.x.n  2", "baseline p.*.n"},
		},
		{
			"an element that came is a change although a member of it was redefined", `{"p":{}}`, `{"p":{"x":{"v":1}}}`,
			options{revised: []string{"p.*.v"}},
			[]string{`added p.x  {"v":1}`},
		},
		{
			"an element that went is a change although a member of it was redefined", `{"p":{"x":{"v":1}}}`, `{"p":{}}`,
			options{revised: []string{"p.*.v"}},
			[]string{`removed p.x {"v":1} `},
		},
		{
			"a value whose members were redefined did not change", `{"p":[1]}`, `{"p":{"x":1}}`,
			options{revised: []string{"p.x"}},
			[]string{`schema: changed p [1] {"x":1}`, "baseline p.x"},
		},
		{"** redefines everything", `{"a":1}`, `{"a":2,"b":1}`, options{revised: []string{"**"}}, []string{"schema: changed a 1 2", "schema: added b  1", "baseline "}},
		{"* redefines everything", `{"a":{"x":1}}`, `{"a":{"x":2},"b":1}`, options{revised: []string{"*"}}, []string{"schema: changed a.x 1 2", "schema: added b  1", "baseline *"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := facts.Compare([]byte(tt.before), []byte(tt.after), facts.Options{
				BeforeUnavailable: patterns(t, tt.options.before...), AfterUnavailable: patterns(t, tt.options.after...), Revised: patterns(t, tt.options.revised...),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := told(c); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestWhatIsNoJSONIsAnError(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "{", `{"a":}`, `{} {}`, `{"a":1,}`, "nope"} {
		if _, err := facts.Compare([]byte(bad), []byte("{}"), facts.Options{}); err == nil {
			t.Errorf("comparing from %s is no error", bad)
		}
		if _, err := facts.Compare([]byte("{}"), []byte(bad), facts.Options{}); err == nil {
			t.Errorf("comparing to %s is no error", bad)
		}
		if _, err := facts.Apply([]byte(bad), nil); err == nil {
			t.Errorf("applying to %s is no error", bad)
		}
		if _, err := facts.Carry([]byte("{}"), []byte(bad), nil); err == nil {
			t.Errorf("carrying over from %s is no error", bad)
		}
		if _, ok := facts.At([]byte(bad), facts.Path{}); ok {
			t.Errorf("there is something in %s", bad)
		}
		for path := range facts.Leaves([]byte(bad)) {
			t.Errorf("%s has a leaf %q", bad, path)
		}
	}
}

// all returns every difference of a comparison.
func all(c facts.Comparison) []facts.Difference {
	out := slices.Clone(c.Changes)
	for _, d := range c.Unlearned {
		out = append(out, d.Difference)
	}
	return out
}

func TestApplyingAllDifferencesYieldsTheLaterDocument(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	differ := 0
	for range 2_000 {
		before := randomValue(r, 4)
		after := drift(r, before, 4)
		var o facts.Options
		for _, to := range []*[]facts.Pattern{&o.BeforeUnavailable, &o.AfterUnavailable, &o.Revised} {
			if text := randomPattern(r, randomPath(r)); r.IntN(2) == 0 && len(text) <= 512 {
				*to = patterns(t, text, "*.a")
			}
		}
		old, later := []byte(respelled(r, before)), encode(after)
		c, err := facts.Compare(old, later, o)
		if err != nil {
			t.Fatal(err)
		}
		differ += len(c.Changes) + len(c.Unlearned)
		differences := all(c)
		r.Shuffle(len(differences), func(i, j int) { differences[i], differences[j] = differences[j], differences[i] })
		applied, err := facts.Apply(old, differences)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(applied, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(later, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s and %s differ in %q, which applied is %s", old, later, told(c), applied)
		}
		same, err := facts.Compare([]byte(respelled(r, after)), later, o)
		if err != nil || len(all(same)) > 0 || len(same.Baselines) > 0 {
			t.Fatalf("%s differs from itself spelled otherwise: %q, %v", later, told(same), err)
		}
	}
	if differ < 4_000 {
		t.Errorf("only %d differences were looked at", differ)
	}
}

// The judgement about a difference follows from its path and values alone; this is the rule in as few words as possible.
func TestWhatIsUnlearnedFollowsFromPathAndValues(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	nothing := func(v json.RawMessage) bool {
		return v == nil || slices.Contains([]string{"null", `""`, "[]", "{}"}, string(v))
	}
	covers := func(list []facts.Pattern, p facts.Path) bool {
		return slices.ContainsFunc(list, func(q facts.Pattern) bool { return q.Covers(p) })
	}
	unlearned := 0
	for range 1_500 {
		before := randomValue(r, 4)
		after := drift(r, before, 4)
		o := facts.Options{
			BeforeUnavailable: patterns(t, "a", "*.b", "**.version"), AfterUnavailable: patterns(t, "a", "b.*", "**.packages"), Revised: patterns(t, "packages"),
		}
		c, err := facts.Compare(encode(before), encode(after), o)
		if err != nil {
			t.Fatal(err)
		}
		judge := func(d facts.Difference) facts.Unlearned {
			switch {
			case nothing(d.Before) && covers(o.BeforeUnavailable, d.Path), nothing(d.After) && covers(o.AfterUnavailable, d.Path):
				return facts.UnlearnedUnavailable
			case covers(o.Revised, d.Path), d.Before != nil && d.After != nil && len(d.Path) == 0:
				return facts.UnlearnedSchema
			}
			return ""
		}
		for _, d := range c.Changes {
			if why := judge(d); why != "" {
				t.Fatalf("%v is a change, and should be %s", d, why)
			}
		}
		for _, d := range c.Unlearned {
			unlearned++
			if why := judge(d.Difference); why != d.Why {
				t.Fatalf("%v is %s, and should be %q", d.Difference, d.Why, why)
			}
		}
	}
	if unlearned < 250 {
		t.Errorf("only %d were looked at", unlearned)
	}
}

// wide returns a document with n names under each of the branches, whose values are v.
func wide(branches map[string]int, v string) []byte {
	document := map[string]any{}
	for branch, n := range branches {
		object := map[string]any{}
		for i := range n {
			object[fmt.Sprintf("n%06d", i)] = v
		}
		document[branch] = object
	}
	return encode(document)
}

func TestTooManyDifferencesRollUp(t *testing.T) {
	t.Parallel()
	flat := func(n int, v string) []byte {
		var document map[string]json.RawMessage
		if err := json.Unmarshal(wide(map[string]int{"x": n}, v), &document); err != nil {
			t.Fatal(err)
		}
		return document["x"]
	}
	few := map[string]int{"a": 4_000, "b": 6_000}
	many := map[string]int{"a": 4_000, "b": 6_001, "c": 1}
	huge := map[string]int{"a": 10_001, "b": 10, "c": 15_000}
	for _, tt := range []struct {
		name          string
		before, after []byte
		unavailable   string
		changes       []string // paths, if there are few
		count         int
		unlearned     int
	}{
		{"ten thousand are listed", wide(few, "x"), wide(few, "y"), "none", nil, 10_000, 0},
		{"of more, the name with most of them is one", wide(many, "x"), wide(many, "y"), "none", nil, 4_002, 0},
		{"a name that alone has too many is one", wide(huge, "x"), wide(huge, "y"), "none", nil, 12, 0},
		{"too many names of the root are the root", flat(10_001, "x"), flat(10_001, "y"), "none", []string{""}, 1, 0},
		{"what is unavailable stays so when it is rolled up", wide(huge, "x"), []byte(`{"a":{},"b":{},"c":{}}`), "*", nil, 0, 12},
		{"a roll-up is a change if a part of it is", wide(huge, "x"), []byte(`{"a":{},"b":{},"c":{"new":1}}`), "*", []string{"c"}, 1, 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := facts.Compare(tt.before, tt.after, facts.Options{AfterUnavailable: patterns(t, tt.unavailable)})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Changes) != tt.count || len(c.Unlearned) != tt.unlearned {
				t.Errorf("%d changes and %d others, want %d and %d", len(c.Changes), len(c.Unlearned), tt.count, tt.unlearned)
			}
			for i, want := range tt.changes {
				if got := c.Changes[i].Path.String(); got != want {
					t.Errorf("change %d is at %q, want %q", i, got, want)
				}
			}
			applied, err := facts.Apply(tt.before, all(c))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := facts.Compare(applied, tt.after, facts.Options{}); err != nil || len(again.Changes) > 0 {
				t.Errorf("applied, it still differs in %d, %v", len(again.Changes), err)
			}
		})
	}
}

func TestDeepDocumentsAreComparedToABound(t *testing.T) {
	t.Parallel()
	deep := func(v string) []byte {
		return []byte(strings.Repeat(`{"a":`, 5_000) + v + strings.Repeat("}", 5_000))
	}
	c, err := facts.Compare(deep("1"), deep("2"), facts.Options{})
	if err != nil || len(c.Changes) != 1 || len(c.Changes[0].Path) != 32 {
		t.Fatalf("%d changes, %v; want one at 32 names", len(c.Changes), err)
	}
	if c, err = facts.Compare(deep("1"), deep("1.0"), facts.Options{}); err != nil || len(c.Changes) != 0 {
		t.Errorf("%d changes of the spelling, %v", len(c.Changes), err)
	}
	for path := range facts.Leaves(deep("1")) {
		if len(path) != 32 {
			t.Errorf("a leaf has %d names", len(path))
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"x"]}}`), []byte(`{"a":{"b":[1,"x\u0041"],"":null}}`), "a.*")
	f.Add([]byte(`{"a":1,"a":{"c":-0}}`), []byte(" {\n\"a\" : {} }\t"), "**.b")
	f.Fuzz(func(t *testing.T, before, after []byte, covered string) {
		p, err := facts.ParsePattern(covered)
		if err != nil {
			return
		}
		c, err := facts.Compare(before, after, facts.Options{BeforeUnavailable: []facts.Pattern{p}, AfterUnavailable: []facts.Pattern{p}})
		if valid := json.Valid(before) && json.Valid(after); (err == nil) != valid {
			t.Fatalf("valid %v, %v", valid, err)
		} else if !valid {
			return
		}
		applied, err := facts.Apply(before, all(c))
		if err != nil {
			t.Fatal(err)
		}
		again, err := facts.Compare(applied, after, facts.Options{})
		if err != nil || len(again.Changes) > 0 {
			t.Fatalf("%s applied to %s is %s, which differs: %q, %v", told(c), before, applied, told(again), err)
		}
		carried, err := facts.Carry(after, before, []facts.Pattern{p})
		if err != nil || !json.Valid(carried) {
			t.Fatalf("carried over: %s, %v", carried, err)
		}
		lost, err := facts.Compare(before, carried, facts.Options{AfterUnavailable: []facts.Pattern{p}})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range lost.Unlearned {
			if len(d.Path) > 0 && !slices.Contains([]string{"", "null", `""`}, string(d.Before)) && !strings.ContainsAny(string(d.Before), "[{") {
				t.Fatalf("%v was not carried over", d)
			}
		}
	})
}
