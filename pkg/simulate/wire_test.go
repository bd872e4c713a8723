package simulate_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// connect opens a TCP connection to a host.
func connect(t *testing.T, h simulate.Host) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addressOf(h), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// login opens an SSH connection to a host.
func login(t *testing.T, f *simulate.Fleet, h simulate.Host) *ssh.Client {
	t.Helper()
	client, err := ssh.Dial("tcp", addressOf(h), clientConfig(t, f, func(ssh.PublicKey) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// ask sends a collecting script to a host and returns what the answer is read from.
func ask(t *testing.T, client *ssh.Client) (*ssh.Session, io.Reader) {
	t.Helper()
	plan, err := collector.NewPlan([]string{"os"}, collector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	session.Stdin = strings.NewReader(string(plan.Script()))
	stdout, err := session.StdoutPipe()
	if err == nil {
		err = session.Start(plan.Command())
	}
	if err != nil {
		t.Fatal(err)
	}
	return session, stdout
}

func TestAMuteHostSaysNothing(t *testing.T) {
	t.Parallel()
	_, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultMute})
	conn := connect(t, h)
	if _, err := io.WriteString(conn, "SSH-2.0-test\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %d, %v, want nothing", n, err)
	}
}

func TestResetsBeforeTheLogin(t *testing.T) {
	t.Parallel()
	_, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultResetAtAccept})
	early, err := net.Dial("tcp", addressOf(h))
	if err == nil { // else the reset came before Dial had returned
		_, err = early.Read(make([]byte, 1))
		_ = early.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("at accept: %v, want a reset", err)
	}
	_, h = behaving(t, simulate.Behaviour{Fault: simulate.FaultResetInHandshake})
	conn := connect(t, h)
	client := bufio.NewReader(conn)
	if line, err := client.ReadString('\n'); err != nil || !strings.HasPrefix(line, "SSH-2.0-") {
		t.Fatalf("in the handshake: the host greets with %q, %v", line, err)
	}
	if _, err := io.WriteString(conn, "SSH-2.0-test\r\n\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("in the handshake: Read = %v, want a reset", err)
	}
}

func TestNobodyIsLetIn(t *testing.T) {
	t.Parallel()
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultAuth})
	_, err := ssh.Dial("tcp", addressOf(h), clientConfig(t, f, func(ssh.PublicKey) {}))
	if err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("Dial = %v, want that the login fails", err)
	}
}

func TestADripIsAByteNowAndThen(t *testing.T) {
	t.Parallel()
	const every, bytes = 20 * time.Millisecond, 10
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultDrip, DripEvery: every})
	_, stdout := ask(t, login(t, f, h))
	began := time.Now()
	text := make([]byte, bytes)
	if _, err := io.ReadFull(stdout, text); err != nil || text[0] != '@' {
		t.Fatalf("Read = %q, %v", text, err)
	}
	if took := time.Since(began); took < (bytes-2)*every { // the first byte may have come before we began
		t.Errorf("%d bytes came in %v, want %v between two", bytes, took, every)
	}
}

func TestEndlessOutputGoesOnUntilTheClientEndsIt(t *testing.T) {
	t.Parallel()
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultEndless})
	client := login(t, f, h)
	_, stdout := ask(t, client)
	if n, err := io.CopyN(io.Discard, stdout, 8<<20); err != nil {
		t.Fatalf("the answer ended after %d bytes: %v", n, err)
	}
	_ = client.Close()
	_ = f.Close() // returns only if the host has stopped talking
}

func TestAResetInMidAnswer(t *testing.T) {
	t.Parallel()
	f, h := behaving(t, simulate.Behaviour{Fault: simulate.FaultResetInAnswer})
	client := login(t, f, h)
	session, stdout := ask(t, client)
	text, _ := io.ReadAll(stdout)
	if strings.Contains(string(text), " END ") {
		t.Errorf("the answer came to its end: %q", text)
	}
	if _, ok := errors.AsType[*ssh.ExitMissingError](session.Wait()); !ok {
		t.Error("the command ended with a status")
	}
	if err := client.Wait(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}
