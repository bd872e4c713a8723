package store_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestHowLongTypesAreKept(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	if _, err := s.SetTypeRetention(t.Context(), "nothing", 3, "user:admin"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("keeping a type that there is not = %v", err)
	}
	for _, days := range []int{90, 7} {
		set, err := s.SetTypeRetention(t.Context(), "packages", days, "user:admin")
		if err != nil || set.Type != "packages" || set.Days != days || set.SetBy != "user:admin" || set.SetAt.IsZero() {
			t.Errorf("SetTypeRetention = %+v, %v", set, err)
		}
	}
	if all, err := s.TypeRetentions(t.Context()); err != nil || len(all) != 1 || all[0].Days != 7 {
		t.Errorf("TypeRetentions = %+v, %v", all, err)
	}
	if err := s.UnsetTypeRetention(t.Context(), "packages"); err != nil {
		t.Error(err)
	}
	if err := s.UnsetTypeRetention(t.Context(), "packages"); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("unsetting it twice = %v", err)
	}
}

func TestWhatIsOlderThanWhatIsKeptSaysSo(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	may := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	if since, err := s.KeptSince(t.Context(), store.PartReports, "os"); err != nil || !since.IsZero() {
		t.Errorf("KeptSince of an untouched database = %s, %v", since, err)
	}
	if _, err := s.ReportsAsOf(t.Context(), fleet.Everything(), host.ID, "os", may.Add(-time.Hour)); err != nil {
		t.Errorf("as of a time of which nothing was removed = %v", err)
	}
	for _, at := range []time.Time{may, may.AddDate(0, -1, 0)} { // a floor is never lowered
		for _, part := range []store.Part{store.PartReports, store.PartFacts} {
			if err := s.RaiseFloor(t.Context(), part, "", at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.RaiseFloor(t.Context(), store.PartReports, "packages", may.AddDate(0, 2, 0)); err != nil {
		t.Fatal(err)
	}
	floors, err := s.Floors(t.Context())
	if err != nil || len(floors) != 3 || floors[1] != (store.Floor{Part: store.PartReports, KeptSince: floors[1].KeptSince}) || !floors[1].KeptSince.Equal(may) {
		t.Errorf("Floors = %+v, %v", floors, err)
	}
	asOf := func(reportType string, at time.Time) error {
		_, err := s.ReportsAsOf(t.Context(), fleet.Everything(), host.ID, reportType, at)
		return err
	}
	query := func(at time.Time) (err error) {
		for _, err = range s.QueryFacts(t.Context(), fleet.Everything(), store.FactQuery{Type: "os", Select: []facts.Path{nil}, At: at}) {
		}
		return err
	}
	report := func(at time.Time) error {
		_, err := s.Report(t.Context(), fleet.Everything(), fleet.NewIDAt(at))
		return err
	}
	for name, tt := range map[string]struct {
		err  error
		code string
	}{
		"as of a time before":                  {asOf("os", may.Add(-time.Second)), store.CodeNoLongerKept},
		"as of the first moment":               {asOf("os", may), "ok"},
		"as of a time, of a type kept shorter": {asOf("packages", may.AddDate(0, 1, 0)), store.CodeNoLongerKept},
		"a query before":                       {query(may.Add(-time.Second)), store.CodeNoLongerKept},
		"a query after":                        {query(may), "ok"},
		"a report before":                      {report(may.Add(-time.Second)), store.CodeNoLongerKept},
		"a report that never was":              {report(may.Add(time.Second)), "not_found"},
	} {
		if code := fleet.CodeOf(tt.err); code != tt.code {
			t.Errorf("%s = %v (%s), want %s", name, tt.err, code, tt.code)
		}
	}
}

func TestATypeIsTrimmedInBatches(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	story := aStory(t, s, rand.New(rand.NewPCG(7, 7)), 40)
	silent := addHost(t, s, "silent")
	exec(t, pool, `insert into report_rows (id, created_at, host_id, report_type, status, content_hash)
		select uuid_v7(at), at, $1, 1, 'ok', content_hash from (select date_trunc('milliseconds', $2::timestamptz) as at, content_hash from report_contents limit 1) x`,
		silent.ID, story.start.Add(-time.Hour))
	exec(t, pool, "insert into latest_reports (host_id, report_type, report_id, created_at, status) select host_id, 1, id, created_at, 'ok' from report_rows where host_id = $1", silent.ID)
	hosts, err := s.HostsAfter(t.Context(), fleet.Everything(), uuid.UUID{}, 10)
	if err != nil || len(hosts) != 2 {
		t.Fatalf("HostsAfter = %v, %v", hosts, err)
	}
	const cut = 25
	before := story.at(cut)
	type remove func(tx *store.Store) (int, error)
	rounds := func(f remove) (total, most int) {
		for {
			n := 0
			err := s.InTx(t.Context(), func(tx *store.Store) (err error) { n, err = f(tx); return err })
			if err != nil {
				t.Fatal(err)
			}
			total, most = total+n, max(most, n)
			if n < 4 {
				return total, most
			}
		}
	}
	oldSinces, err := s.FactSinces(t.Context(), fleet.Everything(), story.host, "os", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]remove{
		"report_rows": func(tx *store.Store) (int, error) {
			return tx.RemoveReportsOfType(t.Context(), hosts, "os", before, 4)
		},
		"report_metrics": func(tx *store.Store) (int, error) {
			return tx.RemoveMetricsOfType(t.Context(), hosts, "os", before, 4)
		},
	} {
		if total, most := rounds(f); total != cut || most != 4 {
			t.Errorf("%s: removed %d, %d at once; want %d and 4", what, total, most, cut)
		}
	}
	rounds(func(tx *store.Store) (int, error) { return tx.RemoveChangesOfType(t.Context(), hosts, "os", before, 4) })
	rounds(func(tx *store.Store) (int, error) { return tx.RemovePeriods(t.Context(), "os", before, 4) })
	if n := ask[int](t, pool, "select count(*) from changes where seen_at < $1", before); n != 0 {
		t.Errorf("%d changes are left", n)
	}
	if n := ask[int](t, pool, "select count(*) from fact_periods where greatest(valid_to, last_confirmed_at) < $1", before); n != 0 {
		t.Errorf("%d periods are left", n)
	}
	if n := ask[int](t, pool, `select count(*) from report_rows r where host_id = $1 and not exists (
		select from fact_periods p where p.host_id = r.host_id and p.content_hash = r.content_hash)`, story.host); n != 0 {
		t.Errorf("%d reports have contents that no period refers to", n)
	}
	if n := ask[int](t, pool, "select count(*) from report_rows where host_id = $1", silent.ID); n != 1 {
		t.Errorf("the newest report of a silent host is gone")
	}
	for i := cut; i < len(story.facts); i++ {
		reports, err := s.ReportsAsOf(t.Context(), fleet.Everything(), story.host, "os", story.at(i))
		if err != nil || len(reports) != 1 || !equalJSON(t, reports[0].Facts, []byte(story.facts[i])) {
			t.Errorf("as of report %d = %+v, %v", i, reports, err)
		}
	}
	sinces, err := s.FactSinces(t.Context(), fleet.Everything(), story.host, "os", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for path := range facts.Leaves([]byte(story.facts[len(story.facts)-1])) {
		was, is := oldSinces.Of(path), sinces.Of(path)
		if is.Before(was) || was.After(before) && !is.Equal(was) {
			t.Errorf("%s holds since %s, and before the removal it was %s", path, is, was)
		}
	}
}

// TestBaselinesOutliveTheChangesOfAMonth drops the month in which everything happened, as housekeeping does.
func TestBaselinesOutliveTheChangesOfAMonth(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	host := addHost(t, s, "web-1")
	at := func(day int) time.Time { return time.Date(2024, 6, day, 0, 0, 0, 0, time.UTC) }
	for i, text := range []string{`{"a":1,"b":1}`, `{"a":2,"b":1}`, `{"a":2,"b":2}`} {
		learn(t, s, at(i+1), finding("os", text, ""))
	}
	learn(t, s, time.Now(), finding("os", `{"a":2,"b":2}`, ""))
	since := func(path string) time.Time {
		sinces, err := s.FactSinces(t.Context(), fleet.Everything(), host.ID, "os", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return sinces.Of(facts.Path{path})
	}
	if !since("a").Equal(at(2)) || !since("b").Equal(at(3)) {
		t.Fatalf("since = %s, %s", since("a"), since("b"))
	}
	if err := s.NoteBaselines(t.Context(), []uuid.UUID{host.ID}, time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "alter table changes detach partition changes_2024_06 concurrently")
	for path, was := range map[string]time.Time{"a": at(2), "b": at(3)} {
		if got := since(path); got.Before(was) || got.After(at(3)) {
			t.Errorf("%s holds since %s after its changes were dropped, and it was %s", path, got, was)
		}
	}
}

func TestWhatTheDatabaseHolds(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	if bytes, err := s.DatabaseSize(t.Context()); err != nil || bytes < 1<<20 {
		t.Errorf("DatabaseSize = %d, %v", bytes, err)
	}
	if _, from, to, err := s.Growth(t.Context(), 7); err != nil || !from.IsZero() || !to.IsZero() {
		t.Errorf("growth without samples = %s to %s, %v", from, to, err)
	}
	r := relation(t, s, "hosts")
	if r.Table != "hosts" || r.Partitioned || r.Detached || !r.Month.IsZero() || r.Size.Indexes == 0 {
		t.Errorf("hosts = %+v", r)
	}
	if parent := relation(t, s, "report_rows"); !parent.Partitioned || parent.Size.Total() != 0 {
		t.Errorf("report_rows = %+v", parent)
	}
	sample := func(rows, bytes int64) {
		t.Helper()
		r.Rows, r.Size = rows, fleet.StorageSize{Heap: bytes}
		if err := s.AddSample(t.Context(), []store.Relation{r, {Name: "report_rows", Partitioned: true}}, 10*24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		age         time.Duration // that the former samples get
		rows, bytes int64
		wantRows    int64
		wantSpan    time.Duration
	}{
		{0, 10, 1000, 0, 0},
		{3 * time.Hour, 40, 4000, 30, 3 * time.Hour},
		{26 * time.Hour, 100, 10_000, 60, 26 * time.Hour}, // of 29 hours those of the last whole day
		{9 * 24 * time.Hour, 1000, 100_000, 900, 9 * 24 * time.Hour},
	} {
		exec(t, pool, "update storage_samples set at = at - $1::interval", step.age)
		sample(step.rows, step.bytes)
		growth, from, to, err := s.Growth(t.Context(), 7)
		if err != nil || step.wantSpan > 0 && (len(growth) != 1 || growth[0].Rows != step.wantRows || (to.Sub(from)-step.wantSpan).Abs() > time.Minute) {
			t.Errorf("%+v: growth = %+v from %s to %s, %v", step, growth, from, to, err)
		}
		if step.wantSpan == 0 && !from.IsZero() {
			t.Errorf("%+v: growth = %+v from %s to %s, want none", step, growth, from, to)
		}
	}
	if n := ask[int](t, pool, "select count(*) from storage_samples"); n != 2 {
		t.Errorf("%d samples, want those of more than ten days forgotten", n)
	}
}
