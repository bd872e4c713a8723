package facts_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

func TestCarryAndKeep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, facts, former, pattern, carried, kept string }{
		{"what is told is carried nowhere, and kept as it was", `{"a":2}`, `{"a":1}`, "a", `{"a":2}`, `{"a":1}`},
		{"null becomes what was known", `{"a":null}`, `{"a":1}`, "a", `{"a":1}`, `{"a":1}`},
		{"what is absent becomes what was known", `{}`, `{"a":1}`, "a", `{"a":1}`, `{"a":1}`},
		{"what is not covered stays", `{"a":null}`, `{"a":1}`, "b", `{"a":null}`, `{"a":null}`},
		{"a list is filled up, or kept as it was", `{"l":{"a":{"v":2},"c":{"v":3}}}`, `{"l":{"a":{"v":1},"b":{"v":1}}}`, "l", `{"l":{"a":{"v":2},"c":{"v":3},"b":{"v":1}}}`, `{"l":{"a":{"v":1},"b":{"v":1}}}`},
		{"an array that is told is carried nowhere, and kept as it was", `{"a":[1]}`, `{"a":[1,2]}`, "a", `{"a":[1]}`, `{"a":[1,2]}`},
		{"an element that is gone stays gone", `{"l":{"a.b":{"s":null}}}`, `{"l":{"a.b":{"s":1},"c":{"s":1}}}`, "l.*.s", `{"l":{"a.b":{"s":1}}}`, `{"l":{"a.b":{"s":1}}}`},
		{"an element that is new stays new", `{"l":{"n":{"s":null}}}`, `{"l":{}}`, "l.*.s", `{"l":{"n":{"s":null}}}`, `{"l":{"n":{"s":null}}}`},
		{"where nothing was known nothing is kept", `{"l":{"a":1}}`, `{"l":{}}`, "l", `{"l":{"a":1}}`, `{"l":{"a":1}}`},
		{"a name is told in an object that became a scalar", `{"a":1}`, `{"a":{"b":1}}`, "a.b", `{"a":1}`, `{"a":1}`},
		{"everything", `{"a":null,"b":2}`, `{"a":1,"b":1,"c":1}`, "**", `{"a":1,"b":2,"c":1}`, `{"a":1,"b":1,"c":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			paths := patterns(t, tt.pattern)
			if got, err := facts.Carry([]byte(tt.facts), []byte(tt.former), paths); err != nil || string(got) != tt.carried {
				t.Errorf("carried: %s, %v; want %s", got, err, tt.carried)
			}
			if got, err := facts.Keep([]byte(tt.facts), []byte(tt.former), paths); err != nil || string(got) != tt.kept {
				t.Errorf("kept: %s, %v; want %s", got, err, tt.kept)
			}
		})
	}
}
