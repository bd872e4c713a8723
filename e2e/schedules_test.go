package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/e2e/chaos/link"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// scheduleMoments is how many moments have to have passed before the faults end: ROLLCALL_SCHEDULE_MOMENTS, or few enough
// for a short test.
func scheduleMoments(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ROLLCALL_SCHEDULE_MOMENTS")
	if text == "" {
		return 300
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ROLLCALL_SCHEDULE_MOMENTS=%s is no number of moments", text)
	}
	return n
}

// A beatRig is three schedulers that reach the database through links of their own, and what breaks them.
type beatRig struct {
	*stack
	t          *testing.T
	pool       *pgxpool.Pool
	links      []*link.Link
	schedulers []*process
	chance     *rand.Rand
	faults     map[string]int
}

func newBeatRig(t *testing.T) *beatRig {
	t.Helper()
	r := &beatRig{stack: newStack(t), t: t, chance: rand.New(rand.NewPCG(6, 6)), faults: map[string]int{}}
	pool, err := store.OpenPool(t.Context(), r.env["DATABASE_URL"], store.Options{Name: "judge"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	r.pool = pool
	api := r.start("api", nil)
	api.ready()
	r.signIn()
	server, err := url.Parse(r.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l, err := link.Open(t.Context(), server.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		r.links = append(r.links, l)
		r.schedulers = append(r.schedulers, nil)
	}
	for i := range r.schedulers {
		r.begin(i)
	}
	for _, p := range r.schedulers {
		p.ready()
	}
	return r
}

// begin starts one of the schedulers, behind its link.
func (r *beatRig) begin(i int) {
	r.t.Helper()
	through, err := url.Parse(r.env["DATABASE_URL"])
	if err != nil {
		r.t.Fatal(err)
	}
	through.Host = r.links[i].Addr()
	r.schedulers[i] = r.start("scheduler", map[string]string{"DATABASE_URL": through.String()})
}

// breaks does one thing to one scheduler, and undoes it within two seconds.
func (r *beatRig) breaks() {
	r.t.Helper()
	i := r.chance.IntN(len(r.schedulers))
	what := []string{"kill -9", "SIGSTOP", "cut", "black hole"}[r.chance.IntN(4)]
	r.faults[what]++
	pause := func() { <-time.After(time.Duration(300+r.chance.IntN(1700)) * time.Millisecond) }
	switch what {
	case "kill -9":
		r.schedulers[i].kill()
		pause()
		r.begin(i)
	case "SIGSTOP":
		_ = r.schedulers[i].cmd.Process.Signal(syscall.SIGSTOP)
		pause()
		_ = r.schedulers[i].cmd.Process.Signal(syscall.SIGCONT)
	case "cut":
		r.links[i].Cut()
	case "black hole":
		r.links[i].Hole()
		pause()
		r.links[i].Heal()
	}
}

// outageOfAll kills all of the schedulers at once and lets nothing fire for three seconds.
func (r *beatRig) outageOfAll() {
	r.t.Helper()
	r.faults["all of them killed"]++
	for _, p := range r.schedulers {
		p.kill()
	}
	<-time.After(3 * time.Second)
	for i := range r.schedulers {
		r.begin(i)
	}
}

// hosts are a few that nobody collects: what schedules make is only counted.
func (r *beatRig) addHosts(n int) {
	r.t.Helper()
	for i := range n {
		r.post("/api/v1/hosts", map[string]any{"name": fmt.Sprintf("web-%d", i), "address": "192.0.2.1"}, http.StatusCreated, nil)
	}
}

// TestEachMomentIsFiredOnce kills, freezes and cuts off three schedulers while schedules of all policies are due, and holds
// what is in the database at the end against the timetables: each moment has made exactly one collection, or says why it
// has made none, or is counted by the moment that stands for it.
func TestEachMomentIsFiredOnce(t *testing.T) {
	t.Parallel()
	r := newBeatRig(t)
	r.addHosts(2)
	crons := []string{"@every 1s", "* * * * * *", "@every 2s", "*/3 * * * * *"}
	perSecond := 0.0
	for i := range 24 {
		body := map[string]any{
			"name": fmt.Sprintf("s-%02d", i), "cron": crons[i%4], "timezone": "Europe/Berlin", "selector": "*", "report_types": []string{"os"},
			"overlap": []string{"allow", "allow", "skip", "queue"}[i/4%4], "misfire": []string{"once", "skip"}[i/2%2],
		}
		r.post("/api/v1/schedules", body, http.StatusCreated, nil)
		perSecond += []float64{1, 1, 1. / 2, 1. / 3}[i%4]
	}
	began, want := time.Now(), scheduleMoments(t)
	for n := 0; ; n++ {
		passed := int(time.Since(began).Seconds() * perSecond)
		if passed >= want {
			break
		}
		if n == 3 {
			r.outageOfAll()
		}
		r.breaks()
		<-time.After(200 * time.Millisecond)
	}
	<-time.After(time.Second)
	for _, p := range r.schedulers {
		p.ready()
	}
	r.caughtUp()
	for _, p := range r.schedulers {
		p.stop()
	}
	r.judge(want)
}

// caughtUp waits until nothing that is due has been left for long.
func (r *beatRig) caughtUp() {
	r.t.Helper()
	eventually(r.t, 30*time.Second, "all that is due being fired", func() error {
		var behind int
		err := r.pool.QueryRow(r.t.Context(), "select count(*) from schedules where enabled and greatest(next_at, retry_at) < now() - interval '3 s'").Scan(&behind)
		if err == nil && behind > 0 {
			err = fmt.Errorf("%d are behind", behind)
		}
		return err
	})
}

func (r *beatRig) judge(want int) {
	r.t.Helper()
	var doubled, orphans, unnamed int
	err := r.pool.QueryRow(r.t.Context(), `
		with all_collections as (
			select id, schedule_id, due_at from collections where due_at is not null
			union all select id, schedule_id, due_at from collection_history where due_at is not null
		)
		select (select count(*) from (select 1 from all_collections group by schedule_id, due_at having count(*) > 1) d),
			(select count(*) from all_collections c where not exists (
				select from firings f where f.schedule_id = c.schedule_id and f.due_at = c.due_at and f.collection_id = c.id)),
			(select count(*) from firings f where f.collection_id is not null and not exists (select from all_collections c where c.id = f.collection_id))`).
		Scan(&doubled, &orphans, &unnamed)
	if err != nil || doubled+orphans+unnamed > 0 {
		r.t.Errorf("%d moments have made two collections, %d collections belong to no firing, %d firings name a collection that is not there: %v", doubled, orphans, unnamed, err)
	}
	schedules, _, err := store.New(r.pool).Schedules(r.t.Context(), fleet.Everything(), store.ScheduleFilter{}, fleet.Page{Limit: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	total, outcomes := 0, map[fleet.Outcome]int{}
	var lateness []time.Duration
	for _, s := range schedules {
		rows, _ := r.pool.Query(r.t.Context(), "select due_at, fired_at, outcome, missed, collection_id is not null from firings where schedule_id = $1 order by due_at", s.ID)
		firings, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			Due, Fired time.Time
			Outcome    fleet.Outcome
			Missed     int
			Collected  bool
		}])
		if err != nil {
			r.t.Fatal(err)
		}
		table, err := schedule.ParseTimetable(s.Cron, s.Timezone)
		if err != nil {
			r.t.Fatal(err)
		}
		var next time.Time
		for i, f := range firings {
			total += 1 + f.Missed
			outcomes[f.Outcome]++
			outcomes["missed by policy once, or counted"] += f.Missed
			lateness = append(lateness, f.Fired.Sub(f.Due))
			at := next // the first of the moments that it stands for
			if i == 0 {
				at = f.Due
			}
			for range f.Missed {
				if i > 0 {
					at = table.Next(at)
				}
			}
			if !at.Equal(f.Due) {
				r.t.Errorf("%s (%s %s %s): %s with %d missed, and what was next is %s", s.Name, s.Cron, s.Overlap, s.Misfire, f.Due, f.Missed, next)
			}
			if f.Collected != (f.Outcome == fleet.OutcomeCollected) || f.Outcome == fleet.OutcomeFailed {
				r.t.Errorf("%s: the moment %s is %s, collected: %v", s.Name, f.Due, f.Outcome, f.Collected)
			}
			next = table.Next(f.Due)
		}
		if s.NextAt == nil || !s.NextAt.Equal(next) {
			r.t.Errorf("%s waits for %v, want %s", s.Name, s.NextAt, next)
		}
	}
	if total < want {
		r.t.Errorf("only %d moments have passed, want %d", total, want)
	}
	slices.Sort(lateness)
	r.t.Logf("%d moments in %d firings: %v; faults: %v; lateness p50 %s, p99 %s, most %s", total, len(lateness), outcomes, r.faults,
		lateness[len(lateness)/2], lateness[len(lateness)*99/100], lateness[len(lateness)-1])
}

// TestAScheduleIsEffectiveAtOnce changes schedules while a scheduler runs that has never been told of them.
func TestAScheduleIsEffectiveAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	api, scheduler := s.start("api", nil), s.start("scheduler", nil)
	api.ready()
	scheduler.ready()
	s.signIn()
	s.post("/api/v1/hosts", map[string]any{"name": "web-1", "address": "192.0.2.1"}, http.StatusCreated, nil)
	var made struct {
		ID string `json:"id"`
	}
	began := time.Now()
	s.post("/api/v1/schedules", map[string]any{"name": "often", "cron": "@every 1s", "selector": "*", "overlap": "allow", "report_types": []string{"os"}}, http.StatusCreated, &made)
	path := "/api/v1/schedules/" + made.ID
	type firing struct {
		Outcome    string `json:"outcome"`
		LatenessMS int    `json:"lateness_ms"`
	}
	firings := func() []firing {
		var list struct {
			Items []firing `json:"items"`
		}
		s.get(path+"/firings?limit=1000", &list)
		return list.Items
	}
	eventually(t, 10*time.Second, "the new schedule being fired", func() error {
		if f := firings(); len(f) == 0 || f[len(f)-1].Outcome != "collected" {
			return fmt.Errorf("firings are %+v", f)
		}
		return nil
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a new schedule was effective after %s", took)
	}
	s.do(http.MethodPatch, path, map[string]any{"selector": "name=nobody"}, http.StatusOK, nil, "Content-Type", "application/merge-patch+json")
	began = time.Now()
	eventually(t, 10*time.Second, "the changed schedule being fired", func() error {
		if f := firings(); f[0].Outcome != "refused" {
			return fmt.Errorf("firings are %+v", f)
		}
		return nil
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a changed schedule was effective after %s", took)
	}
	s.do(http.MethodPatch, path, map[string]any{"enabled": false}, http.StatusOK, nil, "Content-Type", "application/merge-patch+json")
	before := len(firings())
	<-time.After(1500 * time.Millisecond)
	if after := len(firings()); after != before {
		t.Errorf("a paused schedule has fired %d times", after-before)
	}
	res, err := http.Get(scheduler.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var text strings.Builder
	if err := res.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`rollcall_schedule_firings_total{outcome="collected"} `, `rollcall_schedule_firings_total{outcome="refused"} `, `rollcall_schedule_lateness_seconds_bucket{le="1"} `} {
		if !strings.Contains(text.String(), want) || strings.Contains(text.String(), want+"0\n") {
			t.Errorf("the scheduler's metrics do not count %s", want)
		}
	}
}
