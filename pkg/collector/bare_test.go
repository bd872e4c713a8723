package collector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// bareRoot is a root directory with BusyBox, three files of /etc and nothing else.
const bareRoot = `mount -t tmpfs none "$DIR"
mkdir -p "$DIR/bin" "$DIR/etc" "$DIR/proc" "$DIR/sys" "$DIR/dev" "$DIR/tmp"
cp "$BUSYBOX" "$DIR/bin/busybox"
for applet in $("$BUSYBOX" --list); do ln -s busybox "$DIR/bin/$applet" || true; done 2>/dev/null
printf 'root:x:0:0::/:/bin/sh\n' >"$DIR/etc/passwd"
printf 'root:x:0:\n' >"$DIR/etc/group"
printf 'ID=bare\n' >"$DIR/etc/os-release"
mount --rbind /proc "$DIR/proc"
mount --rbind /sys "$DIR/sys"
mknod -m 666 "$DIR/dev/null" c 1 3 || { touch "$DIR/dev/null"; mount --bind /dev/null "$DIR/dev/null"; }
exec chroot "$DIR" /bin/sh -c "$COMMAND"`

// TestBusyBoxAndNothingElse holds that a system of BusyBox alone gets all reports, and reasons for what they lack.
func TestBusyBoxAndNothingElse(t *testing.T) {
	t.Parallel()
	busybox, err := filepath.EvalSymlinks(needs.Program(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--mount", "--propagation", "private"}
	if os.Geteuid() != 0 {
		flags = append(flags, "--user", "--map-root-user")
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", append(flags, "mount", "-t", "tmpfs", "none", "/mnt")...).CombinedOutput(); err != nil {
		needs.Lacking(t, "this account (%d) can make no mount namespace: %v: %s", os.Geteuid(), err, out)
	}
	p := plan(t, collector.Options{})
	cmd := exec.CommandContext(t.Context(), "unshare", append(flags, "/bin/sh", "-c", bareRoot)...)
	cmd.Env = []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin", "DIR=" + t.TempDir(), "BUSYBOX=" + busybox, "COMMAND=" + p.Command()}
	cmd.Stdin = bytes.NewReader(p.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("in the bare root: %v\n%s", err, stderr.Bytes())
	}
	r, err := p.Read(stdout)
	if err != nil || !r.Complete {
		t.Fatalf("complete %v, %v\n%s", r.Complete, err, stderr.Bytes())
	}
	for _, report := range p.Reports(r) {
		t.Logf("%s is %s: %v %v", report.Type, report.Status, report.Unavailable, report.Warnings)
		switch {
		case report.Status == collector.StatusFailed:
			t.Errorf("%s failed: %v", report.Type, report.Failure)
		case report.Status == collector.StatusPartial && len(report.Unavailable) == 0:
			t.Errorf("%s is partial without a reason", report.Type)
		}
		for path, value := range facts.Leaves(report.Facts) {
			for lost, reason := range report.Unavailable {
				if reason == collector.ReasonNotApplicable {
					continue // there is none: empty is what it is
				}
				if said := string(value); (said == "{}" || said == "[]") && covers(t, lost, path.String()) {
					t.Errorf("%s %s is %s, although %s is unknown", report.Type, path, said, lost)
				}
			}
		}
	}
}

// hugeHost is larger than any that was seen: 65,000 mount lines, of which 30,000 are different, 20,000 packages and 5,000
// ports.
func hugeHost() map[string]string {
	var mounts, tcp strings.Builder
	for i := range 65_000 {
		fmt.Fprintf(&mounts, "/dev/sda%d /srv/volume%05d ext4 rw,relatime 0 0\n", i%7, i%30_000)
	}
	tcp.WriteString("#tcp\n  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	for i := range 5_000 {
		fmt.Fprintf(&tcp, "%5d: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 %d 1 0000000000000000 100 0 0 10 0\n", i, 1024+i, 90_000+i)
	}
	return map[string]string{
		"id": linuxIdentity, "mounts": "/dev/sda1 / ext4 rw 0 0\n" + mounts.String(), "pkg_dbs": "/var/lib/dpkg/status\n", "dpkg": manyPackages(20_000),
		"sockets": tcp.String() + "#range\n32768 60999\n#names\nalice:1000\n", "holders": "#inodes\n#processes\n",
	}
}

func readHuge(tb testing.TB, stdout []byte, p collector.Plan) map[string]collector.Report {
	tb.Helper()
	r, err := p.Read(stdout)
	if err != nil {
		tb.Fatal(err)
	}
	reports := map[string]collector.Report{}
	for _, report := range p.Reports(r) {
		reports[report.Type] = report
	}
	return reports
}

func TestAHugeHostStaysWithinTheCaps(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce}, "disks", "packages", "ports")
	stdout := answer(hugeHost(), p.Sections())
	if int64(len(stdout)) > p.MaxOutput() {
		t.Fatalf("%d bytes, and %d are kept", len(stdout), p.MaxOutput())
	}
	reports := readHuge(t, stdout, p)
	for _, tt := range []struct {
		report, list string
		least, most  int
		cut          bool
	}{
		{"disks", "filesystems", 1_000, 5_000, true},
		{"packages", "packages", 20_000, 20_000, false},
		{"ports", "listening", 5_000, 5_000, false},
	} {
		report := reports[tt.report]
		var lists, listed map[string]json.RawMessage
		if err := json.Unmarshal(report.Facts, &lists); err != nil {
			t.Fatalf("%s is %s: %v", tt.report, report.Status, report.Failure)
		}
		if err := json.Unmarshal(lists[tt.list], &listed); err != nil {
			t.Fatal(err)
		}
		if len(listed) < tt.least || len(listed) > tt.most {
			t.Errorf("%s has %d %s, want from %d to %d", tt.report, len(listed), tt.list, tt.least, tt.most)
		}
		if said := report.Unavailable[tt.list] == collector.ReasonTruncated; said != tt.cut || (report.Status == collector.StatusPartial) != tt.cut {
			t.Errorf("%s is %s, and %v: want it cut: %v", tt.report, report.Status, report.Unavailable, tt.cut)
		}
	}
}

// BenchmarkAHugeHost has to stay below a second.
func BenchmarkAHugeHost(b *testing.B) {
	p := plan(b, collector.Options{Nonce: recordedNonce}, "disks", "packages", "ports")
	stdout := answer(hugeHost(), p.Sections())
	b.SetBytes(int64(len(stdout)))
	b.ReportAllocs()
	for b.Loop() {
		readHuge(b, stdout, p)
	}
}
