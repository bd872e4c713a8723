package collector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// planted is part of every secret that the tests plant.
const planted = "hunter2"

// inPreparedRoot collects in a mount namespace of our own in which a shell script, as root, has made of this machine what
// it likes, and returns what came over the wire. It finds an empty directory in $DIR and a copy of /etc in place of it.
func inPreparedRoot(t *testing.T, p collector.Plan, setup string, asUser ...string) []byte {
	t.Helper()
	flags := []string{"--mount"}
	if os.Geteuid() != 0 {
		flags = append(flags, "--user", "--map-root-user")
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", append(flags, "mount", "-t", "tmpfs", "none", "/mnt")...).CombinedOutput(); err != nil {
		needs.Lacking(t, "this account (%d) can make no mount namespace: %v: %s", os.Geteuid(), err, out)
	}
	const prepare = `exec 9<&0 </dev/null
mount -t tmpfs none "$DIR"
mkdir "$DIR/etc" "$DIR/home"
cp -a /etc/. "$DIR/etc/" 2>/dev/null || true # not all of it is ours to read
chmod 755 "$DIR"
mount --bind "$DIR/etc" /etc
mount -t tmpfs none /root
mount --bind "$DIR/home" /home
rm -rf /etc/sudoers /etc/sudoers.d /etc/doas.conf /etc/doas.d
`
	script := prepare + setup + "\nexec 0<&9 9<&-\nset +e\n" + strings.Join(asUser, " ") + ` /bin/sh -c "$COMMAND"`
	cmd := exec.CommandContext(t.Context(), "unshare", append(flags, "/bin/sh", "-ec", script)...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DIR="+t.TempDir(), "COMMAND="+p.Command(), "PLANTED_TOKEN="+planted)
	cmd.Stdin = bytes.NewReader(p.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("in the prepared root: %v\n%s", err, stderr.Bytes())
	}
	return out
}

// preparedReports is inPreparedRoot for the reports of all types, by type.
func preparedReports(t *testing.T, setup string, asUser ...string) ([]byte, map[string]collector.Report) {
	t.Helper()
	p := plan(t, collector.Options{}, "users", "ports")
	stdout := inPreparedRoot(t, p, setup, asUser...)
	r, err := p.Read(stdout)
	if err != nil || !r.Complete {
		t.Fatalf("complete %v, %v", r.Complete, err)
	}
	reports := map[string]collector.Report{}
	for _, report := range p.Reports(r) {
		reports[report.Type] = report
	}
	return stdout, reports
}

// publicKey is one that nobody has the other half of.
const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhiBzfkj4QHoL4Aw0cvR0hX3gZ8cJ4bn1mS0aC3Qe6F"

// peopleSetup makes accounts that have secrets wherever anybody has been seen to keep one.
const peopleSetup = `
printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'daemon:*:1:1::/usr/sbin:/usr/sbin/nologin' \
  'alice:x:1000:1000:Alice:/home/alice:/bin/bash' 'legacy:$6$salt$hunter2:1001:1001::/home/legacy:/bin/sh' \
  'descrypt:hunter2hunter:1002:100::/nonexistent:/bin/sh' 'empty::1003:100::/nonexistent:/bin/sh' \
  'mallory:x:1004:100::/home/mallory:/bin/sh' 'eve:x:1005:100::/home/eve:/bin/sh' 'trent:x:1006:100::/home/trent:/bin/sh' \
  'broken:$6$hunter2' 'hunter2' ':hunter2:::::' '$6$hunter2:x:1007:100::/:/bin/sh' >/etc/passwd
printf '%s\n' 'root:$y$j9T$hunter2$hunter2:20000:0:99999:7:::' 'alice:!$6$hunter2:20001:1:90:14:30:21000:' \
  'mallory:x:$6$hunter2:1:2:3:4:5:' 'eve:hunter2' 'trent:$1$hunter2:::::::hunter2' '$6$hunter2:*:1::::::' \
  'legacy:x:20003:0:99999:7:::' >/etc/shadow
chmod 600 /etc/shadow
printf '%s\n' 'root:x:0:' 'adm:$6$hunter2:4:alice' 'users:hunter2:100:' 'staff:x:50:alice,eve' 'hunter2' 'bad:hunter2' >/etc/group
printf 'UID_MIN\t1000\n' >/etc/login.defs
for u in alice legacy mallory eve trent; do mkdir -p "/home/$u/.ssh"; chmod 700 "/home/$u/.ssh"; done
chmod 2750 /home/alice
for u in alice root; do d=$(eval echo "/home/$u"); [ $u = root ] && d=/root; mkdir -p $d/.ssh
printf '%s\n' '-----BEGIN OPENSSH PRIVATE KEY-----' 'b3BlbnNzaC1rZXktdjEAAAAAhunter2' 'hunter2hunter2' '-----END OPENSSH PRIVATE KEY-----' >$d/.ssh/id_ed25519; done
printf '%s\n' '# hunter2' '' 'KEY plain comment <a@b>' 'command="curl -u x:hunter2 \"https://x/?a,from=y\"",no-pty,from="192.0.2.0/24,198.51.100.1" KEY forced' \
  'environment="TOKEN=hunter2",restrict KEY' 'Environment="TOKEN=hunter2" KEY capital' 'environment=hunter2 KEY' 'command="hunter2 KEY' 'command={hunter2} KEY' \
  'principals="hunter2 and spaces" KEY spaced' 'hunter2' 'password AAAAhunter2' 'ssh-ed25519 AAAAhunter2' | sed 's#KEY#` + publicKey + `#' >/home/alice/.ssh/authorized_keys
cat /home/alice/.ssh/id_ed25519 >>/home/alice/.ssh/authorized_keys
ln -s /etc/shadow /home/mallory/.ssh/authorized_keys
ln -s /home/alice/.ssh/id_ed25519 /home/eve/.ssh/authorized_keys
ln -s /dev/zero /home/eve/.ssh/authorized_keys2
mkfifo /home/trent/.ssh/authorized_keys
mkfifo /home/trent/fifo
ln -s ../fifo /home/trent/.ssh/authorized_keys2
mkdir /etc/sudoers.d /etc/doas.d
cat >/etc/sudoers <<'END'
# hunter2
Defaults	env_reset, passprompt="hunter2", badpass_message=hunter2
Defaults:alice	!authenticate
Cmnd_Alias	DB = /usr/bin/mysql -phunter2, /usr/bin/psql : WEB = /bin/systemctl restart nginx
User_Alias	ADMINS = alice, \
	eve
root	ALL=(ALL:ALL) ALL
ADMINS	ALL = (root) NOPASSWD: DB, PASSWD: /bin/cat --token=hunter2\,hunter2 : web1 = (www-data : adm) WEB
%adm	ALL=(ALL) NOPASSWD: ALL
trent	ALL=(ALL) hunter2, sha256:hunter2 /bin/true, ^/bin/hunter2$ hunter2
hunter2
PASSWORD = hunter2
@includedir /etc/sudoers.d
END
echo 'mallory ALL=(ALL) !/bin/su # hunter2' >/etc/sudoers.d/10-mallory
echo '#include nested' >/etc/sudoers.d/20-more
echo '#1000 ALL=(postgres) /usr/bin/psql' >/etc/sudoers.d/nested
echo 'legacy ALL=(ALL) ALL' >/etc/sudoers.d/ignored.bak
printf '%s\n' 'permit nopass setenv { TOKEN=hunter2 } legacy as root cmd /sbin/reboot args hunter2' 'permit persist :adm' 'deny eve' 'permit hunter2 hunter2 hunter2' >/etc/doas.conf
`

func TestAPlantedSecretNeverLeavesTheHost(t *testing.T) {
	t.Parallel()
	port := listenInAnotherProcess(t)
	stdout, reports := preparedReports(t, peopleSetup)
	if at := bytes.Index(stdout, []byte(planted)); at >= 0 {
		t.Errorf("over the wire came %q", stdout[max(0, at-100):min(len(stdout), at+50)])
	}
	for name, report := range reports {
		whole, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(append(append(whole, report.Facts...), report.Metrics...), []byte(planted)) {
			t.Errorf("the report of type %s holds it: %s", name, report.Facts)
		}
		if name == "users" && report.Status != collector.StatusOK {
			t.Errorf("%s is %s: %v, %v", name, report.Status, report.Unavailable, report.Warnings)
		}
	}
	if _, listed := at(decode(t, reports["ports"].Facts), "listening", "tcp:127.0.0.1:"+port).(document); !listed {
		t.Error("the process that has a secret in its environment is not listed at all")
	}
}

// listenInAnotherProcess starts a process that listens on loopback and has a secret in its environment and arguments, and
// returns its port. It ends with the test.
func listenInAnotherProcess(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestListenForTheTestAbove$", "-test.v", planted)
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_LISTEN=1", "TOKEN="+planted)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	var said []byte
	for buffer := make([]byte, 256); !bytes.Contains(said, []byte("!")); {
		n, err := out.Read(buffer)
		if said = append(said, buffer[:n]...); err != nil {
			t.Fatalf("the listener said %q: %v", said, err)
		}
	}
	_, rest, _ := strings.Cut(string(said), "port=")
	port, _, _ := strings.Cut(rest, "!")
	return port
}

// TestListenForTheTestAbove is not a test but the other process.
func TestListenForTheTestAbove(t *testing.T) {
	t.Parallel()
	if os.Getenv("ROLLCALL_TEST_LISTEN") == "" {
		return
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("it listens on %v", l.Addr())
	}
	_, _ = os.Stdout.WriteString("port=" + strconv.Itoa(address.Port) + "!\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the other end is closed
	_ = l.Close()
}

func TestThePeopleOfAPreparedRoot(t *testing.T) {
	t.Parallel()
	_, reports := preparedReports(t, peopleSetup)
	f := decode(t, reports["users"].Facts)
	for path, want := range map[string]any{
		"users.root.password_state": "set", "users.alice.password_state": "locked", "users.legacy.password_state": "set",
		"users.descrypt.password_state": "set", "users.empty.password_state": "none", "users.daemon.password_state": "locked",
		"users.mallory.password_state": nil, "users.alice.password_changed_at": 20001.0 * 86400, "users.alice.expires_at": 21000.0 * 86400,
		"users.alice.password_max_days": 90.0, "users.alice.inactive_days": 30.0, "users.alice.home_mode": "2750", "users.root.home_mode": "1777",
		"users.alice.system": false, "users.daemon.system": true, "users.daemon.login_allowed": false, "users.alice.login_allowed": true,
		"users.alice.admin": true, "users.eve.admin": false, "users.root.admin": true, "users.legacy.admin": false,
		"users.trent.ssh_keys": document{}, "users.eve.ssh_keys": document{}, "users.mallory.ssh_keys": document{}, "users.broken": nil,
	} {
		equal(t, path, at(f, strings.Split(path, ".")...), want)
	}
	equal(t, "groups of alice", at(f, "users", "alice", "groups"), any([]any{"adm", "staff"}))
	equal(t, "admin via", at(f, "users", "alice", "admin_via"), any([]any{"%adm"}))
	equal(t, "members of staff", at(f, "groups", "staff", "members"), any([]any{"alice", "eve"}))
	wantKeys(t, at(f, "users", "alice", "ssh_keys"))
	var rules []string
	for key, rule := range at(f, "sudoers", "rules").(document) { //nolint:errcheck // the test ends if not
		if at(rule.(document), "nopasswd") == true { //nolint:errcheck // the test ends if not
			key += " NOPASSWD"
		}
		rules = append(rules, key)
	}
	equalSets(t, "rules", rules, []string{
		"root:ALL:ALL:ALL:ALL", "alice:ALL:root:/usr/bin/mysql *** NOPASSWD", "alice:ALL:root:/usr/bin/psql NOPASSWD", "alice:ALL:root:/bin/cat ***",
		"eve:ALL:root:/usr/bin/mysql *** NOPASSWD", "eve:ALL:root:/usr/bin/psql NOPASSWD", "eve:ALL:root:/bin/cat ***",
		"alice:web1:www-data:adm:/bin/systemctl ***", "eve:web1:www-data:adm:/bin/systemctl ***", "%adm:ALL:ALL:ALL NOPASSWD", "trent:ALL:ALL:***",
		"trent:ALL:ALL:/bin/true", "mallory:ALL:ALL:!/bin/su", "#1000:ALL:postgres:/usr/bin/psql", "doas:legacy:ALL:root:/sbin/reboot *** NOPASSWD",
		"doas:%adm:ALL:ALL:ALL", "doas:eve:ALL:ALL:!ALL",
	})
	equal(t, "those who are not asked", at(f, "sudoers", "no_authenticate"), any([]any{"alice"}))
	var files []string
	for path := range at(f, "sudoers", "files").(document) { //nolint:errcheck // the test ends if not
		files = append(files, path)
	}
	equalSets(t, "files", files, []string{"/etc/sudoers", "/etc/sudoers.d/10-mallory", "/etc/sudoers.d/20-more", "/etc/sudoers.d/nested", "/etc/doas.conf"})
}

// wantKeys holds alice's keys against what ssh-keygen says of the key that is in all of them.
func wantKeys(t *testing.T, keys any) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(file, []byte(publicKey+" x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fingerprint := strings.Fields(tool(t, "ssh-keygen", "-lf", file))[1]
	var got []string
	listed, ok := keys.(document)
	if !ok {
		t.Fatalf("the keys are %v", keys)
	}
	for name, key := range listed {
		if !strings.HasPrefix(name, fingerprint) || at(key.(document), "fingerprint_sha256") != fingerprint || //nolint:errcheck // the test ends if not
			at(key.(document), "type") != "ssh-ed25519" || at(key.(document), "bits") != 256.0 { //nolint:errcheck // the test ends if not
			t.Errorf("%s is %v, want the fingerprint %s", name, key, fingerprint)
		}
		got = append(got, fmt.Sprint(at(key.(document), "options"), " ", at(key.(document), "comment"))) //nolint:errcheck // the test ends if not
	}
	equalSets(t, "keys", got, []string{
		"[] plain comment <a@b>", "[command from=192.0.2.0/24,198.51.100.1 no-pty] forced", "[environment restrict] <nil>",
		"[Environment] capital", "[principals] spaced",
	})
}

// equalSets compares without regard to the order.
func equalSets(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	equal(t, what, got, want)
}
