package collector_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// holdFiles keeps so many files open in other processes until the test ends.
func holdFiles(t *testing.T, many int) {
	t.Helper()
	bash := needs.Program(t, "bash", "bash")
	const each = 4000
	for left := many; left > 0; left -= each {
		cmd := exec.CommandContext(t.Context(), bash, "-c", fmt.Sprintf("for ((i = 0; i < %d; i++)); do exec {f}</dev/null || exit; done; echo held; read", min(left, each)))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = stdin.Close()
			_ = cmd.Wait() // read has met the end of its input
		})
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "held\n" {
			needs.Lacking(t, "a process may not hold %d files: %q, %v", each, line, err)
		}
	}
}

// TestOnAMachineWithVeryManyOpenFilesTheHoldersAreTheSame takes the way by ss, which starts at 20,000 open files, and gives
// a process a name that ss prints as if it were another's.
func TestOnAMachineWithVeryManyOpenFilesTheHoldersAreTheSame(t *testing.T) {
	t.Parallel()
	ss, called := needs.Program(t, "ss", "iproute2"), filepath.Join(t.TempDir(), "called")
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "ss"), []byte("#!/bin/sh\n: >"+called+"\nexec "+ss+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	python := needs.Program(t, "python3", "python3")
	cmd := exec.CommandContext(t.Context(), python, "-c", `import socket, sys
s = socket.create_server(("127.0.0.1", 0))
open("/proc/self/comm", "w").write('",pid=1,fd=3')
print(s.getsockname()[1], flush=True)
sys.stdin.read()`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	planted := "tcp:127.0.0.1:" + strings.TrimSpace(line)

	holdFiles(t, 21_000)
	p := plan(t, collector.Options{}, "ports")
	began := time.Now()
	report := p.Reports(run(t, p, "env", "PATH="+path+":"+os.Getenv("PATH"), "/bin/sh"))[0]
	t.Logf("with %s open files it took %v", strings.Fields(readFile(t, "/proc/sys/fs/file-nr"))[0], time.Since(began))
	if _, err := os.Stat(called); err != nil {
		t.Fatalf("ss was not asked: %v", err)
	}
	equal(t, "status", report.Status, collector.StatusOK)
	facts, metrics := decode(t, report.Facts), decode(t, report.Metrics)
	own := "tcp:" + listener.Addr().String()
	equal(t, "own process", at(facts, "listening", own, "process"), any(strings.TrimSpace(readFile(t, "/proc/self/comm"))))
	equal(t, "own pid", at(metrics, "listening", own, "pid"), any(float64(os.Getpid())))
	equal(t, "the name", at(facts, "listening", planted, "process"), any(`",pid=1,fd=3`))
	equal(t, "its pid", at(metrics, "listening", planted, "pid"), any(float64(cmd.Process.Pid)))
}

// accountsOf are those of a machine with many: every tenth in a large group, half of them with a home.
func accountsOf(many int) map[string]string {
	var passwd, group, shadow, homes, keys strings.Builder
	passwd.WriteString("root:shadow:0:0:root:/root:/bin/sh\n")
	group.WriteString("root:0:\nstaff:50:user0")
	homes.WriteString("drwxr-xr-x 2 0 0 4096 Jan  1 00:00 /\n")
	keys.WriteString("patterns\t.ssh/authorized_keys\n")
	for i := range many - 1 {
		fmt.Fprintf(&passwd, "user%d:shadow:%d:%d:User %d,,,:/home/user%d:/bin/bash\n", i, 1000+i, 1000+i, i, i)
		if i%10 == 0 {
			fmt.Fprintf(&group, ",user%d", i)
		}
		fmt.Fprintf(&shadow, "user%d:set:19000:0:99999:7:::\n", i)
		if i%2 == 0 {
			fmt.Fprintf(&homes, "drwx------ 2 %d %d 4096 Jan  1 00:00 /home/user%d\n", 1000+i, 1000+i, i)
		}
	}
	group.WriteByte('\n')
	for i := range many - 2 {
		fmt.Fprintf(&group, "user%d:%d:\n", i, 1000+i)
	}
	return map[string]string{
		"id": linuxIdentity, "accounts": "#passwd\n" + passwd.String() + "#group\n" + group.String() + "#defs\nUID_MIN 1000\n#shadow\n" + shadow.String(),
		"homes": homes.String() + "done\n", "keys": keys.String() + "done\n",
		"sudoers": "file\t/etc/sudoers\tx -\nrule\t%staff\tALL\t(ALL) ALL\nrule\tuser7\tALL\t(ALL) NOPASSWD: /bin/x\ndone\n",
	}
}

func TestFiftyThousandAccountsStayWithinTheCaps(t *testing.T) {
	t.Parallel()
	const many = 50_000
	p := plan(t, collector.Options{Nonce: recordedNonce}, "users")
	stdout := answer(accountsOf(many), p.Sections())
	if int64(len(stdout)) > p.MaxOutput() {
		t.Fatalf("%d bytes, and %d are kept", len(stdout), p.MaxOutput())
	}
	r, err := p.Read(stdout)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Sections {
		if s.Truncated {
			t.Errorf("%s was cut at %d bytes", s.Name, len(s.Data))
		}
	}
	began := time.Now()
	report := p.Reports(r)[0]
	took := time.Since(began)
	if t.Logf("%d bytes took %v", len(stdout), took); took > 2*time.Minute { // a second where nothing else runs, see the benchmark; hours if it were squared
		t.Errorf("it took %v", took)
	}
	equal(t, "status", report.Status, collector.StatusOK)
	facts := decode(t, report.Facts)
	equal(t, "users", len(object(facts["users"])), many)
	equal(t, "groups", len(object(facts["groups"])), many)
	equal(t, "an admin", at(facts, "users", "user10", "admin_via"), any([]any{"%staff"}))
	more := readMany(t, many+1)
	equal(t, "one more", at(decode(t, more.Facts), "users", fmt.Sprintf("user%d", many-1)), nil)
	equal(t, "reason", more.Unavailable["users"], collector.ReasonTruncated)
}

func readMany(tb testing.TB, many int) collector.Report {
	tb.Helper()
	p := plan(tb, collector.Options{Nonce: recordedNonce}, "users")
	r, err := p.Read(answer(accountsOf(many), p.Sections()))
	if err != nil {
		tb.Fatal(err)
	}
	return p.Reports(r)[0]
}

// BenchmarkFiftyThousandAccounts has to stay below a second.
func BenchmarkFiftyThousandAccounts(b *testing.B) {
	p := plan(b, collector.Options{Nonce: recordedNonce}, "users")
	stdout := answer(accountsOf(50_000), p.Sections())
	b.ReportAllocs()
	for b.Loop() {
		r, err := p.Read(stdout)
		if err != nil {
			b.Fatal(err)
		}
		p.Reports(r)
	}
}

// TestKeyFilesThatHangCostNothing gives accounts key files that would be read for ever, on this machine with another
// /etc/passwd, beside one that is good; and so many accounts that looking for each must be quick.
func TestKeyFilesThatHangCostNothing(t *testing.T) {
	t.Parallel()
	needs.Root(t, "mounting another /etc/passwd")
	needs.Program(t, "unshare", "util-linux")
	dir := t.TempDir()
	var passwd strings.Builder
	passwd.WriteString("root:x:0:0:root:/root:/bin/sh\n")
	for _, name := range []string{"good", "fifo", "link", "endless", "socket"} {
		home := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&passwd, "%s:x:7:7::%s:/bin/sh\n", name, home)
	}
	keys := func(name string) string { return filepath.Join(dir, name, ".ssh", "authorized_keys") }
	const good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f good@test\n"
	fifo := filepath.Join(dir, "pipe")
	for _, err := range []error{
		os.WriteFile(keys("good"), []byte(good), 0o600), syscall.Mkfifo(keys("fifo"), 0o600), syscall.Mkfifo(fifo, 0o600),
		os.Symlink(fifo, keys("link")), os.Symlink("/dev/zero", keys("endless")), syscall.Mknod(keys("socket"), syscall.S_IFSOCK|0o600, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10_000 {
		fmt.Fprintf(&passwd, "user%d:x:%d:7::/home/nobody/user%d:/bin/sh\n", i, 1000+i, i)
	}
	file := filepath.Join(dir, "passwd")
	if err := os.WriteFile(file, []byte(passwd.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := plan(t, collector.Options{}, "users")
	began := time.Now()
	report := p.Reports(run(t, p, "unshare", "-m", "/bin/sh", "-c", `mount --bind "$0" /etc/passwd && exec /bin/sh "$@"`, file))[0]
	took := time.Since(began)
	if t.Logf("10,000 accounts took %v", took); took > 45*time.Second {
		t.Errorf("it took %v", took)
	}
	facts := decode(t, report.Facts)
	equal(t, "accounts", len(object(facts["users"])), 10_006)
	if got := object(at(facts, "users", "good", "ssh_keys")); len(got) != 1 {
		t.Errorf("the good key is not among %v: %s, %v, %v", got, report.Status, report.Unavailable, report.Warnings)
	}
	for _, name := range []string{"fifo", "link", "endless", "socket"} {
		equal(t, name, at(facts, "users", name, "ssh_keys"), any(document{}))
	}
}
