package collector_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

var (
	update = flag.Bool("update", false, "write the golden reports of the recordings")
	record = flag.String("record", "", "record this machine into a file, through the shell given by -shell")
	shell  = flag.String("shell", "/bin/sh", "the shell to record through")
)

// recordedNonce is the nonce of every recording.
const recordedNonce = "00000000000000000000000000000000"

// recordings returns the recorded answers by the name of their system.
func recordings(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*/stdout")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("recordings: %v, %v", paths, err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		stdout, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		out[filepath.Base(filepath.Dir(path))] = stdout
	}
	return out
}

// typesOf returns the types that a recording is of: those in its file "types", else all.
func typesOf(tb testing.TB, name string) []string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name, "types"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	return strings.Fields(string(text))
}

// A golden is a report as it is kept beside its recording.
type golden struct {
	Status      string            `json:"status"`
	Failure     string            `json:"failure,omitempty"`
	ContentHash string            `json:"content_hash"`
	Unavailable map[string]string `json:"unavailable"`
	Missing     []string          `json:"missing"`
	Warnings    []string          `json:"warnings"`
	Facts       json.RawMessage   `json:"facts"`
	Metrics     json.RawMessage   `json:"metrics"`
}

func goldenOf(tb testing.TB, r collector.Report) []byte {
	tb.Helper()
	g := golden{
		Status: r.Status, ContentHash: hex.EncodeToString(r.ContentHash[:]), Unavailable: r.Unavailable,
		Missing: r.Missing, Warnings: r.Warnings, Facts: r.Facts, Metrics: r.Metrics,
	}
	if r.Failure != nil {
		g.Failure = string(r.Failure.Code)
	}
	out, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, '\n')
}

func TestRecordings(t *testing.T) {
	t.Parallel()
	for name, stdout := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{Nonce: recordedNonce}, typesOf(t, name)...)
			r, err := p.Read(stdout)
			if err != nil {
				t.Fatal(err)
			}
			for _, report := range p.Reports(r) {
				got := goldenOf(t, report)
				path := filepath.Join("testdata", name, report.Type+".json")
				if *update {
					if err := os.WriteFile(path, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", report.Type, diff)
				}
			}
		})
	}
}

// TestRecord records this machine when it is asked to, and checks nothing otherwise but that it could.
func TestRecord(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce})
	stdout := shellOutput(t, p, *shell)
	if !bytes.Contains(stdout, []byte("@@"+recordedNonce+" END ")) {
		t.Fatal("the recording has no end")
	}
	if *record == "" {
		return
	}
	if err := os.WriteFile(*record, stdout, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestACutAnswerKeepsWhatCameBeforeTheCut(t *testing.T) {
	t.Parallel()
	for name, stdout := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{Nonce: recordedNonce})
			whole, err := p.Read(stdout)
			if err != nil {
				t.Fatal(err)
			}
			for cut := 0; cut < len(stdout); cut += max(97, len(stdout)/100) {
				r, err := p.Read(stdout[:cut])
				if err != nil {
					continue // it never began
				}
				if r.Complete {
					t.Fatalf("cut at %d of %d it is complete", cut, len(stdout))
				}
				for i, s := range r.Sections {
					if s.Status >= 0 && !bytes.Equal(s.Data, whole.Sections[i].Data) {
						t.Fatalf("cut at %d, section %s has other data", cut, s.Name)
					}
				}
				checkReports(t, p, r)
			}
		})
	}
}

// checkReports holds reports to what must be true of all of them, whatever they were made of.
func checkReports(tb testing.TB, p collector.Plan, r collector.Run) {
	tb.Helper()
	for _, report := range p.Reports(r) {
		if report.Status == collector.StatusFailed {
			if report.Failure == nil || report.Facts != nil || report.ContentHash != [32]byte{} {
				tb.Errorf("%s failed without a reason or with facts: %+v", report.Type, report)
			}
			continue
		}
		if report.Failure != nil || !json.Valid(report.Facts) || !json.Valid(report.Metrics) {
			tb.Errorf("%s is %s with failure %v, facts %s, metrics %s",
				report.Type, report.Status, report.Failure, report.Facts, report.Metrics)
		}
		if collector.ContentHash(report.Type, report.SchemaVersion, report.Facts) != report.ContentHash {
			tb.Errorf("%s has another hash than its facts", report.Type)
		}
		if bytes.Contains(report.Facts, []byte(`\u0000`)) || bytes.Contains(report.Metrics, []byte(`\u0000`)) {
			tb.Errorf("%s holds NUL, which the database refuses", report.Type)
		}
		if report.Status == collector.StatusPartial && len(report.Unavailable) == 0 && len(report.Warnings) == 0 {
			tb.Errorf("%s is partial and does not say why", report.Type)
		}
	}
}

// FuzzRead feeds whole answers, frames and all.
func FuzzRead(f *testing.F) {
	for _, stdout := range recordings(f) {
		f.Add(stdout)
	}
	f.Fuzz(func(t *testing.T, stdout []byte) {
		p := plan(t, collector.Options{Nonce: recordedNonce})
		r, err := p.Read(stdout)
		if err != nil {
			return
		}
		checkReports(t, p, r)
	})
}

// FuzzSections feeds one section after the other with what no host would say, beside a good identity.
func FuzzSections(f *testing.F) {
	for _, stdout := range recordings(f) {
		p := plan(f, collector.Options{Nonce: recordedNonce})
		r, err := p.Read(stdout)
		if err != nil {
			f.Fatal(err)
		}
		for i, s := range r.Sections {
			f.Add(uint8(i), s.Data)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		p := plan(t, collector.Options{Nonce: recordedNonce})
		names := p.Sections()
		name := names[int(which)%len(names)]
		r, err := p.Read(answer(map[string]string{"id": linuxIdentity, name: string(data)}, names))
		if err != nil {
			t.Fatal(err)
		}
		checkReports(t, p, r)
	})
}

const linuxIdentity = "=kernel Linux\n=arch x86_64\n=uid 0\n/proc/sys/kernel/hostname:h\n"

// answer frames sections as the script does, in the order of names; those without contents are empty.
func answer(contents map[string]string, names []string) []byte {
	var b strings.Builder
	b.WriteString("@@" + recordedNonce + " BEGIN 1795357537 4711\n")
	for _, name := range names {
		b.WriteString("\n@@" + recordedNonce + " S " + name + "\n" + contents[name])
		b.WriteString("\n@@" + recordedNonce + " E " + name + " 0\n")
	}
	b.WriteString("\n@@" + recordedNonce + " END 1795357538\n")
	return []byte(b.String())
}
