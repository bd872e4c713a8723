package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestUsersChange(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	admin, ann := aUser("admin"), aUser("ann")
	admin.Role, admin.Selector = fleet.Admin, ""
	for _, u := range []fleet.User{admin, ann} {
		if err := s.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	other := func(id uuid.UUID, want bool) {
		t.Helper()
		if is, err := s.OtherAdmin(t.Context(), id); err != nil || is != want {
			t.Errorf("OtherAdmin(%s) = %v, %v", id, is, err)
		}
	}
	other(admin.ID, false)
	other(ann.ID, true)
	change := func(f func(*fleet.User)) fleet.User {
		t.Helper()
		u, err := s.User(t.Context(), ann.ID)
		if err != nil {
			t.Fatal(err)
		}
		f(&u)
		if err := s.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		stale := u
		refused(t, s, "a stale change", fleet.Precondition, "precondition_failed", func(tx *store.Store) error { return tx.UpdateUser(t.Context(), stale) })
		if u, err = s.User(t.Context(), ann.ID); err != nil || u.Version != stale.Version+1 {
			t.Fatalf("after a change: %+v, %v", u, err)
		}
		return u
	}
	if u := change(func(u *fleet.User) { u.Role = fleet.Admin }); u.Role != fleet.Admin || u.Selector != "site=eu" {
		t.Errorf("promoted: %+v", u)
	}
	other(admin.ID, false) // ann is bound to a selector
	change(func(u *fleet.User) { u.Selector = "" })
	other(admin.ID, true)
	if u := change(func(u *fleet.User) { u.DisabledAt = new(time.Now()) }); u.DisabledAt == nil || u.DeletedAt != nil {
		t.Errorf("disabled: %+v", u)
	}
	other(admin.ID, false)
	for want := int64(1); want <= 2; want++ {
		if epoch, err := s.EndSessions(t.Context(), ann.ID); err != nil || epoch != want {
			t.Errorf("EndSessions = %d, %v, want %d", epoch, err, want)
		}
	}
	refused(t, s, "ending the sessions of nobody", fleet.NotFound, "not_found", func(tx *store.Store) error {
		_, err := tx.EndSessions(t.Context(), fleet.NewID())
		return err
	})
	if u := change(func(u *fleet.User) { u.DeletedAt = new(time.Now()) }); u.DeletedAt == nil || u.SessionEpoch != 2 {
		t.Errorf("deleted: %+v", u)
	}
	refused(t, s, "the name of a deleted user", fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.UserByName(t.Context(), "ann"); return err })
	refused(t, s, "another of the name", fleet.Conflict, "name_taken", func(tx *store.Store) error { return tx.AddUser(t.Context(), aUser("ann")) })
	if users, _, err := s.Users(t.Context(), fleet.Page{}); err != nil || len(users) != 1 || users[0].Username != "admin" {
		t.Errorf("Users = %+v, %v", users, err)
	}
	refused(t, s, "a cursor of another list", fleet.Invalid, "invalid", func(tx *store.Store) error {
		_, _, err := tx.Users(t.Context(), fleet.Page{After: "d2ViLTE"})
		return err
	})
	token := store.APIToken{ID: fleet.NewID(), UserID: ann.ID, Name: "ci", Hash: []byte("h"), CreatedAt: time.Now()}
	if err := s.AddAPIToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeAPITokens(t.Context(), ann.ID); err != nil {
		t.Fatal(err)
	}
	if tokens, err := s.APITokens(t.Context(), ann.ID); err != nil || len(tokens) != 0 {
		t.Errorf("after revoking all: %+v, %v", tokens, err)
	}
}

func TestUsersAreLockedByOneTransactionAtATime(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	err := s.InTx(t.Context(), func(tx *store.Store) error {
		if err := tx.LockUsers(t.Context()); err != nil {
			return err
		}
		second := make(chan error, 1)
		go func() {
			second <- s.InTx(t.Context(), func(tx *store.Store) error { return tx.LockUsers(t.Context()) })
		}()
		select {
		case err := <-second:
			t.Errorf("a second transaction went on beside the first: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPasswordResets(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ann := aUser("ann")
	if err := s.AddUser(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	set := func(hash string) {
		t.Helper()
		r := store.PasswordReset{UserID: ann.ID, Hash: []byte(hash), ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Microsecond), CreatedBy: "user:admin"}
		if err := s.SetPasswordReset(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		read, err := s.PasswordReset(t.Context(), []byte(hash))
		if err != nil || read.UserID != ann.ID || !read.ExpiresAt.Equal(r.ExpiresAt) || read.CreatedBy != "user:admin" || read.Hash != nil {
			t.Errorf("PasswordReset = %+v, %v", read, err)
		}
	}
	gone := func(hash string) {
		t.Helper()
		refused(t, s, hash, fleet.NotFound, "not_found", func(tx *store.Store) error { _, err := tx.PasswordReset(t.Context(), []byte(hash)); return err })
		refused(t, s, hash, fleet.NotFound, "not_found", func(tx *store.Store) error { return tx.TakePasswordReset(t.Context(), []byte(hash)) })
	}
	set("first")
	set("second")
	gone("first")
	if err := s.TakePasswordReset(t.Context(), []byte("second")); err != nil {
		t.Error(err)
	}
	gone("second")
	set("third")
	if err := s.DropPasswordReset(t.Context(), ann.ID); err != nil {
		t.Error(err)
	}
	gone("third")
}
