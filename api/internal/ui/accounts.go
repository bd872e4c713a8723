package ui

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Accounts is what the pages need of the account service.
type Accounts interface {
	signingIn
	ownAccount
	managingUsers
	endingForUsers
}

type signingIn interface {
	LoginCookie(ctx context.Context, username, password string, from account.Client) (account.Cookie, error)
	Logout(ctx context.Context, actor fleet.Actor) error
	ResetPassword(ctx context.Context, token, password string, from account.Client) error
}

type ownAccount interface {
	ChangePassword(ctx context.Context, actor fleet.Actor, current, password string) error
	Sessions(ctx context.Context, actor fleet.Actor) ([]ephemeral.Session, error)
	RevokeSession(ctx context.Context, actor fleet.Actor, id uuid.UUID) error
	RevokeSessions(ctx context.Context, actor fleet.Actor, keepCurrent bool) error
	Tokens(ctx context.Context, actor fleet.Actor) ([]store.APIToken, error)
	CreateNarrowToken(ctx context.Context, actor fleet.Actor, in account.NewToken) (t store.APIToken, plain string, err error)
	RevokeToken(ctx context.Context, actor fleet.Actor, id uuid.UUID) error
}

type managingUsers interface {
	Users(ctx context.Context, actor fleet.Actor, page fleet.Page) (users []fleet.User, next string, err error)
	User(ctx context.Context, actor fleet.Actor, id uuid.UUID) (fleet.User, error)
	CreateUser(ctx context.Context, actor fleet.Actor, in account.NewUser) (fleet.User, *account.ResetLink, error)
	ChangeUser(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64, change account.UserChange) (fleet.User, error)
	DeleteUser(ctx context.Context, actor fleet.Actor, id uuid.UUID, version int64) error
	ResetLink(ctx context.Context, actor fleet.Actor, id uuid.UUID) (account.ResetLink, error)
}

type endingForUsers interface {
	UserSessions(ctx context.Context, actor fleet.Actor, id uuid.UUID) ([]ephemeral.Session, error)
	RevokeUserSession(ctx context.Context, actor fleet.Actor, user, id uuid.UUID) error
	RevokeUserSessions(ctx context.Context, actor fleet.Actor, id uuid.UUID) error
	UserTokens(ctx context.Context, actor fleet.Actor, user uuid.UUID) ([]store.APIToken, error)
	RevokeUserToken(ctx context.Context, actor fleet.Actor, user, id uuid.UUID) error
}

// troubles is why a form was not taken.
type troubles struct {
	Problem string            // with no field in particular
	Wrong   map[string]string // with fields, by their names
}

// Failed reports whether the form was not taken.
func (t troubles) Failed() bool { return t.Problem != "" || len(t.Wrong) > 0 }

// A wrongField is what is wrong with one field; nothing where Text is empty.
type wrongField struct{ Field, Text string }

// troublesOf returns what is wrong with a form of the named fields.
func troublesOf(err error, fields ...string) troubles {
	t := troubles{Wrong: map[string]string{}}
	for _, f := range fleet.FieldsOf(err) {
		if slices.Contains(fields, f.Field) {
			t.Wrong[f.Field] = said(f.Message)
		}
	}
	if len(t.Wrong) == 0 {
		t.Problem = said(problemOf(err))
	}
	return t
}

// said makes a sentence of a message.
func said(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(message[size:], ".") + "."
}

// formStatus returns the status of the page that says beside its form why it was not taken; ok is false for an error that
// is about something else.
func formStatus(err error) (status int, ok bool) {
	switch fleet.KindOf(err) {
	case fleet.Invalid:
		return http.StatusUnprocessableEntity, true
	case fleet.Conflict, fleet.Precondition:
		return http.StatusConflict, true
	default:
		return 0, false
	}
}

// readForm reads what was filled in into r.PostForm.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return fleet.Wrap(err, fleet.Invalid, "The form could not be read.")
	}
	return nil
}

// A sessionRow is somewhere that somebody is signed in.
type sessionRow struct {
	Session ephemeral.Session
	Client  string // in words
	Current bool   // whether it is the one that asks
	Revoke  string // where its end is sent
}

func sessionRows(actor fleet.Actor, sessions []ephemeral.Session, under string) []sessionRow {
	rows := make([]sessionRow, len(sessions))
	for i, session := range sessions {
		rows[i] = sessionRow{
			Session: session, Client: clientInWords(session.UserAgent),
			Current: actor.SessionID != nil && *actor.SessionID == session.ID, Revoke: under + "/sessions/" + session.ID.String() + "/revoke",
		}
	}
	slices.SortStableFunc(rows, func(a, b sessionRow) int { return b.Session.CreatedAt.Compare(a.Session.CreatedAt) })
	return rows
}

// clientInWords returns what a client calls itself in as few words as tell it from others.
func clientInWords(agent string) string {
	find := func(known [][2]string) string {
		for _, k := range known {
			if strings.Contains(agent, k[0]) {
				return k[1]
			}
		}
		return ""
	}
	if !strings.HasPrefix(agent, "Mozilla/") { // a program says who it is first
		name, _, _ := strings.Cut(agent, " ")
		return cutName(name)
	}
	// Browsers claim to be others too: those that all claim to be come last.
	browser := find([][2]string{{"Firefox/", "Firefox"}, {"Edg", "Edge"}, {"OPR/", "Opera"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}})
	system := find([][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}})
	switch {
	case browser == "":
		return "a browser"
	case system == "":
		return browser
	}
	return browser + " on " + system
}

// A tokenRow is an API token without its secret.
type tokenRow struct {
	Token   store.APIToken
	Expired bool
	Hosts   string // the link to the hosts that it is bound to
	Revoke  string // where its end is sent
}

func tokenRows(tokens []store.APIToken, now time.Time, under string) []tokenRow {
	rows := make([]tokenRow, len(tokens))
	for i, t := range tokens {
		rows[i] = tokenRow{
			Token: t, Expired: t.ExpiresAt != nil && !now.Before(*t.ExpiresAt), Hosts: hostsOf(t.Selector),
			Revoke: under + "/tokens/" + t.ID.String() + "/revoke",
		}
	}
	return rows
}

// A shownSecret is what a page shows this once.
type shownSecret struct {
	Title string
	Text  string
	Until *time.Time // nil: for ever
}

// origin returns the address below which the browser that has sent a form sees the pages. Whoever makes up the header sees
// it himself and nobody else does.
func origin(r *http.Request) string {
	sent, err := url.Parse(r.Header.Get("Origin"))
	ours := err == nil && (sent.Host == r.Host || r.Header.Get("Sec-Fetch-Site") == "same-origin")
	if ours && sent.Host != "" && (sent.Scheme == "https" || sent.Scheme == "http") {
		return sent.Scheme + "://" + sent.Host
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
