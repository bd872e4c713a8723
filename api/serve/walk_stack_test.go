package serve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// A proof is how somebody shows who he is.
type proof string

const (
	byToken  proof = "an API token"
	byAccess proof = "an access token"
	byCookie proof = "a cookie"
)

// A view is which hosts an actor of the walk may see.
type view string

const (
	everywhere view = "all hosts"
	inside     view = "the hosts of env=staging, which the requests are about"
	outside    view = "the hosts of env=prod, which they are not about"
)

// A walker is somebody who asks: a role, what he may see, and how he proves it. The zero value is nobody.
type walker struct {
	role  fleet.Role
	view  view
	proof proof
	user  fleet.User
}

func (a walker) String() string {
	if a.role == "" {
		return "nobody"
	}
	return string(a.role) + " of " + string(a.view) + " with " + string(a.proof)
}

// selectorOf returns the selector of the view.
func selectorOf(v view) string {
	return map[view]string{inside: "env=staging", outside: "env=prod"}[v]
}

// A walk is an api as serve.Run wires it, on databases of the test's own, with two landscapes in it.
type walk struct {
	*services
	config   Config
	handler  http.Handler
	signer   *token.Signer
	users    map[fleet.Role]map[view]fleet.User
	bearers  map[uuid.UUID]string // API tokens by their users
	sessions map[uuid.UUID]uuid.UUID
	cookies  map[uuid.UUID]string
	amber    landscape         // env=staging: what the requests are about
	quartz   landscape         // env=prod
	shared   map[string]string // what belongs to both, by the names that the tables have for it
	spares   map[string]string
	hash     string // of the password "correct horse battery"
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	redis := miniredis.RunT(t)
	c := Config{
		Process:    process.Config{DatabaseURL: storetest.Database(t), RedisURL: "redis://" + redis.Addr(), Database: store.Options{MaxConns: 8}},
		SigningKey: []byte("0123456789abcdef0123456789abcdef"), Doors: AllDoors(), Version: "walk",
	}
	for _, site := range []string{fleet.DefaultSite, "amber", "quartz"} {
		seal, _, err := secret.GenerateKeyPair(site)
		if err != nil {
			t.Fatal(err)
		}
		if c.SealKeys != "" {
			c.SealKeys += ","
		}
		c.SealKeys += seal
	}
	log := slog.New(slog.DiscardHandler)
	b, err := process.Open(t.Context(), c.Process, "api", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &walk{
		config: c, users: map[fleet.Role]map[view]fleet.User{}, bearers: map[uuid.UUID]string{}, sessions: map[uuid.UUID]uuid.UUID{},
		cookies: map[uuid.UUID]string{}, spares: map[string]string{}, shared: map[string]string{},
	}
	if w.services, err = newServices(c, b, log); err != nil {
		t.Fatal(err)
	}
	w.open.Store(true)
	if w.handler, err = w.doors(c, nil); err != nil {
		t.Fatal(err)
	}
	if w.signer, err = token.NewSigner(c.SigningKey); err != nil {
		t.Fatal(err)
	}
	for _, role := range []fleet.Role{fleet.Viewer, fleet.Operator, fleet.Admin} {
		w.users[role] = map[view]fleet.User{}
		for i, v := range []view{everywhere, inside, outside} {
			w.users[role][v] = w.addUser(t, string(role)+string(rune('0'+i)), role, selectorOf(v))
		}
	}
	if w.hash, err = token.NewPasswords(1).Hash(t.Context(), "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.AddUser(t.Context(), fleet.User{ID: fleet.NewID(), Username: "signer", PasswordHash: w.hash, Role: fleet.Viewer}); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.SetPassword(t.Context(), w.users[fleet.Admin][everywhere].ID, w.hash); err != nil {
		t.Fatal(err)
	}
	w.seed(t)
	return w
}

// addUser stores a user with an API token, a session and a cookie. They are made as package account makes them, and
// not by signing in, which takes its time on purpose.
func (w *walk) addUser(t *testing.T, name string, role fleet.Role, selector string) fleet.User {
	t.Helper()
	u := fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: "none", Role: role, Selector: selector}
	if err := w.Store.AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	plain, hash := token.NewAPIToken()
	if err := w.Store.AddAPIToken(t.Context(), store.APIToken{ID: fleet.NewID(), UserID: u.ID, Name: "walk", Hash: hash, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	w.bearers[u.ID] = plain
	w.renew(t, u)
	return u
}

// renew gives the user a session and a cookie.
func (w *walk) renew(t *testing.T, u fleet.User) {
	t.Helper()
	w.sessions[u.ID] = fleet.NewID()
	w.addSession(t, w.sessions[u.ID], u, make([]byte, sha256.Size))
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	sum := sha256.Sum256(append([]byte("rollcall session cookie\x00"), raw...))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	w.addSession(t, id, u, make([]byte, sha256.Size))
	w.cookies[u.ID] = "rcs_" + base64.RawURLEncoding.EncodeToString(raw)
}

func (w *walk) addSession(t *testing.T, id uuid.UUID, u fleet.User, refresh []byte) {
	t.Helper()
	now := time.Now()
	err := w.Ephemeral.CreateSession(t.Context(), ephemeral.Session{
		ID: id, UserID: u.ID, RefreshHash: refresh, CreatedAt: now, ExpiresAt: now.Add(time.Hour), Address: "192.0.2.1", UserAgent: "walk", Epoch: w.read(t, u).SessionEpoch,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// prove puts into the header what proves who a is.
func (w *walk) prove(t *testing.T, a walker, h http.Header) {
	t.Helper()
	if a.role == "" {
		return
	}
	if a.proof == byCookie {
		h.Set("Cookie", session.CookieName+"="+w.cookies[a.user.ID])
		return
	}
	h.Set("Authorization", "Bearer "+w.bearer(t, a))
}

func (w *walk) bearer(t *testing.T, a walker) string {
	t.Helper()
	if a.proof == byToken {
		return w.bearers[a.user.ID]
	}
	access, err := w.signer.Issue(token.Access{UserID: a.user.ID, SessionID: w.sessions[a.user.ID]}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return access
}

// walkers returns everybody, nobody first.
func (w *walk) walkers(proofs ...proof) []walker {
	all := []walker{{}}
	for _, role := range []fleet.Role{fleet.Viewer, fleet.Operator, fleet.Admin} {
		for _, v := range []view{everywhere, inside, outside} {
			for _, p := range proofs {
				all = append(all, walker{role: role, view: v, proof: p, user: w.users[role][v]})
			}
		}
	}
	return all
}

// background is the context of what the walk itself does.
func background(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}
