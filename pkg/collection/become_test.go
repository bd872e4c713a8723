package collection_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

const wrongPassword = "wrong horse"

// hashOfRightPassword is rightPassword as crypt(3) has it.
const hashOfRightPassword = "$6$rollcall$4VZ1EzrEQINR3ywnjjUFcoO39B4D3n2Ojme2ysESlHgl9ZSu0poCnZgYknpe/BLjL2mrKgISWUaCO9HRosjXl."

// The accounts of a host with sudo.
const (
	accountAllowed  = "rc-allowed"  // may run what Rollcall runs, and nothing else, without a password
	accountPassword = "rc-password" // may run everything with its password
	accountTerminal = "rc-terminal" // may run everything from a terminal
	accountNobody   = "rc-nobody"   // may run nothing
)

// A sudoHost is a real sshd with real accounts, sudo and doas, in a mount namespace of its own: the files of /etc that
// they read are the test's.
type sudoHost struct {
	*sshd
	dir string // read and written by root only, but for uname
}

// startSudoHost starts one whose further lines of sudoers are as given.
func startSudoHost(t *testing.T, path string) sudoHost {
	t.Helper()
	needs.Root(t, "make accounts")
	for name, debian := range map[string]string{"sudo": "sudo", "doas": "opendoas", "unshare": "util-linux", "sshd": "openssh-server"} {
		needs.Program(t, name, debian)
	}
	h := sudoHost{sshd: &sshd{}, dir: publicDir(t)}
	client, key := newKey(t)
	_, hostKey := newKey(t)
	h.key = key
	h.write(t, "host_key", string(hostKey), 0o600)
	h.write(t, "authorized_keys", string(ssh.MarshalAuthorizedKey(client.PublicKey())), 0o644)
	h.accounts(t)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 5 { // the free port may be taken before sshd comes to listen on it
		h.address = freeAddress(t)
		host, port, _ := net.SplitHostPort(h.address)
		h.write(t, "sshd_config", strings.Join([]string{
			"StrictModes no", "UsePAM no", "PidFile none", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
			"HostKey " + h.dir + "/host_key", "AuthorizedKeysFile " + h.dir + "/authorized_keys",
			"ListenAddress " + host + ":" + port, "SetEnv PATH=" + path,
		}, "\n")+"\n", 0o600)
		script := `cd ` + h.dir + `
			touch /etc/doas.conf
			for f in passwd shadow group sudoers doas.conf; do mount --bind "$f" "/etc/$f"; done
			mkdir -p sudoers.d && mount --bind sudoers.d /etc/sudoers.d
			exec /usr/sbin/sshd -D -e -f ` + h.dir + `/sshd_config`
		if runDaemon(t, "Server listening on", "unshare", "--mount", "--propagation", "private", "sh", "-ec", script) {
			return h
		}
	}
	t.Fatal("sshd does not start")
	return h
}

func (h sudoHost) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(h.dir, name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// accounts writes the files that say who there is and who may do what.
func (h sudoHost) accounts(t *testing.T) {
	t.Helper()
	var passwd, shadow, group strings.Builder
	for name, into := range map[string]*strings.Builder{"passwd": &passwd, "shadow": &shadow, "group": &group} {
		text, err := os.ReadFile("/etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		into.Write(text)
	}
	for i, name := range []string{accountAllowed, accountPassword, accountTerminal, accountNobody} {
		fmt.Fprintf(&passwd, "%s:x:%d:%d::/:/bin/sh\n", name, 30_001+i, 30_001+i)
		fmt.Fprintf(&shadow, "%s:%s:19000:0:99999:7:::\n", name, hashOfRightPassword)
		fmt.Fprintf(&group, "%s:x:%d:\n", name, 30_001+i)
	}
	h.write(t, "passwd", passwd.String(), 0o644)
	h.write(t, "shadow", shadow.String(), 0o600)
	h.write(t, "group", group.String(), 0o644)
	h.write(t, "doas.conf", collector.DoasConf(accountAllowed), 0o600)
	h.write(t, "sudoers", "Defaults logfile="+h.dir+"/log, !syslog, lecture=always\nDefaults:"+accountTerminal+" requiretty\n"+
		"Defaults:"+accountAllowed+" requiretty\n"+ // which the lines of Rollcall have to undo
		collector.Sudoers(accountAllowed)+
		"Defaults:"+accountPassword+" use_pty\n"+ // the default since sudo 1.9.14
		accountPassword+" ALL=(ALL) ALL\n"+accountTerminal+" ALL=(ALL) NOPASSWD: ALL\n", 0o440)
}

// log returns what sudo has logged.
func (h sudoHost) log() string {
	text, _ := os.ReadFile(filepath.Join(h.dir, "log"))
	return string(text)
}

// becoming is the change that says how scripts become root on a host, with the password if there is one.
func (r *rig) becoming(b fleet.Become, text string) func(*fleet.Host) {
	r.t.Helper()
	var credential fleet.Host
	if text != "" {
		r.credential("root", password(text))(&credential)
	}
	return func(h *fleet.Host) { h.SSH.Become, h.SSH.BecomeCredentialID = b, credential.CredentialID }
}

// TestBecomingRoot collects as plain accounts over a real sshd, sudo and doas.
func TestBecomingRoot(t *testing.T) { //nolint:tparallel // the cases share what sudo has logged
	t.Parallel()
	tests := []struct {
		name     string
		account  string
		become   fleet.Become
		password string
		code     fleet.Code // empty: the script ran as root
		says     string     // in the failure's details
	}{
		{"sudo with the printed lines alone", accountAllowed, fleet.BecomeSudo, "", "", ""},
		{"sudo with a password that it does not want", accountAllowed, fleet.BecomeSudo, rightPassword, "", ""},
		{"sudo with a password", accountPassword, fleet.BecomeSudo, rightPassword, "", ""},
		{"sudo with a wrong password", accountPassword, fleet.BecomeSudo, wrongPassword, fleet.CodeSudoPasswordRequired, "was refused"},
		{"sudo that wants a password", accountPassword, fleet.BecomeSudo, "", fleet.CodeSudoPasswordRequired, "a password is required"},
		{"sudo that wants a terminal", accountTerminal, fleet.BecomeSudo, "", fleet.CodeSudoRequiresTTY, "tty"},
		{"sudo for somebody unknown to it", accountNobody, fleet.BecomeSudo, rightPassword, fleet.CodeSudoNotAllowed, "sudoers"},
		{"doas with the printed line alone", accountAllowed, fleet.BecomeDoas, "", "", ""},
		{"doas for somebody unknown to it", accountNobody, fleet.BecomeDoas, "", fleet.CodeSudoNotAllowed, "not permitted"},
	}
	h := startSudoHost(t, "/usr/bin:/bin")
	r := newRig(t, nil)
	w, _ := r.worker()
	for i, tt := range tests { //nolint:paralleltest // they share what sudo has logged
		t.Run(tt.name, func(t *testing.T) {
			host := r.host(fmt.Sprintf("web-%d", i), at(h.address), r.credential(tt.account, secret.Credential{PrivateKey: h.key}),
				r.becoming(tt.become, tt.password))
			logged := len(h.log())
			task := r.collect(w, host, "os")
			if tt.code == "" {
				r.ended(task, fleet.TaskSucceeded, "")
				for path, reason := range r.latest(host)["os"].Unavailable {
					if reason == collector.ReasonNoPermission {
						t.Errorf("%s is %s", path, reason)
					}
				}
				return
			}
			r.ended(task, fleet.TaskFailed, tt.code)
			contains(t, fmt.Sprint(task.Details), tt.says)
			if tt.password != "" && strings.Contains(fmt.Sprint(task), tt.password) {
				t.Errorf("the task tells the password: %v", task)
			}
			if said := h.log()[logged:]; tt.password == wrongPassword && !strings.Contains(said, "1 incorrect password attempt") {
				t.Errorf("sudo was given the script as further passwords:\n%s", said)
			}
		})
	}
}

// TestWithoutRootAFactIsUnknown is the other side: what the account may not read is said to be so.
func TestWithoutRootAFactIsUnknown(t *testing.T) {
	t.Parallel()
	h := startSudoHost(t, "/usr/bin:/bin")
	r := newRig(t, nil)
	w, _ := r.worker()
	host := r.host("web-1", at(h.address), r.credential(accountNobody, secret.Credential{PrivateKey: h.key}))
	r.ended(r.collect(w, host, "network"), fleet.TaskSucceeded, "")
	if reason := r.latest(host)["network"].Unavailable["firewall"]; reason != collector.ReasonNoPermission {
		t.Errorf("the firewall is unavailable for the reason %q, want %q", reason, collector.ReasonNoPermission)
	}
}

// TestCancelEndsWhatRunsAsRoot cancels a run behind sudo, whose processes the account itself may not even signal.
func TestCancelEndsWhatRunsAsRoot(t *testing.T) {
	t.Parallel()
	for account, text := range map[string]string{accountAllowed: "", accountPassword: rightPassword} {
		t.Run(account, func(t *testing.T) {
			t.Parallel()
			dir := publicDir(t)
			h := startSudoHost(t, dir+":/usr/bin:/bin")
			hanging := hanging{sshd: h.sshd, dir: dir}
			hanging.plant(t)
			r := newRig(t, nil)
			w, _ := r.worker()
			host := r.host("web-1", at(h.address), r.credential(account, secret.Credential{PrivateKey: h.key}), r.becoming(fleet.BecomeSudo, text))
			id, messages := r.request(time.Minute, []string{"os"}, host)
			var working sync.WaitGroup
			working.Go(func() { contains(t, r.work(w, messages[0]), " cancelled ") })
			stuck := hanging.stuck(t)
			began := time.Now()
			if _, err := r.service.Cancel(t.Context(), actor(fleet.Operator, ""), id); err != nil {
				t.Fatal(err)
			}
			working.Wait()
			left := processes(t, inGroup(stuck.group))
			if task := r.tasks(id)[0]; task.Termination != fleet.TerminationConfirmed || len(left) > 0 {
				t.Errorf("termination = %q after %v, and left are %+v", task.Termination, time.Since(began), left)
			}
		})
	}
}
