package housekeeping_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestWhoMayKeepATypeShorterAndHowShort(t *testing.T) {
	t.Parallel()
	s, db := storetest.Pool(t)
	svc := housekeeping.New(housekeeping.Config{Store: s, Log: slog.New(slog.DiscardHandler), Retention: housekeeping.Retention{Reports: settings.Days(90), Metrics: settings.Days(30)}})
	selector, err := fleet.ParseSelector("site=eu")
	if err != nil {
		t.Fatal(err)
	}
	id := fleet.NewID()
	actor := func(role fleet.Role) fleet.Actor {
		return fleet.Actor{Kind: fleet.ActorUser, ID: id, Name: "x", Role: role}
	}
	bounded := actor(fleet.Admin)
	bounded.Selector = &selector
	for _, tt := range []struct {
		name  string
		actor fleet.Actor
		kind  string
		days  int
		want  fleet.Kind
	}{
		{"an admin keeps packages for a week", actor(fleet.Admin), "packages", 7, fleet.OK},
		{"as long as reports are kept", actor(fleet.Admin), "packages", 90, fleet.OK},
		{"longer than reports are kept", actor(fleet.Admin), "packages", 91, fleet.Invalid},
		{"not at all", actor(fleet.Admin), "packages", 0, fleet.Invalid},
		{"a type that there is not", actor(fleet.Admin), "nothing", 7, fleet.NotFound},
		{"an operator", actor(fleet.Operator), "packages", 7, fleet.Forbidden},
		{"an admin of some hosts", bounded, "packages", 7, fleet.Forbidden},
		{"nobody", fleet.Actor{}, "packages", 7, fleet.Unauthenticated},
	} {
		if _, err := svc.SetType(t.Context(), tt.actor, tt.kind, tt.days); fleet.KindOf(err) != tt.want {
			t.Errorf("%s = %v, want %v", tt.name, err, tt.want)
		}
	}
	if types, err := svc.Types(t.Context()); err != nil || len(types) != 1 || types[0].Days != 90 || types[0].SetBy != "user:x" {
		t.Errorf("Types = %+v, %v", types, err)
	}
	for _, want := range []fleet.Kind{fleet.OK, fleet.NotFound} {
		if err := svc.UnsetType(t.Context(), actor(fleet.Admin), "packages"); fleet.KindOf(err) != want {
			t.Errorf("UnsetType = %v, want %v", err, want)
		}
	}
	var told, refused int
	err = db.QueryRow(t.Context(), `
		select count(*) filter (where outcome = 'ok'), count(*) filter (where outcome = 'denied') from audit_logs where action like 'retention.%'`).Scan(&told, &refused)
	if err != nil || told != 3 || refused != 2 {
		t.Errorf("the audit log has %d entries and %d refusals, %v; want 3 and 2", told, refused, err)
	}
}

// TestTheSizeIsForetold compares forecasts with what is computed here by hand, day by day.
func TestTheSizeIsForetold(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	kept := housekeeping.Retention{Reports: settings.Days(60), Metrics: settings.Days(30)}
	k := r.keeper(func(c *housekeeping.KeeperConfig) { c.Retention = kept })
	svc := housekeeping.New(housekeeping.Config{Store: r.store, Retention: kept})
	before, err := svc.Storage(t.Context())
	if err != nil || before.Forecasts != nil || before.MonthsAhead != store.MonthsAhead || before.DiskFreeBytes != nil || len(before.Jobs) != len(housekeeping.Jobs()) {
		t.Fatalf("Storage = %+v, %v", before, err)
	}
	r.do(k, housekeeping.JobStorage)
	r.exec("update storage_samples set at = at - interval '2 days', bytes = bytes - 2000000, rows = rows - 4000 where relation = $1", "report_rows_"+ago(0).Format("2006_01"))
	r.exec("update storage_samples set at = (select min(at) from storage_samples)")
	r.do(k, housekeeping.JobStorage)
	got, err := svc.Storage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range got.Tables {
		if table.Name != "report_rows" {
			continue
		}
		g := table.Growth
		if g == nil || g.BytesPerDay < 990_000 || g.BytesPerDay > 1_010_000 || g.BytesPerRow() < 499 || g.BytesPerRow() > 501 || table.Kept != "60d" {
			t.Fatalf("report_rows grows by %+v, kept %s", g, table.Kept)
		}
		for i, days := range []int{30, 90, 395} {
			then := time.Now().UTC().AddDate(0, 0, days)
			cutoff := then.AddDate(0, 0, -60)
			cutoff = time.Date(cutoff.Year(), cutoff.Month(), 1, 0, 0, 0, 0, time.UTC)
			var want float64
			for day := range days {
				if !time.Now().UTC().AddDate(0, 0, day+1).Before(cutoff) {
					want += g.BytesPerDay
				}
			}
			for _, p := range table.Partitions {
				if p.To.After(cutoff) {
					want += float64(p.Size.Total())
				}
			}
			f := table.Forecasts[i]
			if diff := float64(f.Bytes) - want; f.Days != days || diff > 1.1*g.BytesPerDay || diff < -1.1*g.BytesPerDay || !strings.Contains(f.Arithmetic, "500 bytes a row x 2000 rows a day") {
				t.Errorf("in %d days %d bytes (%s), want %.0f", f.Days, f.Bytes, f.Arithmetic, want)
			}
		}
	}
	if len(got.Forecasts) != 3 || got.Forecasts[2].Bytes <= got.Forecasts[0].Bytes {
		t.Errorf("forecasts of everything = %+v", got.Forecasts)
	}
}
