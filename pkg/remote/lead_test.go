package remote_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/remote"
)

// guard reads one line before it lets anybody through, as sudo does.
const guard = `read -r word; if [ "$word" = sesame ]; then echo open; cat; else echo "Sorry, try again." >&2; cat >&2; fi`

func TestALeadGoesFirst(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, command, lead, stdout, stderr string }{
		{"taken, and the rest follows", guard, "sesame\n", "open\nthe rest", ""},
		{"refused, and the rest is kept back", guard, "barley\n", "", "Sorry, try again.\n"},
		{"never read", "true", "sesame\n", "", ""},
		{"nobody says a word", "exec </dev/null; exit 3", "sesame\n", "", ""},
		{"taken from the pipe, and then nobody says a word", "read -r word; exit 3", "sesame\n", "", ""},
		{"none", guard, "", "", "Sorry, try again.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			output, err := remote.Local{}.Run(t.Context(), tt.command, []byte("the rest"), remote.RunOptions{
				Lead: remote.Lead{Bytes: []byte(tt.lead), Taken: "open", Refused: "try again"},
			})
			if err != nil || string(output.Stdout) != tt.stdout || !bytes.HasPrefix(output.Stderr, []byte(tt.stderr)) {
				t.Errorf("stdout %q, stderr %q, %v; want %q, %q", output.Stdout, output.Stderr, err, tt.stdout, tt.stderr)
			}
			if tt.lead != "" && bytes.Contains(output.Stderr, []byte("the rest")) {
				t.Error("what refused the lead was given the rest")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
