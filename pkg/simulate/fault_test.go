package simulate_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// behaving starts one host that behaves so.
func behaving(t *testing.T, b simulate.Behaviour) (*simulate.Fleet, simulate.Host) {
	t.Helper()
	f := start(t, simulate.Options{Hosts: 1, Behave: func(int, simulate.Behaviour) simulate.Behaviour { return b }})
	return f, f.Hosts()[0]
}

func addressOf(h simulate.Host) string { return net.JoinHostPort(h.Address, strconv.Itoa(h.Port)) }

// tryCollect asks a host for its operating system and returns what the worker would make of it.
func tryCollect(t *testing.T, f *simulate.Fleet, h simulate.Host) (remote.Output, []collector.Report, error) {
	t.Helper()
	plan, err := collector.NewPlan([]string{"os"}, collector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	to := target(f, h)
	if h.Behaviour.Fault == simulate.FaultMute { // the one that is waited for in vain; a busy machine is slow with the others
		to.Options.HandshakeTimeout = 500 * time.Millisecond
	}
	conn, err := remote.Dial(within(t), to)
	if err != nil {
		return remote.Output{}, nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx := within(t)
	if f := h.Behaviour.Fault; f == simulate.FaultHang || f == simulate.FaultDrip {
		ctx = shortly(t)
	}
	output, err := conn.Run(ctx, plan.Command(), plan.Script(), remote.RunOptions{MaxStdout: 1 << 20})
	if err != nil {
		return output, nil, err
	}
	run, err := plan.Read(output.Stdout)
	if err != nil {
		return output, nil, err
	}
	return output, plan.Reports(run), nil
}

func TestWhatTheProductMakesOfEachFault(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		behaviour  simulate.Behaviour
		code       fleet.Code
		phase      string
		executions int64
	}{
		{"a dead host", simulate.Behaviour{Fault: simulate.FaultDead}, fleet.CodeTCPRefused, "connect", 0},
		{"a mute host", simulate.Behaviour{Fault: simulate.FaultMute}, fleet.CodeBannerTimeout, "banner", 0},
		{"a reset at once", simulate.Behaviour{Fault: simulate.FaultResetAtAccept}, fleet.CodeRateLimitedBySSHD, "banner", 0},
		{"a reset in the handshake", simulate.Behaviour{Fault: simulate.FaultResetInHandshake}, fleet.CodeTCPTimeout, "key_exchange", 0},
		{"a reset in mid-answer", simulate.Behaviour{Fault: simulate.FaultResetInAnswer}, fleet.CodeTCPTimeout, "run", 1},
		{"a host that lets nobody in", simulate.Behaviour{Fault: simulate.FaultAuth}, fleet.CodeAuthFailed, "login", 0},
		{"another key", simulate.Behaviour{Key: 1}, fleet.CodeHostKeyChanged, "", 0},
		{"a host that hangs", simulate.Behaviour{Fault: simulate.FaultHang}, fleet.CodeDeadlineExceeded, "run", 0},
		{"a host that drips", simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: 20 * time.Millisecond}, fleet.CodeDeadlineExceeded, "run", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, h := behaving(t, tt.behaviour)
			_, _, err := tryCollect(t, f, h)
			failure, ok := errors.AsType[*fleet.Failure](err)
			if !ok || failure.Code != tt.code || failure.Details["phase"] != tt.phase {
				t.Errorf("collecting = %v, want %s in the phase %q", err, tt.code, tt.phase)
			}
			after, _ := f.Host(h.Name)
			connections := int64(1)
			if tt.behaviour.Fault == simulate.FaultDead {
				connections = 0
			}
			if after.Executions != tt.executions || after.Connections != connections {
				t.Errorf("%d connections and %d executions, want %d and %d", after.Connections, after.Executions, connections, tt.executions)
			}
		})
	}
}

func TestEndlessOutputIsTruncatedAndStops(t *testing.T) {
	t.Parallel()
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultEndless})
	output, reports, err := tryCollect(t, f, h)
	if err != nil || !output.Truncated || len(output.Stdout) != 1<<20 {
		t.Fatalf("Run = %d bytes, truncated %v, %v, want 1 MiB, truncated", len(output.Stdout), output.Truncated, err)
	}
	if len(reports) != 1 || reports[0].Status != collector.StatusOK {
		t.Errorf("reports = %+v, want the section that came whole", reports)
	}
	_ = f.Close() // returns only if the host has stopped talking
}

func TestNoiseBeforeTheAnswerIsNoHindrance(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 4, Shares: simulate.Shares{Noise: 1}})
	for _, h := range f.Hosts() {
		output, reports, err := tryCollect(t, f, h)
		if err != nil || !strings.HasPrefix(string(output.Stdout), "\x1b[1mWelcome to "+h.Name) {
			t.Errorf("%s: output %.40q, %v, want a welcome first", h.Name, output.Stdout, err)
		}
		if len(reports) != 1 || reports[0].Status != collector.StatusOK {
			t.Errorf("%s: reports = %+v, want them as without the noise", h.Name, reports)
		}
	}
}

func clientConfig(t *testing.T, f *simulate.Fleet, seen func(ssh.PublicKey)) *ssh.ClientConfig {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(f.PrivateKey())
	if err != nil {
		t.Fatal(err)
	}
	return &ssh.ClientConfig{
		User: simulate.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: 10 * time.Second,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			seen(key)
			return nil
		},
	}
}

// shown returns the fingerprint of the key that a host shows.
func shown(t *testing.T, f *simulate.Fleet, h simulate.Host) string {
	t.Helper()
	fingerprint := ""
	client, err := ssh.Dial("tcp", addressOf(h), clientConfig(t, f, func(key ssh.PublicKey) { fingerprint = ssh.FingerprintSHA256(key) }))
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	return fingerprint
}

func TestAHostKeyChangesWhileTheHostRuns(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 2})
	h := f.Hosts()[0]
	if got := shown(t, f, h); got != h.Fingerprint {
		t.Errorf("the host shows %s at first, want %s", got, h.Fingerprint)
	}
	announced, err := f.ChangeKey(h.Name)
	if err != nil || announced == h.Fingerprint {
		t.Fatalf("ChangeKey = %s, %v, want another key than %s", announced, err, h.Fingerprint)
	}
	if got := shown(t, f, h); got != announced {
		t.Errorf("the host shows %s, want %s", got, announced)
	}
	if again, err := f.ChangeKey(h.Name); err != nil || again == announced || shown(t, f, h) != again {
		t.Errorf("ChangeKey = %s, %v, want a third key, and that it is shown", again, err)
	}
	other := f.Hosts()[1]
	if err := f.Set(other.Name, simulate.Behaviour{NextKeyAfter: 1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryCollect(t, f, other); err != nil {
		t.Errorf("the first collection = %v, want none to fail", err)
	}
	if _, _, err := tryCollect(t, f, other); !isCode(err, fleet.CodeHostKeyChanged) {
		t.Errorf("the second collection = %v, want hostkey_changed", err)
	}
}

func isCode(err error, code fleet.Code) bool {
	failure, ok := errors.AsType[*fleet.Failure](err)
	return ok && failure.Code == code
}

func TestAHostDiesAndComesBack(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 1})
	h := f.Hosts()[0]
	client, err := ssh.Dial("tcp", addressOf(h), clientConfig(t, f, func(ssh.PublicKey) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for range 3 {
		if err := f.Set(h.Name, simulate.Behaviour{Fault: simulate.FaultDead}); err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", addressOf(h)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connecting to the dead host = %v, want that it is refused", err)
		}
		if err := f.Set(h.Name, simulate.Behaviour{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tryCollect(t, f, h); err != nil {
			t.Errorf("collecting from the host that came back = %v", err)
		}
	}
	if err := client.Wait(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the connection from before ended with %v, want a reset", err)
	}
}

func TestMaxStartups(t *testing.T) {
	t.Parallel()
	const full = 3
	f, h := behaving(t, simulate.Behaviour{MaxStartups: simulate.Startups{Start: full, Rate: 100, Full: full}})
	var waiting []net.Conn
	for range full {
		conn, err := net.Dial("tcp", addressOf(h))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.ReadFull(conn, make([]byte, len("SSH-2.0-"))); err != nil {
			t.Fatalf("the connection below the limit = %v, want a greeting", err)
		}
		waiting = append(waiting, conn)
	}
	if _, _, err := tryCollect(t, f, h); !isCode(err, fleet.CodeRateLimitedBySSHD) {
		t.Errorf("collecting beside %d that have not logged in = %v, want rate_limited_by_sshd", full, err)
	}
	for _, conn := range waiting {
		_ = conn.Close()
	}
	// The host notices their end in its own time; one that logs in does not count any more.
	var clients []*ssh.Client
	for deadline := time.Now().Add(20 * time.Second); len(clients) < 2*full; {
		client, err := ssh.Dial("tcp", addressOf(h), clientConfig(t, f, func(ssh.PublicKey) {}))
		if err == nil {
			defer func() { _ = client.Close() }()
			clients = append(clients, client)
		} else if time.Now().After(deadline) {
			t.Fatalf("%d of %d could log in one after another: %v", len(clients), 2*full, err)
		}
	}
}

// shortly ends soon, but late enough for a busy machine to have started a command.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
