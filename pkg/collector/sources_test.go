package collector_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecordingsSayWhereTheyComeFrom: what counts as evidence names the system and the way it was recorded, or a public
// place; what was written by hand says so in its name.
func TestRecordingsSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	for name := range recordings(t) {
		if strings.HasPrefix(name, "synthetic-") {
			continue
		}
		source, err := os.ReadFile(filepath.Join("testdata", name, "SOURCE"))
		if err != nil || len(strings.TrimSpace(string(source))) < 40 {
			t.Errorf("%s: its file SOURCE says nothing (%v); a recording written by hand is called synthetic-…", name, err)
		}
	}
}
