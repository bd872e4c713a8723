package account_test

import (
	"sync"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

func TestEnsureFirstAdmin(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	_, _, err := b.EnsureFirstAdmin(t.Context(), "too short")
	wantError(t, err, fleet.Invalid, "invalid")

	generated, created, err := b.EnsureFirstAdmin(t.Context(), password)
	if err != nil || !created || generated != "" {
		t.Fatalf("got %q, %v, %v; want the given password to be taken", generated, created, err)
	}
	for _, again := range []string{"", password, "quite another password"} {
		generated, created, err := b.EnsureFirstAdmin(t.Context(), again)
		if err != nil || created || generated != "" {
			t.Errorf("a second call: got %q, %v, %v; want nothing done", generated, created, err)
		}
	}
	_, actor := b.login(t, account.FirstAdmin)
	if actor.Role != fleet.Admin || actor.Selector != nil {
		t.Errorf("the first admin is %+v", actor)
	}
	wantAudited(t, b,
		entry{Actor: "system", Action: "user.create", Outcome: "ok"},
		entry{Actor: "user:admin", Action: "auth.login", Outcome: "ok", Address: "192.0.2.7", HasUser: true})
}

func TestEnsureFirstAdminByManyProcessesMakesOnePasswordThatWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t, account.Options{})
	const processes = 4
	generated := make([]string, processes)
	var wg sync.WaitGroup
	for i := range processes {
		replica := b.replica(t, account.Options{})
		wg.Go(func() {
			var err error
			var created bool
			generated[i], created, err = replica.EnsureFirstAdmin(t.Context(), "")
			if err != nil || created != (generated[i] != "") {
				t.Errorf("process %d: created %v, password %q, %v", i, created, generated[i], err)
			}
		})
	}
	wg.Wait()
	var passwords []string
	for _, g := range generated {
		if g != "" {
			passwords = append(passwords, g)
		}
	}
	if len(passwords) != 1 {
		t.Fatalf("%d passwords were printed, want 1", len(passwords))
	}
	if err := token.CheckPassword(passwords[0]); err != nil {
		t.Errorf("the generated password is refused: %v", err)
	}
	if _, err := b.Login(t.Context(), account.FirstAdmin, passwords[0], home()); err != nil {
		t.Errorf("signing in with the generated password: %v", err)
	}
}
