package simulate_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// Commands hang in the middle of a host that changes its ways from several sides at once. They end when it dies or when
// the client goes, and not before.
func TestSetWhileCommandsHang(t *testing.T) {
	t.Parallel()
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultHang})
	const commands = 8
	ended := make(chan error, commands)
	var first *ssh.Client
	for range commands {
		client := login(t, f, h)
		if first == nil {
			first = client
		}
		session, stdout := ask(t, client)
		go func() {
			_, _ = io.Copy(io.Discard, stdout)
			ended <- session.Wait()
		}()
	}
	var changing sync.WaitGroup
	for _, fault := range []simulate.Fault{"", simulate.FaultDrip, simulate.FaultAuth, simulate.FaultMute} {
		changing.Go(func() {
			for range 50 {
				if err := f.Set(h.Name, simulate.Behaviour{Fault: fault}); err != nil {
					t.Errorf("Set = %v", err)
				}
				if _, ok := f.Host(h.Name); !ok {
					t.Error("the host is gone")
				}
			}
		})
	}
	changing.Wait()
	_ = first.Close()
	if err := <-ended; err == nil {
		t.Error("the command of the client that went has ended well")
	}
	select {
	case err := <-ended:
		t.Fatalf("another command has ended as well: %v", err)
	default:
	}
	if err := f.Set(h.Name, simulate.Behaviour{Fault: simulate.FaultDead}); err != nil {
		t.Fatal(err)
	}
	for range commands - 1 {
		if _, missing := errors.AsType[*ssh.ExitMissingError](<-ended); !missing {
			t.Error("a command of a host that died has ended with a status")
		}
	}
	if host, _ := f.Host(h.Name); host.Executions != 0 {
		t.Errorf("%d executions of a host that hangs", host.Executions)
	}
}

// A stopping script names a run by its group or by the nonce on its command line; another run goes on.
func TestAStopEndsTheRunThatItNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words func(group, nonce string) (string, string) // of the script
		ends  bool
	}{
		{"by its group", func(group, nonce string) (string, string) { return group, nonce }, true},
		{"by its nonce", func(_, nonce string) (string, string) { return "", nonce }, true},
		{"another group", func(group, nonce string) (string, string) { return group + "1", nonce }, false},
		{"another nonce", func(_, nonce string) (string, string) { return "", nonce + "1" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: time.Millisecond, Latency: time.Millisecond})
			client := login(t, f, h)
			session, stdout := ask(t, client)
			answer := bufio.NewReader(stdout)
			line, err := answer.ReadString('\n')
			words := strings.Fields(line) // @@nonce BEGIN time group
			if err != nil || len(words) != 4 {
				t.Fatalf("the answer begins with %q, %v", line, err)
			}
			group, nonce := tt.words(words[3], strings.TrimPrefix(words[0], "@@"))
			second, err := login(t, f, h).NewSession() // over another connection
			if err != nil {
				t.Fatal(err)
			}
			second.Stdin = strings.NewReader("#BEGIN-word\nexec 2>/dev/null\nG=' " + group + " '\ngrep -lz '[" + nonce[:1] + "]" + nonce[1:] +
				"' /proc/[0-9]*/cmdline\necho '@@word GONE'\n")
			if said, err := second.Output("sh"); err != nil || string(said) != "@@word GONE\n" {
				t.Errorf("the stop said %q, %v", said, err)
			}
			if !tt.ends {
				if _, err := answer.ReadString('\n'); err != nil {
					t.Errorf("the run has ended: %v", err)
				}
				return
			}
			_, _ = io.Copy(io.Discard, answer)
			if exit, ok := errors.AsType[*ssh.ExitError](session.Wait()); !ok || exit.Signal() != "KILL" {
				t.Errorf("the run ended with %v, want it killed", exit)
			}
			if host, _ := f.Host(h.Name); host.Executions != 1 {
				t.Errorf("%d executions, want the stop not counted", host.Executions)
			}
		})
	}
}
