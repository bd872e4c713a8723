package command_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A signer is a server that signs people in; a refresh token that is used twice ends the session.
type signer struct {
	*httptest.Server
	mu    sync.Mutex
	round int // of the tokens that are good
	dead  bool
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *signer) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := func() { answer(w, 401, `{"detail":"the session has ended","code":"session_ended"}`) }
	switch r.URL.Path {
	case "/api/v1/auth/login", "/api/v1/auth/refresh":
		var in struct {
			Password     string `json:"password"`
			RefreshToken string `json:"refresh_token"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Password != "correct" && in.RefreshToken != fmt.Sprintf("r%d", s.round) {
			s.dead = true
			refused()
			return
		}
		s.round++
		answer(w, 200, fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r%d","token_type":"Bearer","expires_in":900}`, s.round, s.round))
	default:
		if s.dead || r.Header.Get("Authorization") != fmt.Sprintf("Bearer a%d", s.round) {
			refused()
			return
		}
		if r.Method == http.MethodPost {
			s.dead = true
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, 200, `{"name":"admin","username":"admin","role":"admin"}`)
	}
}

// context returns where the user's session is kept.
func (u user) context() string {
	_, dir, _ := strings.Cut(u.environ[0], "=")
	return filepath.Join(dir, "rollcall", "context.json")
}

// expire makes the user's access token look as if it had expired.
func (u user) expire(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(u.context())
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(content, &kept); err != nil {
		t.Fatal(err)
	}
	kept["expires_at"] = time.Now().Add(-time.Minute)
	if content, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.context(), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASessionIsKept(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0, "Signed in at "+s.URL+" as admin")
	info, err := os.Stat(u.context())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the session is kept with the permissions %v, %v; want 0600", info, err)
	}
	u.run(t.Context(), "", "whoami").must(t, 0, "admin", s.URL)
	u.run(t.Context(), "", "logout").must(t, 0, "Signed out")
	if _, err := os.Stat(u.context()); err == nil {
		t.Error("the session is kept after logout")
	}
	u.run(t.Context(), "", "whoami").must(t, 1, "nobody is signed in")
	u.run(t.Context(), "", "logout").must(t, 0, "Nobody was signed in")
}

func TestASessionIsRefreshedOnceHoweverManyNeedIt(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	u.expire(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if r := u.run(t.Context(), "", "whoami"); r.status != 0 {
				t.Errorf("status %d: %s", r.status, r.stderr)
			}
		})
	}
	all.Wait()
	if s.round != 2 {
		t.Errorf("there were %d rounds of tokens, want 2: one of the sign-in and one refreshed", s.round)
	}
}

func TestASessionThatEndsEarlyIsRefreshed(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	if err := os.WriteFile(u.context(), []byte(fmt.Sprintf(`{"url":%q,"access_token":"stale","refresh_token":"r1","expires_at":"2999-01-01T00:00:00Z"}`, s.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run(t.Context(), "", "whoami").must(t, 0, "admin")
}

func TestASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	s.mu.Lock()
	s.round, s.dead = 100, true
	s.mu.Unlock()
	u.expire(t)
	u.run(t.Context(), "", "whoami").must(t, 1, "rollcall login")
	u.run(t.Context(), "", "logout").must(t, 0, "Signed out")
}

func TestASessionGoesToItsServerOnly(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other server was asked") }))
	t.Cleanup(other.Close)
	u.with("ROLLCALL_URL="+other.URL).run(t.Context(), "", "whoami").must(t, 1, "signed in at "+s.URL)
	u.with("ROLLCALL_URL="+s.URL+"/").run(t.Context(), "", "whoami").must(t, 0)
}

func TestAWrongPasswordKeepsNothing(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "wrong\n", "login", s.URL, "--password-stdin").must(t, 1)
	u.run(t.Context(), "", "login", s.URL).must(t, 2, "--password-stdin")
	if _, err := os.Stat(u.context()); err == nil {
		t.Error("something is kept")
	}
}

func TestASessionThatOthersCanRead(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	if err := os.Chmod(u.context(), fs.FileMode(0o644)); err != nil {
		t.Fatal(err)
	}
	u.run(t.Context(), "", "doctor").must(t, 1, "Others may read your session")
	if err := os.WriteFile(u.context(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run(t.Context(), "", "whoami").must(t, 1, "context.json", "rollcall login")
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
}

func TestSigningOutOfAServerThatIsAway(t *testing.T) {
	t.Parallel()
	s, u := newSigner(t), newUser(t)
	u.run(t.Context(), "correct\n", "login", s.URL, "--password-stdin").must(t, 0)
	s.Close()
	u.run(t.Context(), "", "logout").must(t, 1, "forgot the session", "does not answer")
	u.run(t.Context(), "", "whoami").must(t, 1, "nobody is signed in")
}
