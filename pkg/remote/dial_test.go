package remote_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/needs"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

func TestDialNamesWhatTheNetworkDid(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		serve  func(net.Conn)
		want   fleet.Code
		phase  string
		detail [2]string // name and a part of the value
	}{
		{name: "a port that stays silent", serve: waitForEnd, want: fleet.CodeBannerTimeout, phase: "banner"},
		{name: "a port that closes at once", serve: func(net.Conn) {}, want: fleet.CodeRateLimitedBySSHD, phase: "banner"},
		{name: "a port that resets", serve: resets, want: fleet.CodeRateLimitedBySSHD, phase: "banner"},
		{name: "sshd over its MaxStartups", serve: says("Exceeded MaxStartups\r\n"), want: fleet.CodeRateLimitedBySSHD, phase: "banner"},
		{name: "sshd that penalises our address", serve: says("Not allowed at this time\r\n"), want: fleet.CodeRateLimitedBySSHD, phase: "banner"},
		{
			name: "a web server", serve: says("HTTP/1.1 400 Bad Request\r\n\x1b[2J\r\n"), want: fleet.CodeProtocolNoise,
			phase: "banner", detail: [2]string{"preamble", "HTTP/1.1 400 Bad Request"},
		},
		{name: "a banner that drips in", serve: drip, want: fleet.CodeBannerTimeout, phase: "banner"},
		{name: "a preamble without end", serve: babble, want: fleet.CodeProtocolNoise, phase: "banner"},
		{
			name: "a server that falls silent after its banner", want: fleet.CodeBannerTimeout, phase: "key_exchange",
			serve: func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")); waitForEnd(c) },
		},
		{name: "a server that hangs up after its banner", serve: says("SSH-2.0-x\r\n"), want: fleet.CodeTCPTimeout, phase: "key_exchange"},
		{
			name: "a server that talks nonsense after its banner", want: fleet.CodeTCPTimeout, phase: "key_exchange",
			serve: func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n" + strings.Repeat("\xff", 64))); waitForEnd(c) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := listen(t, tt.serve).target()
			target.Options.HandshakeTimeout = time.Second
			_, err := remote.Dial(within(t), target)
			failure := failureOf(t, err, tt.want)
			if failure.Details["phase"] != tt.phase {
				t.Errorf("phase = %q (%v), want %q", failure.Details["phase"], failure, tt.phase)
			}
			if value := failure.Details[tt.detail[0]]; !strings.Contains(value, tt.detail[1]) || strings.Contains(value, "\x1b") {
				t.Errorf("detail %s = %q, want %q in it and no control characters", tt.detail[0], value, tt.detail[1])
			}
		})
	}
}

// says returns a server that says something, hears the client out and closes.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write([]byte(text))
		_, _ = conn.Read(make([]byte, 256)) // or our close is a reset that swallows the text
	}
}

// resets drops the connection as sshd does over its MaxStartups: what lies unread makes it a reset.
func resets(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func drip(conn net.Conn) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		if _, err := conn.Write([]byte("S")); err != nil {
			return
		}
	}
}

func babble(conn net.Conn) {
	for {
		if _, err := conn.Write([]byte("welcome\r\n")); err != nil {
			return
		}
	}
}

func TestDialToNobody(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(closed)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		address string
		port    int
		want    fleet.Code
	}{
		{"a closed port", "127.0.0.1", port, fleet.CodeTCPRefused},
		{"what cannot be a name", "not a name", 22, fleet.CodeDNSFailed},
		{"an empty address is not this machine", "", 22, fleet.CodeDNSFailed},
		{"a port out of range", "127.0.0.1", 70000, fleet.CodeDNSFailed},
		{"a port whose queue is full", "127.0.0.1", int(needs.BlackHole(t).Port()), fleet.CodeTCPTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := listen(t, waitForEnd).target()
			target.Address, target.Port = tt.address, tt.port
			target.Options.ConnectTimeout = 300 * time.Millisecond
			_, err := remote.Dial(within(t), target)
			wantCode(t, err, tt.want)
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	expired := fleet.Fail(fleet.CodeExpired, nil)
	tests := []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		want fleet.Code
	}{
		{"by a deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, fleet.CodeDeadlineExceeded},
		{"by being cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, fleet.CodeCancelled},
		{"by a failure as the cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 50*time.Millisecond, expired)
		}, fleet.CodeExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := tt.end(within(t))
			defer cancel()
			began := time.Now()
			_, err := remote.Dial(ctx, listen(t, waitForEnd).target())
			failure := failureOf(t, err, tt.want)
			if failure.Details["phase"] != "banner" {
				t.Errorf("phase = %q, want banner", failure.Details["phase"])
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v, far longer than the context", took)
			}
		})
	}
}

func TestNoCredentialBeforeTheHostKeyIsVerified(t *testing.T) {
	t.Parallel()
	changed := fleet.Fail(fleet.CodeHostKeyChanged, nil, "fingerprint", "SHA256:x")
	tests := []struct {
		name   string
		verify func(context.Context, remote.Key) error
		want   fleet.Code
	}{
		{"a changed key", func(context.Context, remote.Key) error { return changed }, fleet.CodeHostKeyChanged},
		{"a store that is down", func(context.Context, remote.Key) error { return errors.New("no database") }, fleet.CodeInternal},
		{"a verification that hangs", func(ctx context.Context, _ remote.Key) error { <-ctx.Done(); return ctx.Err() }, fleet.CodeInternal},
		{"no verification at all", nil, fleet.CodeInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.config.NoClientAuth = true // so that the server would notice even the request for its methods
			s.config.NoClientAuthCallback = func(ssh.ConnMetadata) (*ssh.Permissions, error) {
				s.attempts.Add(1)
				return nil, errors.New("no")
			}
			s.start(t)
			target := s.target(rightPassword)
			target.Verify = tt.verify
			target.Options.HandshakeTimeout = 2 * time.Second
			_, err := remote.Dial(within(t), target)
			wantCode(t, err, tt.want)
			if got := s.attempts.Load(); got != 0 {
				t.Errorf("the server saw %d login attempts, want none", got)
			}
		})
	}
}

func TestVerifyIsShownTheHostsKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	host := newPair(t, newECDSA(t))
	s.config = &ssh.ServerConfig{PasswordCallback: s.config.PasswordCallback}
	s.config.AddHostKey(host.signer)
	s.start(t)
	target := s.target(rightPassword)
	var shown remote.Key
	target.Verify = func(_ context.Context, key remote.Key) error { shown = key; return nil }
	conn, err := remote.Dial(within(t), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if want := ssh.FingerprintSHA256(host.signer.PublicKey()); shown.Fingerprint != want || shown.Algorithm != "ecdsa-sha2-nistp256" {
		t.Errorf("Verify got %s %s, want ecdsa-sha2-nistp256 %s", shown.Algorithm, shown.Fingerprint, want)
	}
	transport := conn.Transport()
	if transport.HostKey.Fingerprint != shown.Fingerprint || transport.User != "rollcall" || transport.KeyExchange == "" ||
		transport.Cipher == "" || transport.HostKeyAlgorithm != "ecdsa-sha2-nistp256" || transport.RemoteAddress != s.listener.Addr().String() {
		t.Errorf("Transport = %+v", transport)
	}
}

func TestNoCommonAlgorithm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*ssh.ServerConfig)
		theirs string
	}{
		{"a key exchange with SHA-1 only", func(c *ssh.ServerConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} }, "diffie-hellman-group14-sha1"},
		{"a cipher in CBC mode only", func(c *ssh.ServerConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} }, "aes128-cbc"},
		{"a MAC with SHA-1 only", func(c *ssh.ServerConfig) {
			c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, []string{ssh.HMACSHA1}
		}, "hmac-sha1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			tt.change(s.config)
			s.start(t)
			_, err := remote.Dial(within(t), s.target(rightPassword))
			failure := failureOf(t, err, fleet.CodeKexNoCommonAlg)
			if d := failure.Details; d["kind"] == "" || d["ours"] == "" || !strings.Contains(d["theirs"], tt.theirs) || strings.Contains(d["ours"], tt.theirs+",") {
				t.Errorf("details = %v, want the kind, our offer and %s", d, tt.theirs)
			}
		})
	}
}
