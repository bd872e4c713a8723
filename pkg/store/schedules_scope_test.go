package store_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// TestHowFarSchedulesAndCredentialsReach holds what a scope is shown of what is about its hosts and others'.
func TestHowFarSchedulesAndCredentialsReach(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	l := aLandscape(t, s)
	bound := fleet.User{ID: fleet.NewID(), Username: "bound", PasswordHash: "none", Role: fleet.Admin, Selector: "site=eu"}
	if err := s.AddUser(t.Context(), bound); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, selector string
		owner          *uuid.UUID
		want           store.ScheduleReach
		shown          string // the selector
	}{
		{"of a part of the scope", "name=eu-1", l.schedules[0].OwnerID, store.ScheduleReach{Inside: true}, "name=eu-1"},
		{"of both", "name in (eu-1,us-1)", l.schedules[0].OwnerID, store.ScheduleReach{Inside: true, Outside: true}, ""},
		{"of both, and its owner sees what the scope sees", "*", &bound.ID, store.ScheduleReach{Inside: true, Own: true}, "*"},
		{"of nothing yet, and its owner sees what the scope sees", "name=eu-9", &bound.ID, store.ScheduleReach{Own: true}, "name=eu-9"},
	}
	scope := scopeOf(t, "site=eu")
	for _, tt := range tests {
		sch, err := s.AddSchedule(t.Context(), fleet.Schedule{
			ID: fleet.NewID(), Name: tt.name, Cron: "@daily", Timezone: "UTC", Selector: tt.selector, ReportTypes: []string{"os"}, Priority: fleet.PriorityBulk,
			Overlap: fleet.OverlapSkip, Misfire: fleet.MisfireOnce, OwnerID: tt.owner,
		})
		if err != nil {
			t.Fatal(err)
		}
		reaches, err := s.ScheduleReaches(t.Context(), scope, []fleet.Schedule{sch})
		if err != nil || reaches[0] != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, reaches, err, tt.want)
		}
		if seen, err := s.Schedule(t.Context(), scope, sch.ID); err != nil || seen.Selector != tt.shown {
			t.Errorf("%s: the scope sees %q, %v, want %q", tt.name, seen.Selector, err, tt.shown)
		}
	}
	nobodys := l.schedules[0]
	nobodys.OwnerID = nil
	if reaches, err := s.ScheduleReaches(t.Context(), scope, []fleet.Schedule{nobodys}); err != nil || reaches[0].Seen() {
		t.Errorf("what nobody owns collects nothing, and is %+v, %v", reaches, err)
	}
	unused := fleet.NewID()
	reaches, err := s.CredentialReaches(t.Context(), scope, []uuid.UUID{l.credential, l.become[0], l.become[1], unused})
	want := map[uuid.UUID]store.CredentialReach{l.credential: {Inside: true, Outside: true}, l.become[0]: {Inside: true}, l.become[1]: {Outside: true}}
	if err != nil || len(reaches) != len(want) {
		t.Errorf("%d credentials are in use, %v, want %d", len(reaches), err, len(want))
	}
	for id, reach := range want {
		if reaches[id] != reach {
			t.Errorf("%s reaches %+v, want %+v", id, reaches[id], reach)
		}
	}
	if !reaches[unused].Seen() || reaches[l.become[1]].Seen() {
		t.Error("what nobody uses is seen, and what only others' hosts use is not")
	}
}
