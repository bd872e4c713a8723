package collector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// shells returns the shells of this machine that can run the script, as the word that has to replace /bin/sh in it.
// sh is always among them.
func shells(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, words := range map[string]string{
		"sh": "/bin/sh", "dash": "dash", "bash": "bash", "busybox": "busybox sh", "mksh": "mksh", "ksh": "ksh",
	} {
		path, err := exec.LookPath(strings.Fields(words)[0])
		if err == nil {
			_, rest, _ := strings.Cut(words, " ")
			found[name] = strings.TrimSpace(path + " " + rest)
		}
	}
	if found["sh"] == "" {
		t.Fatal("this machine has no /bin/sh")
	}
	t.Logf("shells: %v", found)
	return found
}

func TestEveryShellGivesTheSameReports(t *testing.T) {
	t.Parallel()
	for name, words := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := twice(t, "/bin/sh", words)
			for i, report := range second {
				if report.Status != collector.StatusOK {
					t.Errorf("%s is %s: %v", report.Type, report.Status, report.Warnings)
				}
				if name == "busybox" && report.Type == "network" {
					// BusyBox prefers its own ip, which knows less.
					equalButFor(t, report.Facts, first[i].Facts, "scope", "protocol", "src", "type")
				} else {
					equalButFor(t, report.Facts, first[i].Facts)
				}
			}
		})
	}
}

// twice collects this machine through one shell and then the other. Others use the machine too: when its mounts or
// addresses have changed meanwhile, it tries again.
func twice(t *testing.T, a, b string) (first, second []collector.Report) {
	t.Helper()
	for range 20 {
		before, ports := surroundings(t), openPorts(t)
		p, q := plan(t, collector.Options{}), plan(t, collector.Options{})
		r, err := p.Read(shellOutput(t, p, a))
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Read(shellOutput(t, q, b))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Complete || s.PGID == 0 || len(s.Sections) != len(q.Sections()) {
			t.Fatalf("complete %v, group %d, %d sections of %d", s.Complete, s.PGID, len(s.Sections), len(q.Sections()))
		}
		if before == surroundings(t) {
			after := openPorts(t)
			first, second = steady(t, p.Reports(r), ports, after), steady(t, q.Reports(s), ports, after)
			return common(t, first, second), common(t, second, first)
		}
	}
	t.Fatal("this machine changes all the time")
	return nil, nil
}

// openPorts returns the sockets of this machine that wait for others, each by a line without what changes by itself.
func openPorts(t *testing.T) map[string]bool {
	t.Helper()
	ports := map[string]bool{}
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
		for line := range strings.Lines(readFile(t, "/proc/net/"+proto)) {
			f := strings.Fields(line)
			if len(f) > 9 && (f[3] == "0A" || f[3] == "07") {
				ports[f[1]+" "+f[9]] = true
			}
		}
	}
	return ports
}

// steady returns the reports with those ports only that were open before and after them, because other programs of this
// machine open and close some at any time.
func steady(t *testing.T, reports []collector.Report, before, after map[string]bool) []collector.Report {
	t.Helper()
	for i, report := range reports {
		if report.Type != "ports" {
			continue
		}
		f := decode(t, report.Facts)
		listening, ok := f["listening"].(document)
		if !ok {
			t.Fatalf("the ports are %s", report.Facts)
		}
		metrics := decode(t, report.Metrics)
		for key := range listening {
			inode, _ := at(metrics, "listening", key, "inode").(float64)
			line := fmt.Sprintf("%s %.0f", kernelName(t, key), inode)
			if !before[line] || !after[line] || at(listening, key, "process") == nil { // nobody is left who holds it
				delete(listening, key)
			}
		}
		facts, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		reports[i].Facts, reports[i].ContentHash = facts, collector.ContentHash(report.Type, report.SchemaVersion, facts)
	}
	return reports
}

// common returns the reports without the ports that the other ones lack: whoever held them was ending in between. Most
// ports have to be in both.
func common(t *testing.T, reports, others []collector.Report) []collector.Report {
	t.Helper()
	out := slices.Clone(reports)
	for i, report := range reports {
		if report.Type != "ports" {
			continue
		}
		f := decode(t, report.Facts)
		there, ok := at(decode(t, others[i].Facts), "listening").(document)
		listening, ok2 := f["listening"].(document)
		if !ok || !ok2 {
			t.Fatalf("the ports are %s and %s", report.Facts, others[i].Facts)
		}
		all := len(listening)
		for key := range listening {
			if _, both := there[key]; !both {
				delete(listening, key)
			}
		}
		if len(listening)*2 < all {
			t.Errorf("only %d of %d ports are in both reports", len(listening), all)
		}
		facts, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		out[i].Facts, out[i].ContentHash = facts, collector.ContentHash(report.Type, report.SchemaVersion, facts)
	}
	return out
}

// kernelName returns the address and port of a key such as tcp:127.0.0.1:22 as /proc/net has them on a machine that keeps
// the least significant byte first.
func kernelName(t *testing.T, key string) string {
	t.Helper()
	_, rest, _ := strings.Cut(key, ":")
	a, err := netip.ParseAddrPort(rest)
	if err != nil {
		t.Fatal(err)
	}
	var name strings.Builder
	for word := range slices.Chunk(a.Addr().AsSlice(), 4) {
		fmt.Fprintf(&name, "%02X%02X%02X%02X", word[3], word[2], word[1], word[0])
	}
	return fmt.Sprintf("%s:%04X", name.String(), a.Port())
}

// surroundings is what others may change about this machine while a test runs.
func surroundings(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	return readFile(t, "/proc/self/mounts") + fmt.Sprint(addresses) + readFile(t, "/etc/resolv.conf") + readFile(t, "/etc/hosts") +
		modified("/var/lib/dpkg/status") + modified("/var/lib/dpkg/info") + modified("/etc/init.d")
}

// modified returns when a file was, as far as it is there.
func modified(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return info.ModTime().String()
}

func TestEveryLoginShellRunsTheCommand(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sh", "dash", "bash", "busybox", "mksh", "ksh", "zsh", "fish", "tcsh", "csh", "yash"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := []string{path}
			if name == "busybox" {
				words = append(words, "sh")
			}
			p := plan(t, collector.Options{}, "os")
			if r := run(t, p, words...); !r.Complete || r.PGID == 0 || r.MachineID() == "" {
				t.Errorf("complete %v, group %d, machine %q", r.Complete, r.PGID, r.MachineID())
			}
		})
	}
}

// equalButFor compares two documents without the fields of those names, at any depth.
func equalButFor(t *testing.T, got, want []byte, names ...string) {
	t.Helper()
	ignore := cmp.FilterPath(func(p cmp.Path) bool {
		key, ok := p.Last().(cmp.MapIndex)
		return ok && slices.Contains(names, key.Key().String())
	}, cmp.Ignore())
	if diff := cmp.Diff(decode(t, want), decode(t, got), ignore); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestTheFactsOfAnUnchangedHostDoNotChange(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"at rest", "under the load of the others", "and again"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				first, second := twice(t, "/bin/sh", "/bin/sh")
				for i := range first {
					if first[i].ContentHash != second[i].ContentHash {
						t.Errorf("%s changed: %s", first[i].Type, cmp.Diff(decode(t, first[i].Facts), decode(t, second[i].Facts)))
					}
				}
			}
		})
	}
}

func TestAPlainUserGetsEverythingThatNeedsNoRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("running as a plain user, which the other tests cover")
		return
	}
	p := plan(t, collector.Options{})
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", p.Command())
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(p.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if r.Root() || r.PGID == 0 {
		t.Errorf("root %v, group %d", r.Root(), r.PGID)
	}
	for _, report := range p.Reports(r) {
		if report.Status != collector.StatusOK {
			t.Errorf("%s is %s: %v", report.Type, report.Status, report.Warnings)
		}
		for path, types := range map[string]string{"firewall": "network", "lvm": "disks"} {
			if types == report.Type && report.Unavailable[path] != collector.ReasonNoPermission {
				t.Errorf("%s: unavailable = %v, want %s to need permission", report.Type, report.Unavailable, path)
			}
		}
	}
}
