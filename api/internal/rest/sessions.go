package rest

import (
	"context"
	"net/http"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (s *server) registerSessions() {
	const signedIn = "Only for a user who has signed in, not for an API token."
	register(s, operation{
		id: "changePassword", method: http.MethodPost, path: "/auth/password", tag: "auth", summary: "Change one's password", role: fleet.Viewer,
		description: signedIn + " A wrong current password counts like a wrong sign-in. All other sessions end at once. Should it answer " +
			"503 session_store_unavailable after the password was changed, all have ended: sign in with the new one.",
	}, s.changePassword)
	register(s, operation{
		id: "resetPassword", method: http.MethodPost, path: "/auth/reset", tag: "auth", summary: "Set a password with a one-time link",
		extra:       []int{http.StatusUnauthorized},
		description: "A link that is unknown, used, replaced or expired, or whose user is disabled, is answered alike. All sessions of the user end at once.",
	}, s.resetPassword)
	register(s, operation{
		id: "listSessions", method: http.MethodGet, path: "/auth/sessions", tag: "auth", summary: "Where one is signed in", role: fleet.Viewer,
		description: signedIn,
	}, s.listSessions)
	register(s, operation{
		id: "revokeSession", method: http.MethodDelete, path: "/auth/sessions/{id}", tag: "auth", summary: "End one of one's sessions", role: fleet.Viewer,
		description: signedIn + " It ends at once.",
	}, s.revokeSession)
	register(s, operation{
		id: "revokeSessions", method: http.MethodDelete, path: "/auth/sessions", tag: "auth", summary: "End all of one's sessions", role: fleet.Viewer,
		description: signedIn + " They end at once.",
	}, s.revokeSessions)
}

type changePasswordInput struct{ Body wire.PasswordChange }

func (s *server) changePassword(ctx context.Context, in *changePasswordInput) (*none, error) {
	return &none{}, s.Accounts.ChangePassword(ctx, session.Actor(ctx), string(in.Body.CurrentPassword), string(in.Body.NewPassword))
}

type resetPasswordInput struct {
	FromClient
	Body wire.PasswordReset
}

func (s *server) resetPassword(ctx context.Context, in *resetPasswordInput) (*none, error) {
	return &none{}, s.Accounts.ResetPassword(ctx, string(in.Body.Token), string(in.Body.Password), s.Guard.Client(in.request))
}

func (s *server) listSessions(ctx context.Context, _ *struct{}) (*body[wire.List[wire.Session]], error) {
	actor := session.Actor(ctx)
	sessions, err := s.Accounts.Sessions(ctx, actor)
	return sessionsBody(actor, sessions, err)
}

// sessionsBody shows sessions, of which there are at most ephemeral.MaxSessionsPerUser.
func sessionsBody(actor fleet.Actor, sessions []ephemeral.Session, err error) (*body[wire.List[wire.Session]], error) {
	if err != nil {
		return nil, err
	}
	return answer(wire.ListOf(sessions, "", func(s ephemeral.Session) wire.Session {
		return wire.Session{
			ID: s.ID, CreatedAt: s.CreatedAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(), Address: s.Address, UserAgent: s.UserAgent,
			Current: actor.SessionID != nil && *actor.SessionID == s.ID,
		}
	})), nil
}

func (s *server) revokeSession(ctx context.Context, in *ByID) (*none, error) {
	return &none{}, s.Accounts.RevokeSession(ctx, session.Actor(ctx), in.ID)
}

type revokeSessionsInput struct {
	KeepCurrent bool `query:"keep_current" default:"false" doc:"end all but the one of this request"`
}

func (s *server) revokeSessions(ctx context.Context, in *revokeSessionsInput) (*none, error) {
	return &none{}, s.Accounts.RevokeSessions(ctx, session.Actor(ctx), in.KeepCurrent)
}
