package fleet_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// FuzzParseSelector holds that any text is either refused as a bad selector at a position, or read as a selector
// whose canonical text is read as the same one.
func FuzzParseSelector(f *testing.F) {
	for _, seed := range []string{
		"*", "env=prod,role in (web,db),!gpu", `name~"web-*" or not (site==eu and zone not in ("a b","\"\\"))`,
		"has(gpu)", "env!=", "((", "not not *", "a in(in)", "k8s.io/app notin (1)", "\"\xff", "Köln=1", "!a=b", "==", "a=b)",
		strings.Repeat("(", 40), strings.Repeat("!a,", 300), "a or b, c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := fleet.ParseSelector(text)
		if err != nil {
			if fleet.CodeOf(err) != "invalid_selector" || len(fleet.FieldsOf(err)) != 1 || !s.IsZero() {
				t.Fatalf("refused in another way: selector %q, %v", s, err)
			}
			if !utf8.ValidString(fleet.MessageOf(err)) || !strings.Contains(fleet.MessageOf(err), "position ") {
				t.Fatalf("message %q", fleet.MessageOf(err))
			}
			return
		}
		again, err := fleet.ParseSelector(s.String())
		if err != nil {
			t.Fatalf("%q was read, its canonical text %q is refused: %v", text, s, err)
		}
		if diff := cmp.Diff(s.Expr(), again.Expr()); diff != "" {
			t.Fatalf("%q reads back differently (-first +second):\n%s", s, diff)
		}
		labels := map[string]string{"env": "prod", "gpu": ""}
		if s.Match("web-1", "eu", labels) != again.Match("web-1", "eu", labels) {
			t.Fatalf("%q and %q pick differently", text, s)
		}
	})
}
