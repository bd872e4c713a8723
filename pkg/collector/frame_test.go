package collector_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestAnAnswerWithoutABeginIsAFailureWithACode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, said string
		want       fleet.Code
	}{
		{"a login that says nothing", "", fleet.CodeShellRestricted},
		{"nologin", "This account is currently not available.\n", fleet.CodeShellRestricted},
		{"a forced sftp", "This service allows sftp connections only.\n", fleet.CodeShellRestricted},
		{"a restricted bash", "rbash: line 1: /bin/sh: restricted: cannot specify `/' in command names\n", fleet.CodeShellRestricted},
		{"a forced command that refuses", "Command not permitted to execute here\n", fleet.CodeShellRestricted},
		{"a menu", "Welcome to the appliance\n1) Reboot\n2) Shell\n", fleet.CodeProtocolNoise},
		{"bytes that are no text", "\x00\xff\x1b[2J", fleet.CodeProtocolNoise},
		{"the frames of another run", "@@ffffffffffffffffffffffffffffffff BEGIN 1 2\n", fleet.CodeProtocolNoise},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := plan(t, collector.Options{}).Read([]byte(tt.said))
			failure, ok := errors.AsType[*fleet.Failure](err)
			if !ok || failure.Code != tt.want {
				t.Fatalf("Read = %v, want a failure with code %s", err, tt.want)
			}
			if said := failure.Details["preamble"]; !utf8.ValidString(said) || strings.Contains(said, "\x00") {
				t.Errorf("preamble = %q holds what a database refuses", failure.Details["preamble"])
			}
		})
	}
}

func TestReadTakesFramesApart(t *testing.T) {
	t.Parallel()
	mark := "@@" + recordedNonce
	id := "\n" + mark + " S id\n" + linuxIdentity + "\n" + mark + " E id 0\n"
	tests := []struct {
		name, stdout string
		check        func(collector.Run) bool
	}{
		{"noise without a newline before the beginning", "motd" + mark + " BEGIN 100 5\n" + id, func(r collector.Run) bool {
			return string(r.Preamble) == "motd" && r.ClockAt.Equal(time.Unix(100, 0)) && r.PGID == 5 && len(r.Sections) == 1
		}},
		{"a clock and a group that are none", mark + " BEGIN x -1\n", func(r collector.Run) bool {
			return r.ClockAt.IsZero() && r.PGID == 0
		}},
		{"the group of init", mark + " BEGIN 100 1\n", func(r collector.Run) bool { return r.PGID == 0 }},
		{"a section that comes twice", mark + " BEGIN 1 2\n" + id + "\n" + mark + " S id\nother\n" + mark + " E id 0\n", func(r collector.Run) bool {
			return len(r.Sections) == 1 && r.Kernel() == "Linux" && r.Root()
		}},
		{"a section that nobody asked for", mark + " BEGIN 1 2\n\n" + mark + " S shadow\nroot:x\n" + mark + " E shadow 0\n", func(r collector.Run) bool {
			return len(r.Sections) == 0
		}},
		{"a section whose end is another's", mark + " BEGIN 1 2\n\n" + mark + " S os\nx\n" + mark + " E id 0\n" + id, func(r collector.Run) bool {
			s, ok := r.Section("os")
			return ok && s.Truncated && len(r.Sections) == 2
		}},
		{"a status and a bound that was met", mark + " BEGIN 1 2\n\n" + mark + " S os\nx\n" + mark + " E os t 137\n", func(r collector.Run) bool {
			s, _ := r.Section("os")
			return s.TimedOut && s.Status == 137 && !s.Truncated && string(s.Data) == "x"
		}},
		{"a file without a final newline", mark + " BEGIN 1 2\n\n" + mark + " S os\nno newline\n" + mark + " E os 0\n", func(r collector.Run) bool {
			s, _ := r.Section("os")
			return string(s.Data) == "no newline"
		}},
		{"an end", mark + " BEGIN 1 2\n" + id + "\n" + mark + " END 3\nmore", func(r collector.Run) bool { return r.Complete }},
		{"no end", mark + " BEGIN 1 2\n" + id, func(r collector.Run) bool { return !r.Complete }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := plan(t, collector.Options{Nonce: recordedNonce}).Read([]byte(tt.stdout))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(r) {
				t.Errorf("Read = %+v", r)
			}
		})
	}
}

func TestThePreambleIsKeptUpToItsBound(t *testing.T) {
	t.Parallel()
	noise := strings.Repeat("n", 100_000)
	r, err := plan(t, collector.Options{Nonce: recordedNonce}).Read([]byte(noise + "\n@@" + recordedNonce + " BEGIN 1 2\n"))
	if err != nil || len(r.Preamble) != 4096 {
		t.Errorf("preamble of %d bytes, %v; want 4096", len(r.Preamble), err)
	}
}

func TestReportsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	contents := func(change func(map[string]string)) map[string]string {
		c := map[string]string{
			"id": linuxIdentity, "mem": "MemTotal: 1000 kB\nMemAvailable: 400 kB\n", "cpu": "present:0-1\nonline:0-1\n",
			"mounts": "/dev/sda1 / ext4 rw 0 0\n", "net": "lo/ifindex:1\n", "os": "/proc/uptime:1.5 1\n",
			"df": "#blocks\n/dev/sda1 100 50 40 50% /\n#inodes\n",
		}
		change(c)
		return c
	}
	tests := []struct {
		name, report string
		change       func(map[string]string)
		status       string
		path, reason string
	}{
		{"everything is there", "memory", func(map[string]string) {}, "ok", "pressure", "not_applicable"},
		{"memory that says nothing", "memory", func(c map[string]string) { c["mem"] = "" }, "failed", "", ""},
		{"memory that is garbage", "memory", func(c map[string]string) { c["mem"] = "\xff\x00:\n::=" }, "failed", "", ""},
		{"processors that are garbage", "cpu", func(c map[string]string) { c["cpu"] = "\xff\x00\xfe" }, "partial", "threads", "parse_failed"},
		{"mounts that are garbage", "disks", func(c map[string]string) { c["mounts"] = "what is that" }, "failed", "", ""},
		{"a line among the mounts that is none", "disks", func(c map[string]string) { c["mounts"] += "x\n" }, "partial", "filesystems", "parse_failed"},
		{"lsblk that is no JSON", "disks", func(c map[string]string) { c["lsblk"] = "{" }, "partial", "block.*.fstype", "parse_failed"},
		{"LVM that is no JSON", "disks", func(c map[string]string) { c["lvm"] = "#vgs\nnope" }, "partial", "lvm", "parse_failed"},
		{"a df that is not there", "disks", func(c map[string]string) { c["df"] = "" }, "ok", "filesystems.*.size", "tool_missing"},
		{"routes that are no JSON", "network", func(c map[string]string) { c["ip_route"] = "#inet\n[{]\n" }, "partial", "routes", "parse_failed"},
		{"addresses that end too soon", "network", func(c map[string]string) { c["ip_addr"] = `[{"ifname":"lo"},` }, "partial", "interfaces.*.addresses", "parse_failed"},
		{"no interface at all", "network", func(c map[string]string) { c["net"] = "nothing" }, "failed", "", ""},
		{"another section's garbage", "memory", func(c map[string]string) { c["cpu"], c["net"], c["df"] = "\x00", "\x00", "\x00" }, "ok", "pressure", "not_applicable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{Nonce: recordedNonce})
			r, err := p.Read(answer(contents(tt.change), p.Sections()))
			if err != nil {
				t.Fatal(err)
			}
			checkReports(t, p, r)
			for _, report := range p.Reports(r) {
				if report.Type != tt.report {
					continue
				}
				if report.Status != tt.status || tt.path != "" && report.Unavailable[tt.path] != tt.reason {
					t.Errorf("status %s with unavailable %v; want %s with %s for %q",
						report.Status, report.Unavailable, tt.status, tt.reason, tt.path)
				}
			}
		})
	}
}

func TestASectionThatWasCutOrTimedOutMakesAReportPartial(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce}, "disks")
	whole := answer(map[string]string{
		"id": linuxIdentity, "mounts": "/dev/sda1 / ext4 rw 0 0\n", "df": "#blocks\n/dev/sda1 100 50 40 50% /\n#inodes\n",
	}, p.Sections())
	before, _, _ := bytes.Cut(whole, []byte("#inodes"))
	tests := []struct {
		name   string
		stdout []byte
		reason string
	}{
		{"df met its bound", bytes.Replace(whole, []byte("E df 0"), []byte("E df t 137"), 1), "timed_out"},
		{"the script died in df", before, "timed_out"},
		{"df said too much", bytes.Replace(whole, []byte("#inodes"), bytes.Repeat([]byte("x\n"), 2<<20), 1), "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := p.Read(tt.stdout)
			if err != nil {
				t.Fatal(err)
			}
			report := p.Reports(r)[0]
			const path = "filesystems.*.size"
			if report.Status != "partial" || report.Unavailable[path] != tt.reason {
				t.Errorf("status %s with unavailable %v, want partial with %s", report.Status, report.Unavailable, tt.reason)
			}
		})
	}
}

func TestTextThatIsNoUTF8IsMadeSoAndSaid(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce}, "os")
	r, err := p.Read(answer(map[string]string{
		"id": linuxIdentity, "os": "/etc/os-release:ID=x\n/etc/os-release:NAME=\"M\xfcnster\x00 1\"\n",
	}, p.Sections()))
	if err != nil {
		t.Fatal(err)
	}
	report := p.Reports(r)[0]
	var facts struct{ Name string }
	if err := json.Unmarshal(report.Facts, &facts); err != nil || facts.Name != "M\uFFFDnster 1" {
		t.Errorf("name = %q, %v", facts.Name, err)
	}
	if report.Status != "ok" || !strings.Contains(strings.Join(report.Warnings, "\n"), "section os: lossy") {
		t.Errorf("status %s, warnings %q", report.Status, report.Warnings)
	}
}
