package bench_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// size returns a number from the environment, so that a long measurement need not be waited for each time.
func size(tb testing.TB, name string, usual int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%s is no number of something", name, text)
	}
	return n
}

// BenchmarkHistory stores sweeps of ROLLCALL_BENCH_HOSTS (300) hosts, ROLLCALL_BENCH_SWEEPS (5) times, of which 1 % have
// drifted each time, through the transaction that ends a task, and measures what it takes and how fast it is read, each
// read beside the same question in psql.
func BenchmarkHistory(b *testing.B) {
	h := newHistory(b, size(b, "ROLLCALL_BENCH_HOSTS", 300))
	for range size(b, "ROLLCALL_BENCH_SWEEPS", 5) {
		h.sweep(b)
	}
	if _, err := h.pool.Exec(b.Context(), "vacuum analyze"); err != nil {
		b.Fatal(err)
	}
	b.Run("size", h.sizes)
	anHour := h.middle.Format(time.RFC3339Nano)
	host := func() uuid.UUID { return h.hosts[rand.IntN(len(h.hosts))] }
	h.read(b, "latest", func(b *testing.B) {
		b.Helper()
		reports, err := h.store.LatestReports(b.Context(), fleet.Everything(), host(), "")
		check(b, len(reports) == 5, err)
	}, func() string {
		return fmt.Sprintf(`select r.*, c.facts, m.metrics from latest_reports l join report_rows r on r.id = l.report_id and r.created_at = l.created_at
			join report_contents c using (content_hash) left join report_metrics m on m.report_id = r.id and m.created_at = r.created_at where l.host_id = '%s'`, host())
	})
	h.read(b, "as-of", func(b *testing.B) {
		b.Helper()
		reports, err := h.store.ReportsAsOf(b.Context(), fleet.Everything(), host(), "os", h.middle)
		check(b, len(reports) == 1, err)
	}, func() string {
		return fmt.Sprintf(`select r.*, c.facts, m.metrics from (select * from report_rows where host_id = '%s' and report_type = 1 and created_at <= '%s'
			order by created_at desc limit 1) r join report_contents c using (content_hash)
			left join report_metrics m on m.report_id = r.id and m.created_at = r.created_at`, host(), anHour)
	})
	h.read(b, "history", func(b *testing.B) {
		b.Helper()
		periods, _, err := h.store.PathHistory(b.Context(), fleet.Everything(), host(), "os", facts.Path{"timezone"}, time.Time{}, time.Time{}, fleet.Page{})
		check(b, len(periods) > 0, err)
	}, func() string {
		return fmt.Sprintf(`select p.valid_from, p.valid_to, c.facts #> '{timezone}' from fact_periods p join report_contents c using (content_hash)
			where p.host_id = '%s' and p.report_type = 1 order by p.valid_from desc limit 200`, host())
	})
	h.read(b, "feed-page", func(b *testing.B) {
		b.Helper()
		page, err := h.store.Changes(b.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{})
		check(b, len(page.Items) > 0, err)
	}, func() string {
		return `select c.*, h.name, t.name from changes c join hosts h on h.id = c.host_id join report_types t on t.id = c.report_type
			where c.tx < pg_snapshot_xmin(pg_current_snapshot()) order by c.tx, c.id limit 100`
	})
	h.read(b, "groups", func(b *testing.B) {
		b.Helper()
		groups, _, err := h.store.ChangeGroups(b.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{})
		check(b, len(groups) > 0, err)
	}, func() string {
		return `select report_type, path, before, after, count(distinct host_id), max(seen_at) from changes where seen_at > now() - interval '7 days'
			group by 1, 2, 3, 4 order by 6 desc limit 100`
	})
	h.read(b, "as-of-one-column", func(b *testing.B) {
		b.Helper()
		n := 0
		for _, err := range h.store.QueryFacts(b.Context(), fleet.Everything(), store.FactQuery{Type: "os", Select: []facts.Path{{"kernel", "release"}}, At: h.middle}) {
			check(b, true, err)
			n++
		}
		check(b, n == len(h.hosts), nil)
	}, func() string {
		return fmt.Sprintf(`select h.name, c.facts #> '{kernel,release}' from fact_periods p join hosts h on h.id = p.host_id join report_contents c using (content_hash)
			where p.report_type = 1 and p.valid_from <= '%[1]s' and (p.valid_to is null or p.valid_to > '%[1]s') order by h.name`, anHour)
	})
	b.Run("full-feed", h.fullFeed)
}

func check(b *testing.B, ok bool, err error) {
	b.Helper()
	if err != nil || !ok {
		b.Fatalf("not the expected answer: %v", err)
	}
}

// A history is a database full of reports.
type history struct {
	store   *store.Store
	pool    *pgxpool.Pool
	dsn     string
	worker  fleet.Worker
	hosts   []uuid.UUID
	reports map[uuid.UUID][]collector.Report // as each host would tell them
	sweeps  int
	planted int
	middle  time.Time // of the time that it covers
}

func newHistory(b *testing.B, hosts int) *history {
	b.Helper()
	dsn := storetest.Database(b)
	pool, err := store.OpenPool(b.Context(), dsn, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	h := &history{
		store: store.New(pool), pool: pool, dsn: dsn, reports: map[uuid.UUID][]collector.Report{},
		worker: fleet.Worker{ID: fleet.NewID(), Host: "bench", Version: "bench", Sites: []string{fleet.DefaultSite}, Slots: 1000},
	}
	if _, _, err := h.store.Heartbeat(b.Context(), h.worker); err != nil {
		b.Fatal(err)
	}
	model := recorded(b)
	for i := range hosts {
		added, err := h.store.AddHost(b.Context(), fleet.Host{
			ID: fleet.NewID(), Name: fmt.Sprintf("host-%05d", i), Address: "192.0.2.1", Port: 22,
			Site: fleet.DefaultSite, Connection: fleet.ConnectionSSH, Enabled: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		h.hosts = append(h.hosts, added.ID)
		for _, r := range model {
			h.reports[added.ID] = append(h.reports[added.ID], altered(b, r, "bench_host", i))
		}
	}
	return h
}

// recorded returns the reports of a real machine from the recordings of package collector.
func recorded(b *testing.B) []collector.Report {
	b.Helper()
	var reports []collector.Report
	for _, t := range []string{"os", "cpu", "memory", "disks", "network"} {
		raw, err := os.ReadFile("../pkg/collector/testdata/debian-12-vm/" + t + ".json")
		if err != nil {
			b.Fatal(err)
		}
		var golden struct{ Facts, Metrics json.RawMessage }
		if err := json.Unmarshal(raw, &golden); err != nil {
			b.Fatal(err)
		}
		reports = append(reports, collector.Report{Type: t, SchemaVersion: 1, Facts: golden.Facts, Metrics: golden.Metrics})
	}
	return reports
}

// altered returns r with one fact set.
func altered(b *testing.B, r collector.Report, name string, value int) collector.Report {
	b.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(r.Facts, &all); err != nil {
		b.Fatal(err)
	}
	all[name] = json.RawMessage(strconv.Itoa(value))
	var err error
	if r.Facts, err = json.Marshal(all); err != nil {
		b.Fatal(err)
	}
	r.ContentHash = collector.ContentHash(r.Type, 1, r.Facts)
	return r
}

// sweep ends a task of each host, in which each hundredth tells another fact.
func (h *history) sweep(b *testing.B) {
	b.Helper()
	h.sweeps++
	if h.sweeps == 2 {
		h.middle = time.Now()
	}
	messages := h.messages(b)
	work := make(chan fleet.Message)
	done := make(chan error)
	const writers = 8
	for range writers {
		go func() {
			var failed error
			for m := range work {
				if failed == nil {
					failed = h.end(b, m)
				}
			}
			done <- failed
		}()
	}
	drifting := map[uuid.UUID]bool{}
	for h.sweeps > 1 && len(drifting) < max(1, len(h.hosts)/100) {
		drifting[h.hosts[rand.IntN(len(h.hosts))]] = true
	}
	for id := range drifting {
		n := rand.IntN(5)
		h.reports[id][n] = altered(b, h.reports[id][n], "drift", h.sweeps)
		h.planted++
	}
	for _, m := range messages {
		work <- m
	}
	close(work)
	for range writers {
		check(b, true, <-done)
	}
}

func (h *history) end(b *testing.B, m fleet.Message) error {
	b.Helper()
	claim, err := h.store.ClaimTask(b.Context(), m, h.worker.ID)
	if err != nil {
		return err
	}
	reports := h.reports[claim.Host.ID]
	known := map[string][]byte{}
	for _, r := range reports {
		known[r.Type] = r.ContentHash[:]
	}
	formers, err := h.store.Formers(b.Context(), fleet.Everything(), claim.Host.ID, known)
	if err != nil {
		return err
	}
	e := store.Ending{Lease: store.LeaseOf(claim.Task), Host: claim.Host.ID, State: fleet.TaskSucceeded, At: time.Now()}
	for _, r := range reports {
		f := fleet.Finding{
			Type: r.Type, SchemaVersion: 1, Status: fleet.ReportOK, Facts: r.Facts, ContentHash: r.ContentHash,
			Metrics: []byte(strings.Replace(string(r.Metrics), "{", fmt.Sprintf(`{"noise":%d,`, rand.IntN(1_000_000)), 1)),
		}
		if former := formers[r.Type]; former.Facts != nil {
			comparison, err := facts.Compare(former.Facts, r.Facts, facts.Options{})
			if err != nil {
				return err
			}
			f.Follows = &fleet.Succession{ContentHash: former.ContentHash, ReportID: former.ReportID}
			for _, d := range comparison.Changes {
				f.Follows.Changes = append(f.Follows.Changes, fleet.FactChange{Path: d.Path.String(), Before: d.Before, After: d.After})
			}
		}
		e.Findings = append(e.Findings, f)
	}
	held, err := h.store.EndTask(b.Context(), e)
	if err == nil && !held {
		err = fmt.Errorf("the task of %s was lost", claim.Host.Name)
	}
	return err
}

// sizes reports what a report takes on disk, indexes included.
func (h *history) sizes(b *testing.B) {
	for b.Loop() {
		var rows, metrics, reports, changes int64
		const total = "coalesce((select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = '%s'::regclass), 0)::bigint"
		err := h.pool.QueryRow(b.Context(), fmt.Sprintf("select "+total+", "+total+", (select count(*) from report_rows), (select count(*) from changes)",
			"report_rows", "report_metrics")).Scan(&rows, &metrics, &reports, &changes)
		check(b, changes == int64(h.planted), err)
		b.ReportMetric(float64(rows)/float64(reports), "B/report")
		b.ReportMetric(float64(rows+metrics)/float64(reports), "B/report+metrics")
		b.ReportMetric(float64(reports), "reports")
		b.ReportMetric(float64(changes), "changes")
	}
}

// read measures a read beside the same question in psql, and reports both medians.
func (h *history) read(b *testing.B, name string, ours func(*testing.B), theirs func() string) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		const times = 51
		psql := h.psql(b, times, theirs)
		for b.Loop() {
			var took []float64
			for range times {
				began := time.Now()
				ours(b)
				took = append(took, float64(time.Since(began).Microseconds())/1000)
			}
			slices.Sort(took)
			b.ReportMetric(took[times/2], "ms")
			b.ReportMetric(took[times*99/100], "ms-p99")
			b.ReportMetric(psql, "ms-psql")
			b.ReportMetric(took[times/2]/psql, "ratio")
		}
	})
}

var timing = regexp.MustCompile(`(?m)^Time: ([0-9.]+) ms`)

// psql returns the median time in ms that psql needs for a question.
func (h *history) psql(b *testing.B, times int, question func() string) float64 {
	b.Helper()
	var script strings.Builder
	script.WriteString("\\timing on\n\\o /dev/null\n")
	for range times {
		script.WriteString(strings.Join(strings.Fields(question()), " ") + ";\n")
	}
	psql := exec.CommandContext(b.Context(), "psql", "-X", "-q", h.dsn)
	psql.Stdin = strings.NewReader(script.String())
	out, err := psql.CombinedOutput()
	var took []float64
	for _, found := range timing.FindAllStringSubmatch(string(out), -1) {
		ms, _ := strconv.ParseFloat(found[1], 64)
		took = append(took, ms)
	}
	if err != nil || len(took) != times {
		b.Skipf("psql does not say how long it takes: %v\n%s", err, out)
	}
	slices.Sort(took)
	return took[times/2]
}

// fullFeed reads the whole feed and reports how much memory that takes at most.
func (h *history) fullFeed(b *testing.B) {
	for b.Loop() {
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		peak, n, cursor := before.HeapAlloc, 0, ""
		for more := true; more; {
			page, err := h.store.Changes(b.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{Limit: 1000, After: cursor})
			check(b, true, err)
			n, cursor, more = n+len(page.Items), page.Position, page.More
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
		check(b, n == h.planted, nil)
		b.ReportMetric(float64(peak-before.HeapAlloc)/(1<<20), "MB-peak")
		b.ReportMetric(float64(n), "changes")
	}
}
