package facts_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

func TestApplyingWhatDiffersYieldsTheLaterDocument(t *testing.T) {
	t.Parallel()
	before := []byte(`{"packages":{"a":{"version":"1"},"b":{"version":"1"},"gone":{"version":"1"}},"n":1,"list":[1,2]}`)
	after := []byte(`{"list": [1, 2], "n": 1.0e0, "packages": {"a": {"version": "2"}, "b": {"version": "1"}, "new.er": {"version": "1"}}}`)
	c, err := facts.Compare(before, after, facts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range c.Changes {
		got = append(got, string(d.Kind())+" "+d.Path.String())
	}
	want := []string{"changed packages.a.version", "removed packages.gone", `added packages."new.er"`}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("differences %q, want %q", got, want)
	}
	applied, err := facts.Apply(before, c.Changes)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := facts.Compare(applied, after, facts.Options{}); err != nil || len(again.Changes) != 0 {
		t.Errorf("applied: %s, which differs in %v, %v", applied, again.Changes, err)
	}
}
