package collector_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// plainIdentity is that of a run as somebody who is not root.
const plainIdentity = "=kernel Linux\n=arch x86_64\n=uid 1000\n/proc/sys/kernel/hostname:h\n"

// plainRuns are answers that plain users have got: of this machine, through a directory that they may not enter, of the
// recordings, and of a machine with firmware, which not every machine has.
func plainRuns(t *testing.T) map[string][]collector.Report {
	t.Helper()
	runs := map[string][]collector.Report{}
	read := func(name string, p collector.Plan, stdout []byte) {
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !r.Root() {
			runs[name] = p.Reports(r)
		}
	}
	for name, stdout := range recordings(t) {
		read(name, plan(t, collector.Options{Nonce: recordedNonce}, typesOf(t, name)...), stdout)
	}
	if runs["debian-12-plain-user"] == nil {
		t.Fatal("the recording of a plain user is not one")
	}
	p := plan(t, collector.Options{Nonce: recordedNonce}, "os", "users")
	read("a machine with firmware", p, answer(map[string]string{
		"id": plainIdentity, "dmi": "sys_vendor:Maker\nproduct_name:Machine\n", "os": "/proc/uptime:1.5 1\n",
		"accounts": "#passwd\nalice:shadow:1000:1000::/home/closed/alice:/bin/sh\n#group\n#denied\n",
		"homes":    "denied\t/home/closed/alice\ndone\ndrwxr-xr-x 1 0 0 1 Jan 1 00:00 /\n", "keys": "patterns\t.ssh/authorized_keys\ndenied\talice\ndone\n",
	}, p.Sections()))
	p = plan(t, collector.Options{})
	read("this machine", p, plainOutput(t, p))
	return runs
}

// plainOutput returns what a plan prints on this machine for somebody who is not root.
func plainOutput(t *testing.T, p collector.Plan) []byte {
	t.Helper()
	if os.Geteuid() != 0 {
		return output(t, p)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", p.Command())
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(p.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPrivilegedIsWhatAPlainUserLoses holds both directions: whoever asks what root is good for is told everything that is
// lost, and nothing that is not.
func TestPrivilegedIsWhatAPlainUserLoses(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for name, reports := range plainRuns(t) {
		for _, report := range reports {
			patterns := collector.Privileged(report.Type)
			for lost, reason := range report.Unavailable {
				if reason != collector.ReasonNoPermission {
					continue
				}
				covered := slices.IndexFunc(patterns, func(pattern string) bool { return covers(t, pattern, lost) })
				if covered < 0 {
					t.Errorf("%s: a plain user is told nothing of %s %s, which Privileged does not say", name, report.Type, lost)
					continue
				}
				seen[report.Type+" "+patterns[covered]] = true
			}
		}
	}
	for _, name := range allTypes() {
		for _, pattern := range collector.Privileged(name) {
			if !seen[name+" "+pattern] {
				t.Errorf("Privileged says that %s %s takes root, and no plain user has missed it", name, pattern)
			}
		}
	}
}

// covers reports whether everything under the pattern lost is also under pattern.
func covers(t *testing.T, pattern, lost string) bool {
	t.Helper()
	p, err := facts.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	path, err := facts.ParsePath(strings.ReplaceAll(lost, "*", "any")) // any name at all
	if err != nil {
		t.Fatalf("%s: %v", lost, err)
	}
	return p.Covers(path)
}

// TestWhatAPlainUserLosesIsNeverEmpty holds that nothing is told to be empty where nobody could look.
func TestWhatAPlainUserLosesIsNeverEmpty(t *testing.T) {
	t.Parallel()
	held := 0
	for name, reports := range plainRuns(t) {
		for _, report := range reports {
			for path, value := range facts.Leaves(report.Facts) {
				for lost, reason := range report.Unavailable {
					if reason != collector.ReasonNoPermission || !covers(t, lost, path.String()) {
						continue
					}
					held++
					if said := string(value); said == "{}" || said == "[]" || said == `""` {
						t.Errorf("%s: %s %s is %s, although %s is unknown", name, report.Type, path, value, lost)
					}
				}
			}
		}
	}
	if held < 50 {
		t.Errorf("%d values are unknown, want many", held)
	}
}
