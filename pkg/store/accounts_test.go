package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func aUser(name string) fleet.User {
	return fleet.User{ID: fleet.NewID(), Username: name, PasswordHash: "hash of " + name, Role: fleet.Operator, Selector: "site=eu"}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	want := aUser("ann")
	if err := s.AddUser(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	refused(t, s, "a second user of the name", fleet.Conflict, "name_taken", func(tx *store.Store) error { return tx.AddUser(t.Context(), aUser("ann")) })
	at := time.Now().Truncate(time.Microsecond)
	for _, noted := range []time.Time{at, at.Add(-time.Hour)} { // of two at once the later counts
		if err := s.NoteLogin(t.Context(), want.ID, noted); err != nil {
			t.Fatal(err)
		}
	}
	read, err := s.UserByName(t.Context(), "ann")
	if read.LastLoginAt == nil || !read.LastLoginAt.Equal(at) {
		t.Errorf("the last sign-in is %v, want %v", read.LastLoginAt, at)
	}
	if err != nil || read.ID != want.ID || read.PasswordHash != want.PasswordHash || read.Role != fleet.Operator || read.Selector != "site=eu" || read.Version != 1 {
		t.Errorf("UserByName = %+v, %v", read, err)
	}
	for _, step := range []struct {
		what    string
		do      func() error
		hash    string
		version int64
	}{
		{"another hash of the same password", func() error { return s.ReplacePasswordHash(t.Context(), want.ID, want.PasswordHash, "stronger") }, "stronger", 1},
		{"a hash of a password that was changed meanwhile", func() error { return s.ReplacePasswordHash(t.Context(), want.ID, want.PasswordHash, "late") }, "stronger", 1},
		{"a new password", func() error { return s.SetPassword(t.Context(), want.ID, "new") }, "new", 2},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if u, err := s.User(t.Context(), want.ID); err != nil || u.PasswordHash != step.hash || u.Version != step.version {
			t.Errorf("after %s: %+v, %v", step.what, u, err)
		}
	}
	refused(t, s, "an unknown user", fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.User(t.Context(), fleet.NewID()); return err })
	refused(t, s, "an unknown name", fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.UserByName(t.Context(), "bob"); return err })
}

func TestTheFirstUserIsAddedOnce(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	if has, err := s.HasUsers(t.Context()); err != nil || has {
		t.Errorf("HasUsers at first = %v, %v", has, err)
	}
	added := make([]bool, 8)
	errs := make([]error, len(added))
	var all sync.WaitGroup
	for i := range added {
		all.Go(func() { added[i], errs[i] = s.AddFirstUser(t.Context(), aUser(fmt.Sprintf("admin%d", i))) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(added, func(b bool) bool { return !b })); n != 1 {
		t.Errorf("%d of them were the first user", n)
	}
	if has, err := s.HasUsers(t.Context()); err != nil || !has {
		t.Errorf("HasUsers then = %v, %v", has, err)
	}
}

func TestAPITokens(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	user, other := aUser("ann"), aUser("bob")
	for _, u := range []fleet.User{user, other} {
		if err := s.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Truncate(time.Microsecond)
	want := store.APIToken{ID: fleet.NewID(), UserID: user.ID, Name: "ci", Hash: []byte("hash"), Role: fleet.Viewer, Selector: "name=a", CreatedAt: now, ExpiresAt: new(now.Add(time.Hour))}
	bare := store.APIToken{ID: fleet.NewID(), UserID: user.ID, Name: "bare", Hash: []byte("other"), CreatedAt: now.Add(time.Second)}
	for _, token := range []store.APIToken{want, bare} {
		if err := s.AddAPIToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	token, owner, err := s.APITokenByHash(t.Context(), []byte("hash"))
	if err != nil || token.ID != want.ID || token.Role != fleet.Viewer || token.Selector != "name=a" || !token.ExpiresAt.Equal(*want.ExpiresAt) || owner.Username != "ann" || token.Hash != nil {
		t.Errorf("APITokenByHash = %+v of %+v, %v", token, owner, err)
	}
	refused(t, s, "an unknown hash", fleet.NotFound, "not_found", func(tx *store.Store) error { _, _, err := tx.APITokenByHash(t.Context(), []byte("none")); return err })
	for _, use := range []struct {
		at, noted time.Time
	}{{now, now}, {now.Add(59 * time.Second), now}, {now.Add(time.Minute), now.Add(time.Minute)}} {
		if err := s.TouchAPIToken(t.Context(), want.ID, use.at); err != nil {
			t.Fatal(err)
		}
		if token, _, _ := s.APITokenByHash(t.Context(), []byte("hash")); token.LastUsedAt == nil || !token.LastUsedAt.Equal(use.noted) {
			t.Errorf("used at %s: noted %v, want %s", use.at, token.LastUsedAt, use.noted)
		}
	}
	tokens, err := s.APITokens(t.Context(), user.ID)
	if err != nil || len(tokens) != 2 || tokens[0].Name != "bare" || tokens[0].Role != "" || tokens[0].ExpiresAt != nil {
		t.Errorf("APITokens = %+v, %v", tokens, err)
	}
	refused(t, s, "revoking another's token", fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.RevokeAPIToken(t.Context(), other.ID, want.ID); return err })
	if revoked, err := s.RevokeAPIToken(t.Context(), user.ID, want.ID); err != nil || revoked.RevokedAt == nil {
		t.Errorf("RevokeAPIToken = %+v, %v", revoked, err)
	}
	refused(t, s, "revoking it again", fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.RevokeAPIToken(t.Context(), user.ID, want.ID); return err })
	if tokens, err := s.APITokens(t.Context(), user.ID); err != nil || len(tokens) != 1 {
		t.Errorf("APITokens after = %+v, %v", tokens, err)
	}
	exec(t, store.DBOf(s), `insert into api_tokens (id, user_id, name, hash) select gen_random_uuid(), $1, 't', n::text::bytea from generate_series(2, $2::int) n`, user.ID, store.MaxAPITokens)
	refused(t, s, "one token too many", fleet.Conflict, "too_many_tokens", func(tx *store.Store) error {
		return tx.AddAPIToken(t.Context(), store.APIToken{ID: fleet.NewID(), UserID: user.ID, Hash: []byte("x"), CreatedAt: now})
	})
}

func TestTheAuditLog(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	db := store.DBOf(s)
	user := fleet.NewID()
	actor := fleet.Actor{Kind: fleet.ActorUser, Name: "ann", UserID: &user, Address: "2001:db8::1"}
	if err := s.Audit(t.Context(), actor, fleet.AuditEntry{Action: "host.update", ResourceType: "host", ResourceID: "1", Details: map[string]any{"n": 1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "auth.login", Denied: true, ResourceType: "user"}); err != nil {
		t.Fatal(err)
	}
	if err := s.AuditAll(t.Context(), actor, []fleet.AuditEntry{
		{Action: "host.create", ResourceType: "host", ResourceID: "2", Details: map[string]any{"name": "web"}}, {Action: "host.create", ResourceType: "host", Denied: true},
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.AuditAll(t.Context(), actor, nil); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{
		"true": 4,
		`action = 'host.update' and outcome = 'ok' and user_id = '` + user.String() + `' and actor = 'user:ann' and ip_address = '2001:db8::1' and details = '{"n": 1}'`: 1,
		`action = 'auth.login' and outcome = 'denied' and user_id is null and actor = 'system' and ip_address is null and details = '{}' and resource_id = ''`:           1,
		`action = 'host.create' and outcome = 'ok' and details = '{"name": "web"}' and actor = 'user:ann' and ip_address is not null`:                                    1,
		`action = 'host.create' and outcome = 'denied' and details = '{}'`:                                                                                               1,
		"tx = pg_current_xact_id() and created_at > now() - interval '1 day'":                                                                                            4,
	} {
		if n := ask[int](t, db, "select count(*) from audit_logs where "+what); n != want {
			t.Errorf("%d entries where %s, want %d", n, what, want)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	actor, hash := fleet.NewID(), []byte("request")
	begin := func(who uuid.UUID, ttl time.Duration) *store.IdempotentAnswer {
		t.Helper()
		a, err := s.BeginIdempotent(t.Context(), who, "key", hash, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := begin(actor, time.Hour); a != nil {
		t.Errorf("a free key = %+v", a)
	}
	if a := begin(fleet.NewID(), time.Hour); a != nil {
		t.Errorf("another actor's key of the same name = %+v", a)
	}
	if a := begin(actor, time.Hour); a == nil || a.Status != 0 || string(a.RequestHash) != "request" {
		t.Errorf("while the first request is under way = %+v", a)
	}
	forget := func() {
		t.Helper()
		if err := s.ForgetIdempotent(t.Context(), actor, "key"); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	if a := begin(actor, time.Hour); a != nil {
		t.Errorf("a freed key = %+v", a)
	}
	if err := s.EndIdempotent(t.Context(), actor, "key", store.IdempotentAnswer{Status: 201, Location: "/x", Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if a := begin(actor, time.Hour); a == nil || a.Status != 201 || a.Location != "/x" || string(a.Body) != "{}" {
		t.Errorf("a replay = %+v", a)
	}
	forget()
	if a := begin(actor, time.Hour); a == nil || a.Status != 201 {
		t.Errorf("what was done and is to be forgotten = %+v", a)
	}
	if _, err := store.DBOf(s).Exec(t.Context(), "update idempotency_keys set expires_at = now() - interval '1 s' where actor_id = $1", actor); err != nil {
		t.Fatal(err)
	}
	if a := begin(actor, time.Hour); a != nil {
		t.Errorf("a key whose time is over = %+v", a)
	}
	begin(fleet.NewID(), -time.Second)
	if n, err := s.ForgetExpiredAnswers(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("ForgetExpiredAnswers = %d, %v; want the one whose time is over", n, err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	want := fleet.Credential{ID: fleet.NewID(), Name: "deploy", Kind: fleet.CredentialPrivateKey, Username: "rollcall", Fingerprint: "SHA256:x"}
	seal := func(site string) fleet.Seal { return fleet.Seal{Site: site, KeyID: "k1", Sealed: []byte{0, 1, 2}} }
	if err := s.AddCredential(t.Context(), want, []fleet.Seal{seal("us"), seal("eu")}); err != nil {
		t.Fatal(err)
	}
	refused(t, s, "a second one of the name", fleet.Conflict, "name_taken", func(tx *store.Store) error {
		return tx.AddCredential(t.Context(), fleet.Credential{ID: fleet.NewID(), Name: "deploy", Kind: fleet.CredentialPassword, Username: "x"}, nil)
	})
	read, err := s.Credential(t.Context(), want.ID)
	if err != nil || read.Version != 1 || !slices.Equal(read.Sites, []string{"eu", "us"}) || read.Fingerprint != "SHA256:x" {
		t.Errorf("Credential = %+v, %v", read, err)
	}
	opened, sealed, err := s.CredentialFor(t.Context(), want.ID, "eu")
	if err != nil || opened.Username != "rollcall" || sealed.KeyID != "k1" || string(sealed.Sealed) != "\x00\x01\x02" || sealed.Site != "eu" {
		t.Errorf("CredentialFor = %+v, %+v, %v", opened, sealed, err)
	}
	refused(t, s, "for a site that it is not sealed to", fleet.NotFound, "not_found", func(tx *store.Store) error {
		_, _, err := tx.CredentialFor(t.Context(), want.ID, "mars")
		return err
	})

	read.Username = "other"
	if err := s.UpdateCredential(t.Context(), read, nil); err != nil {
		t.Fatal(err)
	}
	refused(t, s, "over an old version", fleet.Precondition, "precondition_failed", func(tx *store.Store) error { return tx.UpdateCredential(t.Context(), read, nil) })
	byName, err := s.CredentialsByName(t.Context(), []string{"deploy", "none"})
	if err != nil || len(byName) != 1 || byName["deploy"].Version != 2 || len(byName["deploy"].Sites) != 2 {
		t.Errorf("CredentialsByName = %+v, %v; want the seals kept", byName, err)
	}
	if err := s.UpdateCredential(t.Context(), byName["deploy"], []fleet.Seal{seal("asia"), seal("eu")}); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepSeals(t.Context(), want.ID, []string{"asia"}); err != nil {
		t.Fatal(err)
	}
	byID, err := s.CredentialsByID(t.Context(), []uuid.UUID{want.ID, fleet.NewID()})
	if err != nil || len(byID) != 1 || !slices.Equal(byID[want.ID].Sites, []string{"asia"}) || byID[want.ID].Version != 3 {
		t.Errorf("CredentialsByID = %+v, %v", byID, err)
	}

	host := addHost(t, s, "web-1", func(h *fleet.Host) { h.CredentialID = &want.ID })
	if sites, err := s.SitesUsing(t.Context(), fleet.Everything(), want.ID); err != nil || !slices.Equal(sites, []string{fleet.DefaultSite}) {
		t.Errorf("SitesUsing = %v, %v", sites, err)
	}
	refused(t, s, "removing one in use", fleet.Conflict, "in_use", func(tx *store.Store) error { return tx.RemoveCredential(t.Context(), want.ID) })
	if err := s.RetireHost(t.Context(), host.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveCredential(t.Context(), want.ID); err != nil {
		t.Errorf("removing one that only a retired host used: %v", err)
	}
	refused(t, s, "removing it again", fleet.NotFound, "not_found", func(tx *store.Store) error { return tx.RemoveCredential(t.Context(), want.ID) })
	if n := ask[int](t, store.DBOf(s), "select count(*) from credential_seals"); n != 0 {
		t.Errorf("%d seals stay behind", n)
	}
}

func TestWorkersThatBeat(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	worker := aWorker(t, s)
	now, cancelled, err := s.Heartbeat(t.Context(), worker)
	if err != nil || len(cancelled) != 0 || time.Since(now).Abs() > time.Minute {
		t.Errorf("Heartbeat = %s, %v, %v", now, cancelled, err)
	}
	workers, err := s.Workers(t.Context(), time.Minute)
	if err != nil || len(workers) != 1 || workers[0].ID != worker.ID || workers[0].Slots != 10 || !slices.Equal(workers[0].Sites, worker.Sites) {
		t.Errorf("Workers = %+v, %v", workers, err)
	}
	exec(t, store.DBOf(s), "update workers set seen_at = now() - interval '2 hours'")
	if workers, err := s.Workers(t.Context(), time.Minute); err != nil || len(workers) != 0 {
		t.Errorf("Workers long after = %+v, %v", workers, err)
	}
	for _, step := range []struct {
		age  time.Duration
		left int
	}{{3 * time.Hour, 1}, {time.Hour, 0}} {
		if err := s.ForgetWorkers(t.Context(), step.age); err != nil {
			t.Fatal(err)
		}
		if n := ask[int](t, store.DBOf(s), "select count(*) from workers"); n != step.left {
			t.Errorf("%d workers after forgetting those of %s, want %d", n, step.age, step.left)
		}
	}
}

// TestWhatIsDoneUnderAKeyIsNotedWithIt: a commit may succeed although nobody is told, and then the request must not be
// done again.
func TestWhatIsDoneUnderAKeyIsNotedWithIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		key      string
		denied   bool
		age      string // of the first request
		request  string // the second one
		want     string // location; "free": the key is free
		wantSame bool   // after the request was to be forgotten
	}{
		{name: "what was done stays noted", key: "key", request: "one", want: "collection 7", wantSame: true},
		{name: "what was done stays noted when it is old", key: "key", age: "1 hour", request: "one", want: "collection 7", wantSame: true},
		{name: "what was refused is not", key: "key", denied: true, request: "one", want: ""},
		{name: "what was done under another key is not", key: "other", request: "one", want: ""},
		{name: "what was done under none is not", request: "one", want: ""},
		{name: "a request that has done nothing for long was abandoned", age: "4 minutes", request: "one", want: "free"},
		{name: "but its key is not another request's", age: "4 minutes", request: "two", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			actor := fleet.Actor{Kind: fleet.ActorToken, ID: fleet.NewID(), Name: "ci", Key: tt.key}
			begin := func(request string) *store.IdempotentAnswer {
				t.Helper()
				a, err := s.BeginIdempotent(t.Context(), actor.ID, "key", []byte(request), time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			begin("one")
			entry := fleet.AuditEntry{Action: "collection.trigger", ResourceType: "collection", ResourceID: "7", Denied: tt.denied}
			if err := s.Audit(t.Context(), actor, entry); err != nil {
				t.Fatal(err)
			}
			if tt.age != "" {
				_, err := store.DBOf(s).Exec(t.Context(), "update idempotency_keys set created_at = now() - $2::text::interval where actor_id = $1", actor.ID, tt.age)
				if err != nil {
					t.Fatal(err)
				}
			}
			got := begin(tt.request)
			if free := got == nil; free != (tt.want == "free") || !free && (got.Location != tt.want || got.Status != 0) {
				t.Fatalf("the key = %+v, want %q", got, tt.want)
			}
			if err := s.ForgetIdempotent(t.Context(), actor.ID, "key"); err != nil {
				t.Fatal(err)
			}
			if got := begin("one"); (got != nil) != tt.wantSame {
				t.Errorf("after it was to be forgotten the key = %+v", got)
			}
		})
	}
}

func TestAKeyThatIsFreedMeanwhileIsTaken(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	actor := fleet.NewID()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 200 {
				a, err := s.BeginIdempotent(t.Context(), actor, "key", []byte("request"), time.Hour)
				if err == nil && a == nil {
					err = s.ForgetIdempotent(t.Context(), actor, "key")
				}
				if err != nil {
					t.Errorf("beside others that take and free the key: %v", err)
					return
				}
			}
		})
	}
	callers.Wait()
}
