package remote_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// interactive returns a keyboard-interactive login that puts the prompts, one challenge after the other, and
// counts the answers that are the password.
func interactive(s *server, prompts ...string) func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		right := false
		for _, prompt := range prompts {
			answers, err := ask("", "", []string{prompt}, []bool{prompt == "Login: "})
			if err != nil {
				return nil, err
			}
			s.attempts.Add(1)
			right = right || answers[0] == rightPassword
		}
		if !right {
			return nil, errors.New("wrong password")
		}
		return &ssh.Permissions{}, nil
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		server   func(*server)
		password string
		want     fleet.Code // empty: logged in
		attempts int32
		methods  string
	}{
		{name: "the right password", password: rightPassword, attempts: 1},
		{name: "a wrong password is tried once", password: "wrong", want: fleet.CodeAuthFailed, attempts: 1, methods: "password"},
		{
			name: "a wrong password is not tried again by another method", password: "wrong",
			server: func(s *server) { s.config.KeyboardInteractiveCallback = interactive(s, "Password: ") },
			want:   fleet.CodeAuthFailed, attempts: 1, methods: "password",
		},
		{
			name: "a server that only asks interactively", password: rightPassword, attempts: 1,
			server: func(s *server) {
				s.config.PasswordCallback = nil
				s.config.KeyboardInteractiveCallback = interactive(s, "Password: ")
			},
		},
		{
			name: "an interactive server that asks again", password: "wrong", attempts: 1, methods: "keyboard-interactive",
			server: func(s *server) {
				s.config.PasswordCallback = nil
				s.config.KeyboardInteractiveCallback = interactive(s, "Password: ", "Password: ")
			},
			want: fleet.CodeAuthFailed,
		},
		{
			name: "a prompt that echoes gets no password", password: rightPassword, methods: "keyboard-interactive",
			server: func(s *server) {
				s.config.PasswordCallback = nil
				s.config.KeyboardInteractiveCallback = interactive(s, "Login: ")
			},
			want: fleet.CodeAuthFailed,
		},
		{
			name: "a password that has to be changed", password: rightPassword, attempts: 1, methods: "keyboard-interactive",
			server: func(s *server) {
				s.config.PasswordCallback = nil
				s.config.KeyboardInteractiveCallback = interactive(s, "Password: ", "New password: ")
			},
			want: fleet.CodeAccountExpired,
		},
		{
			name: "an account that is locked", password: rightPassword, attempts: 1, methods: "password",
			server: refusing("The account is locked due to 3 failed logins.\n"), want: fleet.CodeAuthLockedOut,
		},
		{
			name: "an account that has expired", password: rightPassword, attempts: 1, methods: "password",
			server: refusing("Your account has expired; please contact your system administrator.\n"), want: fleet.CodeAccountExpired,
		},
		{
			name: "a legal notice about locked accounts means nothing", password: "wrong", attempts: 1, methods: "password",
			server: func(s *server) {
				s.config.BannerCallback = func(ssh.ConnMetadata) string { return "Accounts are locked after 3 failures.\n" }
			},
			want: fleet.CodeAuthFailed,
		},
		{
			name: "a server that wants a second factor", password: rightPassword, attempts: 1, methods: "password",
			server: func(s *server) {
				s.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
					s.attempts.Add(1)
					return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: interactive(s, "Code: ")}}
				}
			},
			want: fleet.CodeAuthFailed,
		},
		{
			name: "a server that takes keys only", password: rightPassword,
			server: func(s *server) {
				s.config.PasswordCallback = nil
				s.config.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
					s.attempts.Add(1)
					return nil, errors.New("unknown key")
				}
			},
			want: fleet.CodeAuthFailed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if tt.server != nil {
				tt.server(s)
			}
			s.start(t)
			conn, err := remote.Dial(within(t), s.target(tt.password))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
			} else if failure := failureOf(t, err, tt.want); failure.Details["methods"] != tt.methods {
				t.Errorf("methods = %q, want %q", failure.Details["methods"], tt.methods)
			}
			if got := s.attempts.Load(); got != tt.attempts {
				t.Errorf("the server saw %d attempts, want %d", got, tt.attempts)
			}
		})
	}
}

// refusing makes a server refuse the login with a message, as PAM does.
func refusing(message string) func(*server) {
	return func(s *server) {
		s.config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
			s.attempts.Add(1)
			return nil, &ssh.BannerError{Err: errors.New("refused"), Message: message}
		}
	}
}

func TestDialRefusesAnUnreadableKeyWithoutConnecting(t *testing.T) {
	t.Parallel()
	s := newServer(t).start(t)
	target := s.target("")
	target.Credential = remote.Credential{Kind: remote.KindPrivateKey, Username: "rollcall", PrivateKey: []byte("no key")}
	target.Verify = func(context.Context, remote.Key) error {
		t.Error("a connection was made")
		return nil
	}
	_, err := remote.Dial(within(t), target)
	wantCode(t, err, fleet.CodeAuthFailed)
}
