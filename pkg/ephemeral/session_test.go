package ephemeral_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func hash(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// newSession is a session of user that lives for an hour and whose refresh token is "r0".
func newSession(user uuid.UUID) ephemeral.Session {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return ephemeral.Session{
		ID: uuid.New(), UserID: user, RefreshHash: hash("r0"), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		Address: "192.0.2.7", UserAgent: "curl/8.5",
	}
}

func create(t *testing.T, s *ephemeral.Store, sess ephemeral.Session) ephemeral.Session {
	t.Helper()
	if err := s.CreateSession(t.Context(), sess); err != nil {
		t.Fatalf("CreateSession: %v", err)
	}
	return sess
}

func wantEnded(t *testing.T, err error) {
	t.Helper()
	if fleet.KindOf(err) != fleet.Unauthenticated || fleet.CodeOf(err) != ephemeral.CodeSessionEnded {
		t.Errorf("error = %v (code %s), want %s", err, fleet.CodeOf(err), ephemeral.CodeSessionEnded)
	}
}

func TestSessionLife(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			sess := create(t, s, newSession(uuid.New()))
			got, err := s.Session(t.Context(), sess.ID)
			if err != nil {
				t.Fatal(err)
			}
			want := sess
			want.RefreshHash = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Session (-want +got):\n%s", diff)
			}
			if err := s.SetSessionEpoch(t.Context(), sess.ID, 7); err != nil {
				t.Fatalf("SetSessionEpoch: %v", err)
			}
			if got, err := s.Session(t.Context(), sess.ID); err != nil || got.Epoch != 7 || got.UserID != sess.UserID {
				t.Errorf("in another epoch: %+v, %v", got, err)
			}
			for range 2 { // ending it twice is no error
				if err := s.DeleteSession(t.Context(), sess.ID); err != nil {
					t.Fatalf("DeleteSession: %v", err)
				}
			}
			_, err = s.Session(t.Context(), sess.ID)
			wantEnded(t, err)
			_, err = s.RotateRefresh(t.Context(), sess.ID, hash("r0"), hash("r1"))
			wantEnded(t, err)
			if err := s.SetSessionEpoch(t.Context(), sess.ID, 8); err != nil {
				t.Errorf("SetSessionEpoch of a session that has ended: %v", err)
			}
			_, err = s.Session(t.Context(), sess.ID) // which does not bring it back
			wantEnded(t, err)
			_, err = s.Session(t.Context(), uuid.New())
			wantEnded(t, err)
		})
	}
}

func TestSessionExpires(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			sess := newSession(uuid.New())
			sess.ExpiresAt = time.Now().Add(300 * time.Millisecond)
			create(t, s, sess)
			eventually(t, func(ctx context.Context) error {
				if _, err := s.Session(ctx, sess.ID); fleet.CodeOf(err) != ephemeral.CodeSessionEnded {
					return fmt.Errorf("the session lives: %w", err)
				}
				return nil
			})
			sessions, err := s.UserSessions(t.Context(), sess.UserID)
			if err != nil || len(sessions) != 0 {
				t.Errorf("UserSessions after the end = %v, %v", sessions, err)
			}
		})
	}
}

func TestSessionsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	_, s := open(t, "redis://"+m.Addr())
	sess := create(t, s, newSession(uuid.New()))
	if _, err := s.RotateRefresh(t.Context(), sess.ID, hash("r0"), hash("r1")); err != nil {
		t.Fatal(err)
	}
	m.FastForward(time.Hour + time.Second)
	if keys := m.Keys(); len(keys) != 0 {
		t.Errorf("after the session's end Redis still holds %q", keys)
	}
}

func TestCreateSessionRefuses(t *testing.T) {
	t.Parallel()
	_, s := open(t, "redis://"+miniredis.RunT(t).Addr())
	tests := []struct {
		name   string
		change func(*ephemeral.Session)
	}{
		{"a session without ID", func(s *ephemeral.Session) { s.ID = uuid.Nil }},
		{"a session without user", func(s *ephemeral.Session) { s.UserID = uuid.Nil }},
		{"a session without refresh hash", func(s *ephemeral.Session) { s.RefreshHash = nil }},
		{"a refresh hash of another length", func(s *ephemeral.Session) { s.RefreshHash = []byte("x") }},
		{"a session that has expired", func(s *ephemeral.Session) { s.ExpiresAt = time.Now().Add(-time.Second) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sess := newSession(uuid.New())
			tt.change(&sess)
			if err := s.CreateSession(t.Context(), sess); fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("CreateSession = %v, want Invalid", err)
			}
		})
	}
}

func TestCreateSessionCutsWhatStrangersSend(t *testing.T) {
	t.Parallel()
	_, s := open(t, "redis://"+miniredis.RunT(t).Addr())
	sess := newSession(uuid.New())
	sess.UserAgent = strings.Repeat("ü", 10_000) + "\xff"
	create(t, s, sess)
	got, err := s.Session(t.Context(), sess.ID)
	if err != nil || got.UserAgent != strings.Repeat("ü", 128) {
		t.Errorf("user agent of %d bytes, %v, want 256 whole ones", len(got.UserAgent), err)
	}
}

func TestRotateRefresh(t *testing.T) {
	t.Parallel()
	type step struct {
		from, to string
		code     string // "ok" or the code of the error
	}
	ended, unknown, reused := ephemeral.CodeSessionEnded, ephemeral.CodeSessionEnded, ephemeral.CodeRefreshReused
	tests := []struct {
		name  string
		steps []step
		lives bool
	}{
		{"goes from token to token", []step{{"r0", "r1", "ok"}, {"r1", "r2", "ok"}, {"r2", "r3", "ok"}}, true},
		{"repeated by the client library is no reuse", []step{{"r0", "r1", "ok"}, {"r0", "r1", "ok"}, {"r1", "r2", "ok"}}, true},
		{"of the last token again ends the session", []step{{"r0", "r1", "ok"}, {"r0", "x1", reused}, {"r1", "r2", ended}}, false},
		{"of an older token ends the session", []step{{"r0", "r1", "ok"}, {"r1", "r2", "ok"}, {"r0", "r1", reused}}, false},
		{"of a token that never was leaves the session alone", []step{{"guess", "x1", unknown}, {"r0", "r1", "ok"}}, true},
		{"to the current token from one that never was is refused", []step{{"guess", "r0", unknown}, {"r0", "r1", "ok"}}, true},
	}
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					sess := create(t, s, newSession(uuid.New()))
					for i, step := range tt.steps {
						got, err := s.RotateRefresh(t.Context(), sess.ID, hash(step.from), hash(step.to))
						if fleet.CodeOf(err) != step.code {
							t.Fatalf("step %d, from %s to %s = %v (code %s), want %s", i+1, step.from, step.to, err, fleet.CodeOf(err), step.code)
						}
						if err == nil && (got.ID != sess.ID || got.UserID != sess.UserID || !got.ExpiresAt.Equal(sess.ExpiresAt)) {
							t.Errorf("step %d returns %+v", i+1, got)
						}
						if err != nil && fleet.KindOf(err) != fleet.Unauthenticated {
							t.Errorf("step %d is of kind %d", i+1, fleet.KindOf(err))
						}
					}
					if _, err := s.Session(t.Context(), sess.ID); (err == nil) != tt.lives {
						t.Errorf("afterwards Session = %v, want it to live: %v", err, tt.lives)
					}
				})
			}
		})
	}
}

func TestRotateRefreshRemembersTheLast32(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			sess := create(t, s, newSession(uuid.New()))
			for i := range 40 {
				if _, err := s.RotateRefresh(t.Context(), sess.ID, hash(fmt.Sprintf("r%d", i)), hash(fmt.Sprintf("r%d", i+1))); err != nil {
					t.Fatalf("rotation %d: %v", i+1, err)
				}
			}
			_, err := s.RotateRefresh(t.Context(), sess.ID, hash("r7"), hash("x"))
			wantEnded(t, err) // forgotten: refused
			_, err = s.RotateRefresh(t.Context(), sess.ID, hash("r8"), hash("x"))
			if fleet.CodeOf(err) != ephemeral.CodeRefreshReused {
				t.Errorf("the oldest remembered token = %v, want reuse", err)
			}
		})
	}
}

func TestRotateRefreshIsAtomic(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			sess := create(t, s, newSession(uuid.New()))
			errs := make([]error, 12)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					_, errs[i] = s.RotateRefresh(t.Context(), sess.ID, hash("r0"), hash(fmt.Sprintf("new%d", i)))
				})
			}
			wg.Wait()
			codes := map[string]int{}
			for _, err := range errs {
				codes[fleet.CodeOf(err)]++
			}
			// The winner may find its session ended by the first loser when it reads it back.
			if codes["ok"] > 1 || codes[ephemeral.CodeRefreshReused] != 1 || codes["ok"]+codes[ephemeral.CodeSessionEnded] != 11 {
				t.Errorf("12 uses of one token ended as %v, want one winner at most and one reuse", codes)
			}
			_, err := s.Session(t.Context(), sess.ID)
			wantEnded(t, err)
		})
	}
}

func TestUserSessions(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			user, other := uuid.New(), uuid.New()
			var ids []uuid.UUID
			for i := range 4 {
				sess := newSession(user)
				sess.ExpiresAt = sess.ExpiresAt.Add(time.Duration(i) * time.Minute)
				ids = append(ids, create(t, s, sess).ID)
			}
			foreign := create(t, s, newSession(other))
			listed := func() []uuid.UUID {
				t.Helper()
				sessions, err := s.UserSessions(t.Context(), user)
				if err != nil {
					t.Fatal(err)
				}
				var got []uuid.UUID
				for _, sess := range sessions {
					got = append(got, sess.ID)
				}
				return got
			}
			if got, want := listed(), []uuid.UUID{ids[3], ids[2], ids[1], ids[0]}; !slices.Equal(got, want) {
				t.Errorf("UserSessions = %v, want %v", got, want)
			}
			if err := s.DeleteSession(t.Context(), ids[2]); err != nil {
				t.Fatal(err)
			}
			if got, want := listed(), []uuid.UUID{ids[3], ids[1], ids[0]}; !slices.Equal(got, want) {
				t.Errorf("UserSessions after one has ended = %v, want %v", got, want)
			}
			if err := s.DeleteUserSessions(t.Context(), user, ids[1], foreign.ID); err != nil {
				t.Fatal(err)
			}
			if got, want := listed(), []uuid.UUID{ids[1]}; !slices.Equal(got, want) {
				t.Errorf("UserSessions after ending all but one = %v, want %v", got, want)
			}
			_, err := s.Session(t.Context(), ids[0])
			wantEnded(t, err)
			if err := s.DeleteUserSessions(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			if got := listed(); len(got) != 0 {
				t.Errorf("UserSessions after ending all = %v", got)
			}
			if _, err := s.Session(t.Context(), foreign.ID); err != nil {
				t.Errorf("another user's session: %v", err)
			}
		})
	}
}

func TestUserHasAtMost100Sessions(t *testing.T) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := b.open(t)
			user := uuid.New()
			var ids []uuid.UUID
			for i := range ephemeral.MaxSessionsPerUser + 3 {
				sess := newSession(user)
				sess.ExpiresAt = sess.ExpiresAt.Add(time.Duration(i) * time.Second)
				ids = append(ids, create(t, s, sess).ID)
			}
			// One that would expire before all others is kept all the same: it has just signed in.
			short := newSession(user)
			short.ExpiresAt = short.ExpiresAt.Add(-time.Minute)
			create(t, s, short)
			sessions, err := s.UserSessions(t.Context(), user)
			if err != nil || len(sessions) != ephemeral.MaxSessionsPerUser {
				t.Fatalf("UserSessions = %d sessions, %v", len(sessions), err)
			}
			for i, id := range append(ids[:5:5], short.ID) {
				_, err := s.Session(t.Context(), id)
				if lives := err == nil; lives != (i >= 4) {
					t.Errorf("session %d of those that expire first: %v", i+1, err)
				}
			}
		})
	}
}

func TestUnreadableSessionIsOurFault(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	_, s := open(t, "redis://"+m.Addr())
	id := uuid.New()
	m.HSet("rollcall:session:"+id.String(), "user", "x")
	_, err := s.Session(t.Context(), id)
	if fleet.KindOf(err) != fleet.Internal {
		t.Errorf("Session = %v (kind %d), want Internal", err, fleet.KindOf(err))
	}
	if _, err := s.RotateRefresh(t.Context(), id, nil, hash("x")); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("RotateRefresh without a hash = %v, want Invalid", err)
	}
	m.SetError("ERR broken")
	if _, err := s.UserSessions(t.Context(), id); fleet.KindOf(err) != fleet.Unavailable || errors.Unwrap(err) == nil {
		t.Errorf("UserSessions of a Redis that answers with errors = %v", err)
	}
}
