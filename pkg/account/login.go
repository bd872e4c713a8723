package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// CodeInvalidCredentials is the code of the error about a user name and password that do not belong together,
// whatever the reason.
const CodeInvalidCredentials = "invalid_credentials"

// Tokens are what a client gets for a password or a refresh token.
type Tokens struct {
	Access    string
	Refresh   string        // good once; good for nothing after the session has ended
	ExpiresIn time.Duration // of the access token
}

// A Cookie is what a browser gets for a password.
type Cookie struct {
	Secret    string
	ExpiresAt time.Time // of the secret and its session
}

// Login begins a session for a client that keeps tokens. A wrong password, an unknown and a disabled user are the
// same error, of kind Unauthenticated and code invalid_credentials, after the same work. Too many attempts are a
// *LimitError of kind Exhausted. When Redis does not answer it is of kind Unavailable and code
// session_store_unavailable.
func (s *Service) Login(ctx context.Context, username, password string, from Client) (Tokens, error) {
	user, err := s.verify(ctx, username, password, from)
	if err != nil {
		return Tokens{}, err
	}
	id := fleet.NewIDAt(s.now())
	refresh, hash := token.NewRefreshToken(id)
	access, err := s.signer.Issue(token.Access{UserID: user.ID, SessionID: id}, s.now())
	if err != nil {
		return Tokens{}, err
	}
	session := ephemeral.Session{ID: id, RefreshHash: hash, ExpiresAt: s.now().Add(s.options.RefreshLifetime)}
	if err := s.begin(ctx, user, session, from, "token"); err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Refresh: refresh, ExpiresIn: token.AccessLifetime}, nil
}

// LoginCookie begins a session for a browser. Its errors are those of Login.
func (s *Service) LoginCookie(ctx context.Context, username, password string, from Client) (Cookie, error) {
	user, err := s.verify(ctx, username, password, from)
	if err != nil {
		return Cookie{}, err
	}
	secret, id := newCookieSecret()
	unknown := make([]byte, sha256.Size) // the hash of a refresh token that nobody has
	_, _ = rand.Read(unknown)            // never fails: crypto/rand ends the process where there is no randomness
	session := ephemeral.Session{ID: id, RefreshHash: unknown, ExpiresAt: s.now().Add(s.options.CookieLifetime)}
	if err := s.begin(ctx, user, session, from, "cookie"); err != nil {
		return Cookie{}, err
	}
	return Cookie{Secret: secret, ExpiresAt: session.ExpiresAt}, nil
}

// verify returns the user of that name and password, and writes a refusal to the audit log.
func (s *Service) verify(ctx context.Context, username, password string, from Client) (fleet.User, error) {
	name := strings.ToLower(strings.TrimSpace(username))
	g, err := s.guess(ctx, name, from)
	if err != nil {
		return fleet.User{}, err
	}
	user, reason, err := s.match(ctx, name, password)
	if err != nil {
		if fleet.KindOf(err) == fleet.Unavailable && ctx.Err() == nil { // nobody has looked at the password
			s.takeBack(ctx, g)
		}
		return fleet.User{}, err
	}
	if reason == "" {
		s.forgive(ctx, g)
		return user, nil
	}
	actor := fleet.Actor{Kind: fleet.ActorUser, Name: cleanName(username), Address: cleanAddress(from.Address)}
	if user.ID != uuid.Nil {
		actor.UserID = &user.ID
	}
	if err := s.auditFailure(ctx, actor, reason, g); err != nil {
		return fleet.User{}, fmt.Errorf("refusing a sign-in: %w", err)
	}
	return fleet.User{}, fleet.Errorf(fleet.Unauthenticated, "user name or password is wrong").WithCode(CodeInvalidCredentials)
}

// auditFailure writes that a sign-in failed and, where it has begun a wait, that too.
func (s *Service) auditFailure(ctx context.Context, actor fleet.Actor, reason string, g guess) error {
	return s.store.InTx(ctx, func(tx *store.Store) error {
		err := tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "auth.login", Denied: true, ResourceType: "session", Details: map[string]any{"reason": reason},
		})
		lockout, begun := g.lockout()
		if err != nil || !begun {
			return err
		}
		return tx.Audit(ctx, actor, lockout)
	})
}

// match looks a user up by name and password and says for the audit log why there is none. It takes as long to find
// nobody as to find a wrong password.
func (s *Service) match(ctx context.Context, name, password string) (user fleet.User, refused string, err error) {
	known := validUsername(name)
	if known {
		user, err = s.store.UserByName(ctx, name)
		known = err == nil
		if err != nil && fleet.KindOf(err) != fleet.NotFound {
			return fleet.User{}, "", fmt.Errorf("signing in: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.PasswordWait)
	defer cancel()
	if !known {
		return fleet.User{}, "unknown_user", s.passwords.VerifyUnknown(ctx, password)
	}
	ok, outdated, err := s.passwords.Verify(ctx, user.PasswordHash, password)
	switch {
	case err != nil:
		return fleet.User{}, "", fmt.Errorf("signing in: %w", err)
	case !ok:
		return user, "wrong_password", nil
	case user.DisabledAt != nil:
		return user, "disabled", nil
	}
	if outdated {
		s.rehash(ctx, user, password)
	}
	return user, "", nil
}

// rehash stores the password's hash at today's costs. That it fails must not keep anybody from signing in.
func (s *Service) rehash(ctx context.Context, user fleet.User, password string) {
	hash, err := s.passwords.Hash(ctx, password)
	if err == nil {
		err = s.store.ReplacePasswordHash(ctx, user.ID, user.PasswordHash, hash)
	}
	if err != nil {
		s.log.WarnContext(ctx, "password hash not renewed", "user", user.Username, "error", err)
	}
}

// begin stores the session and writes the audit entry; if it cannot write, there is no session.
func (s *Service) begin(ctx context.Context, user fleet.User, session ephemeral.Session, from Client, kind string) error {
	session.UserID, session.CreatedAt = user.ID, s.now()
	session.Address, session.UserAgent, session.Epoch = cleanAddress(from.Address), from.UserAgent, user.SessionEpoch
	if err := s.sessions.CreateSession(ctx, session); err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	actor := fleet.Actor{
		Kind: fleet.ActorUser, ID: user.ID, UserID: &user.ID, SessionID: &session.ID,
		Name: user.Username, Role: user.Role, Address: session.Address,
	}
	err := s.store.InTx(ctx, func(tx *store.Store) error {
		if err := tx.NoteLogin(ctx, user.ID, session.CreatedAt); err != nil {
			return err
		}
		return tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "auth.login", ResourceType: "session", ResourceID: session.ID.String(), Details: map[string]any{"kind": kind},
		})
	})
	if err == nil {
		return nil
	}
	if err := s.sessions.DeleteSession(context.WithoutCancel(ctx), session.ID); err != nil {
		s.log.WarnContext(ctx, "unused session left to expire", "session_id", session.ID, "error", err)
	}
	return fmt.Errorf("beginning a session: %w", err)
}
