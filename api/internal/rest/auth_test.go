package rest_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestASessionFromSignInToSignOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	login := b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: `{"username":"viewer","password":"` + password + `"}`})
	tokens := get[wire.Tokens](t, login, http.StatusOK)
	if tokens.TokenType != "Bearer" || tokens.ExpiresIn != 900 {
		t.Errorf("the tokens = %s for %d s, want Bearer for 900", tokens.TokenType, tokens.ExpiresIn)
	}
	me := get[wire.Actor](t, b.do(t, call{path: "/api/v1/auth/me", as: "Bearer " + tokens.AccessToken}), http.StatusOK)
	if me.Kind != "user" || me.Username != "viewer" || me.Role != "viewer" || me.Selector != nil || me.ExpiresAt == nil {
		t.Errorf("me = %+v", me)
	}
	refresh, err := json.Marshal(map[string]string{"refresh_token": tokens.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	renewed := get[wire.Tokens](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/refresh", body: string(refresh)}), http.StatusOK)
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/logout", as: "Bearer " + renewed.AccessToken}); r.status != http.StatusNoContent {
		t.Fatalf("logout = %d %s, want 204", r.status, r.body)
	}
	r := b.do(t, call{path: "/api/v1/auth/me", as: "Bearer " + renewed.AccessToken})
	if r.status != http.StatusUnauthorized || r.problem.Code != "session_ended" {
		t.Errorf("after signing out the token answers %d %s, want 401 session_ended", r.status, r.body)
	}
	if me := get[wire.Actor](t, b.do(t, call{path: "/api/v1/auth/me", as: "scoped"}), http.StatusOK); me.Kind != "token" || me.Selector == nil || *me.Selector != "env=test" {
		t.Errorf("an API token is %+v", me)
	}
}

func TestTooManySignIns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var r result
	for range 40 {
		if r = b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: `{"username":"nobody","password":"x"}`}); r.status == http.StatusTooManyRequests {
			break
		}
	}
	if r.status != http.StatusTooManyRequests || r.problem.Code != "rate_limited" || r.header.Get("Retry-After") == "" || r.header.Get("RateLimit-Limit") == "" {
		t.Errorf("after many = %d %v %s, want 429 with its headers", r.status, r.header, r.body)
	}
}

func TestTokensAreShownOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	access := get[wire.Tokens](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: `{"username":"operator","password":"` + password + `"}`}), http.StatusOK)
	as := "Bearer " + access.AccessToken
	post := call{method: http.MethodPost, path: "/api/v1/tokens", as: as, body: `{"name":"ci","expires_at":null}`, header: http.Header{"Idempotency-Key": {"k"}}}
	r := b.do(t, post)
	made := get[wire.NewAPIToken](t, r, http.StatusCreated)
	if !strings.HasPrefix(made.Token, "rc_") || made.Name != "ci" || r.header.Get("Location") != "/api/v1/tokens/"+made.ID.String() {
		t.Fatalf("made = %s of %s at %s", made.Token, made.Name, r.header.Get("Location"))
	}
	if replayed := b.do(t, post); replayed.status != http.StatusConflict || replayed.problem.Code != "idempotency_answer_not_kept" ||
		strings.Contains(replayed.body, made.Token) || !strings.Contains(replayed.body, made.ID.String()) {
		t.Errorf("a second time = %d %s, want 409 with the ID and without the token", replayed.status, replayed.body)
	}
	list := b.do(t, call{path: "/api/v1/tokens", as: as})
	if strings.Contains(list.body, made.Token) || !strings.Contains(list.body, made.ID.String()) {
		t.Errorf("the list = %s, want the token's ID and not the token", list.body)
	}
	if r := b.do(t, call{path: "/api/v1/hosts", as: "Bearer " + made.Token}); r.status != http.StatusOK {
		t.Errorf("the token is answered %d, want 200", r.status)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: "/api/v1/tokens/" + made.ID.String(), as: as}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/hosts", as: "Bearer " + made.Token}); r.status != http.StatusUnauthorized {
		t.Errorf("a revoked token is answered %d, want 401", r.status)
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tokens := get[wire.Tokens](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: `{"username":"viewer","password":"` + password + `"}`}), http.StatusOK)
	b.redis.Close()
	r := b.do(t, call{path: "/api/v1/hosts", as: "Bearer " + tokens.AccessToken})
	if r.status != http.StatusServiceUnavailable || r.problem.Code != "session_store_unavailable" || r.header.Get("Retry-After") == "" {
		t.Errorf("an access token = %d %s, want 503 session_store_unavailable with Retry-After", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/hosts", as: "viewer"}); r.status != http.StatusOK {
		t.Errorf("an API token = %d %s, want 200", r.status, r.body)
	}
}

func TestARequestThatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *rest.Config) { c.Timeouts.Request = time.Nanosecond })
	r := b.do(t, call{path: "/api/v1/hosts", as: "viewer"})
	if r.status != http.StatusServiceUnavailable || r.problem.Code != "database_unavailable" || r.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %s, want 503 database_unavailable with Retry-After", r.status, r.body)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, tt := range []struct{ name, given, want string }{
		{"a sane one is kept", "my-request.7", "my-request.7"},
		{"none is made up", "", ""},
		{"one with spaces is replaced", "a b", ""},
		{"a long one is replaced", strings.Repeat("x", 65), ""},
	} {
		r := b.do(t, call{path: "/api/v1/hosts", as: "viewer", header: http.Header{"X-Request-Id": {tt.given}}})
		got := r.header.Get("X-Request-Id")
		if got == "" || tt.want != "" && got != tt.want || tt.want == "" && got == tt.given {
			t.Errorf("%s: X-Request-Id = %q", tt.name, got)
		}
		if !strings.Contains(b.log.String(), `"request_id":"`+got+`"`) {
			t.Errorf("%s: the log has no line of %s", tt.name, got)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		status  int
	}{
		"before the answer has begun": {func(http.ResponseWriter, *http.Request) { panic("secret reasons") }, http.StatusInternalServerError},
		"after it has begun": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			panic("secret reasons")
		}, http.StatusAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			logger := telemetry.NewLogger(&log, telemetry.Options{Format: telemetry.FormatJSON})
			w := httptest.NewRecorder()
			rest.Frame(logger)(rest.Frame(logger)(tt.handler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/hosts", http.NoBody))
			if w.Code != tt.status || strings.Contains(w.Body.String(), "secret reasons") {
				t.Errorf("answered %d %s, want %d and no reasons", w.Code, w.Body, tt.status)
			}
			if n := strings.Count(log.String(), `"msg":"request"`); n != 1 || !strings.Contains(log.String(), "secret reasons") || !strings.Contains(log.String(), "auth_test.go") {
				t.Errorf("%d lines of the request in the log, want 1, with the reason and where it was:\n%s", n, log.String())
			}
		})
	}
}

func TestFailShowsNothingInternal(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	rest.Fail(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody), errors.New("dial tcp 10.0.0.1: secret"))
	content, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusInternalServerError || strings.Contains(string(content), "secret") || !strings.Contains(string(content), `"code":"internal"`) {
		t.Errorf("answered %d %s, %v", w.Code, content, err)
	}
	for _, kind := range []fleet.Kind{fleet.Exhausted, fleet.Unavailable} {
		w := httptest.NewRecorder()
		rest.Fail(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody), fleet.Errorf(kind, "later").WithRetryAfter(1500*time.Millisecond))
		if w.Header().Get("Retry-After") != "2" {
			t.Errorf("kind %d: Retry-After = %q, want 2", kind, w.Header().Get("Retry-After"))
		}
	}
}

func TestNewNeedsWhatItWorksWith(t *testing.T) {
	t.Parallel()
	if h, err := rest.New(rest.Config{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Errorf("New = %v without a store, want an error", h)
	}
}

func TestMetricsAreByRoute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.do(t, call{path: "/api/v1/hosts/" + fleet.NewID().String(), as: "viewer"})
	if text := b.raw(t, "/metrics").body; !strings.Contains(text, `route="/api/v1/hosts/{id}"`) {
		t.Errorf("the metrics have no route of the API:\n%s", text)
	}
}

func TestNarrowTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	access := get[wire.Tokens](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/auth/login", body: `{"username":"admin","password":"` + password + `"}`}), http.StatusOK)
	as := "Bearer " + access.AccessToken
	r := b.do(t, call{method: http.MethodPost, path: "/api/v1/tokens", as: as, body: `{"name":"ci","role":"viewer","selector":"env=test"}`})
	made := get[wire.NewAPIToken](t, r, http.StatusCreated)
	if made.Role == nil || *made.Role != "viewer" || made.Selector == nil || *made.Selector != "env=test" {
		t.Errorf("made %s", r.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/hosts", as: "Bearer " + made.Token, body: `{"name":"h","address":"192.0.2.1","labels":{"env":"test"}}`}); r.status != http.StatusForbidden {
		t.Errorf("an admin's token for viewing has written: %d %s", r.status, r.body)
	}
	me := get[wire.Actor](t, b.do(t, call{path: "/api/v1/auth/me", as: "Bearer " + made.Token}), http.StatusOK)
	if me.Role != "viewer" || me.Selector == nil || *me.Selector != "env=test" {
		t.Errorf("the token is %+v", me)
	}
	for _, body := range []string{`{"name":"ci","role":"root"}`, `{"name":"ci","selector":"env=="}`} {
		if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/tokens", as: as, body: body}); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s is answered %d %s", body, r.status, r.body)
		}
	}
}
