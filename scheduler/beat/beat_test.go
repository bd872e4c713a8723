package beat_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
	"github.com/rollcallhq/rollcall/scheduler/beat"
)

// TestASchedulesWorkGivesWayWhenTooMuchWaits fires schedules, as the scheduler wires them, with as many tasks waiting as may
// before bulk work is refused.
func TestASchedulesWorkGivesWayWhenTooMuchWaits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		priority fleet.Priority
		limit    int
		full     bool
	}{
		{"bulk work is refused, and the firing says why", fleet.PriorityBulk, 1, true},
		{"normal work is let in until twice as much waits", fleet.PriorityNormal, 1, false},
		{"with room everything is let in", fleet.PriorityBulk, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			log := slog.New(slog.DiscardHandler)
			user := fleet.User{ID: fleet.NewID(), Username: "root", PasswordHash: "x", Role: fleet.Admin}
			if err := s.AddUser(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			owner := fleet.Actor{Kind: fleet.ActorUser, ID: user.ID, UserID: &user.ID, Name: "root", Role: fleet.Admin}
			_, err := s.AddHost(t.Context(), fleet.Host{
				ID: fleet.NewID(), Name: "web-1", Address: "192.0.2.1", Port: 22, Site: fleet.DefaultSite, Connection: fleet.ConnectionSSH, Enabled: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			collections := collection.New(collection.Config{Store: s, Log: log, QueueLimit: tt.limit})
			err = s.InTx(t.Context(), func(tx *store.Store) error { // one task waits
				_, err := collections.TriggerIn(t.Context(), tx, owner, collection.Request{Selector: "*"})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}

			schedules := schedule.New(beat.Schedules(s, collections, log))
			nightly, err := schedules.Add(t.Context(), owner, fleet.Schedule{Name: "nightly", Selector: "*", Cron: "@every 1h", Priority: tt.priority, Enabled: true})
			if err != nil {
				t.Fatal(err)
			}
			due := time.Now().Add(-time.Second).Truncate(time.Second)
			if err := s.AdvanceSchedules(t.Context(), []store.Advance{{ID: nightly.ID, NextAt: &due}}); err != nil {
				t.Fatal(err)
			}
			if n, err := schedules.FireDue(t.Context(), 10); err != nil || n != 1 {
				t.Fatalf("FireDue = %d, %v", n, err)
			}
			firings, _, err := s.Firings(t.Context(), nightly.ID, fleet.Page{})
			if err != nil || len(firings) != 1 || !firings[0].DueAt.Equal(due) {
				t.Fatalf("firings = %+v, %v; want the one", firings, err)
			}
			if f := firings[0]; (f.CollectionID == nil) != tt.full || (f.Outcome == fleet.OutcomeFull) != tt.full || strings.HasPrefix(f.Reason, "queue_full: ") != tt.full {
				t.Errorf("firing = %+v, want it refused: %v", f, tt.full)
			}
		})
	}
}
