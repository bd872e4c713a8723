package facts_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestApplyRefusesAPathThatLeadsThroughNoObject(t *testing.T) {
	t.Parallel()
	for _, path := range []facts.Path{{"a", "b"}, {"c", "d"}, {"a", "b", "c"}} {
		_, err := facts.Apply([]byte(`{"a":[1]}`), []facts.Difference{{Path: path, After: json.RawMessage("1")}})
		if fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("%q: %v, want a conflict", path, err)
		}
	}
	if _, err := facts.Apply([]byte("{}"), []facts.Difference{{Path: facts.Path{"a"}, After: json.RawMessage("{")}}); err == nil {
		t.Error("a value that is no JSON was applied")
	}
}

func TestApplyWritesNamesThatNeedEscapes(t *testing.T) {
	t.Parallel()
	got, err := facts.Apply([]byte(`{"x\"\u0001":{"a":1,"b":2}}`), []facts.Difference{
		{Path: facts.Path{"x\"\x01", "b"}}, {Path: facts.Path{"x\"\x01", "é\n"}, After: json.RawMessage(" null ")}, {Path: facts.Path{"x\"\x01", "nope"}},
	})
	if want := `{"x\"\u0001":{"a":1,"é\n":null}}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if gone, err := facts.Apply([]byte(`{"a":1}`), []facts.Difference{{Path: facts.Path{}, After: json.RawMessage("[]")}}); err != nil || string(gone) != "[]" {
		t.Errorf("the root became %s, %v", gone, err)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	doc := []byte(` { "a" : { "b.c" : [1, {"x": 2}] , "n":null, "n":3 }, "": {} } `)
	for _, tt := range []struct {
		name string
		path facts.Path
		want string // empty: nothing
	}{
		{"the root is the document", facts.Path{}, `{ "a" : { "b.c" : [1, {"x": 2}] , "n":null, "n":3 }, "": {} }`},
		{"a value is as it is spelled", facts.Path{"a", "b.c"}, `[1, {"x": 2}]`},
		{"the last of a name holds", facts.Path{"a", "n"}, "3"},
		{"the empty name is a name", facts.Path{""}, "{}"},
		{"a name that is not there", facts.Path{"a", "b"}, ""},
		{"a name in an array", facts.Path{"a", "b.c", "x"}, ""},
		{"a name in a scalar", facts.Path{"a", "n", "x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := facts.At(doc, tt.path); string(got) != tt.want || ok != (tt.want != "") {
				t.Errorf("got %s, %v; want %s", got, ok, tt.want)
			}
		})
	}
}

func TestLeavesComeInTheOrderOfTheirPaths(t *testing.T) {
	t.Parallel()
	var got []string
	for path, value := range facts.Leaves([]byte(`{"b":1,"a":{"z":[1,{"x":1}],"e":{},"c":{"":null}},"a.b":"s"}`)) {
		got = append(got, path.String()+" "+string(value))
	}
	want := []string{`a.c."" null`, "a.e {}", `a.z [1,{"x":1}]`, `"a.b" "s"`, "b 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	n := 0
	for range facts.Leaves([]byte(`{"a":{"b":1,"c":2},"d":3}`)) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d leaves before the break", n)
	}
}
