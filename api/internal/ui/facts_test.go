package ui_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/api/internal/ui"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// BenchmarkFacts is about what a page makes of a report with 5,000 filesystems.
func BenchmarkFacts(b *testing.B) {
	facts, metrics := manyFilesystems(5000)
	report := fleet.Report{Type: "disks", Facts: []byte(facts), Metrics: []byte(metrics), CreatedAt: time.Now()}
	b.SetBytes(int64(len(facts)))
	for b.Loop() {
		if ui.ShowFacts(report) == 0 {
			b.Fatal("no table")
		}
	}
}

// manyFilesystems returns the facts and metrics of a host with n filesystems.
func manyFilesystems(n int) (facts, metrics string) {
	var f, m []string
	for i := range n {
		name := fmt.Sprintf("/mnt/v%d", i)
		f = append(f, fmt.Sprintf(`%q:{"mountpoint":%q,"device":"/dev/disk/by-id/%d","fstype":"xfs","size":1099511627776,"readonly":false,`+
			`"options":["rw","noatime"],"state":"ok","uuid":null,"label":"vol%d"}`, name, name, i, i))
		m = append(m, fmt.Sprintf(`%q:{"used":%d,"size":1099511627776,"free":1,"avail":1}`, name, i))
	}
	return `{"filesystems":{` + strings.Join(f, ",") + `}}`, `{"filesystems":{` + strings.Join(m, ",") + `}}`
}

// FuzzFacts shows documents that no collector would make.
func FuzzFacts(f *testing.F) {
	for _, seed := range []string{
		`{"a":1}`, `{"a":{"b":[1,null,"x"]}}`, `[`, `{"a"`, strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50),
		`{"l":{"x":{"a":1,"b":2},"y":{"a":null,"b":"y"},"z":{}}}`, `{"l":{"x":{"name":"x"},"y":3}}`, `{"":{"":{"":{"":null}}}}`,
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(_ *testing.T, facts, metrics []byte) {
		ui.ShowFacts(fleet.Report{Type: "disks", Facts: facts, Metrics: metrics, Unavailable: map[string]string{"*": "x", "a.b": "y", "..": "z"}})
	})
}

// FuzzDelta shows changes between values that no collector would make.
func FuzzDelta(f *testing.F) {
	for _, seed := range []string{`"a"`, `[1,2]`, `["a",null]`, `{"a":{}}`, `nul`, ``, `"\ud800"`, strings.Repeat("é", 200)} {
		f.Add([]byte(seed), []byte(`["b"]`))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		for _, text := range ui.ShowDelta(before, after) {
			if !utf8.ValidString(text) && utf8.Valid(before) && utf8.Valid(after) {
				t.Errorf("%q is no text", text)
			}
		}
	})
}
