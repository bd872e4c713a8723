package command_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// TestWhoeverHasTheDatabaseGetsBackIn makes the link of the only admin, who cannot ask anybody.
func TestWhoeverHasTheDatabaseGetsBackIn(t *testing.T) {
	t.Parallel()
	url := storetest.Database(t)
	pool, err := store.OpenPool(t.Context(), url, store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	st := store.New(pool)
	if err := st.AddUser(t.Context(), fleet.User{ID: fleet.NewID(), Username: "admin", PasswordHash: "forgotten", Role: fleet.Admin}); err != nil {
		t.Fatal(err)
	}
	u := newUser(t, "DATABASE_URL="+url)
	u.run(t.Context(), "", "users", "reset", "nobody", "--database").must(t, 1, "no such user")
	u.run(t.Context(), "", "users", "reset", "admin", "--database").must(t, 0, "/reset#rcp_", "ROLLCALL_URL")
	u.with("ROLLCALL_URL=https://rollcall.example/").run(t.Context(), "", "users", "reset", "admin", "--database").must(t, 0, "https://rollcall.example/reset#rcp_")
	u.with("DATABASE_URL=mysql://x").run(t.Context(), "", "users", "reset", "admin", "--database").must(t, 2, "DATABASE_URL")
	found, _, err := st.AuditRecords(t.Context(), fleet.Everything(), store.AuditFilter{}, fleet.Page{})
	if err != nil || len(found) != 2 || found[0].Action != "user.reset" || found[0].Actor != "system" {
		t.Errorf("the audit log has %+v, %v", found, err)
	}
}
