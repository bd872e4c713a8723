package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func pattern(t *testing.T, text string) facts.Pattern {
	t.Helper()
	p, err := facts.ParsePattern(text)
	if err != nil {
		t.Fatalf("reading pattern %s: %v", text, err)
	}
	return p
}

// complete waits until the feed shows everything that has been committed.
func complete(t *testing.T, s *store.Store) {
	t.Helper()
	now := ask[string](t, store.DBOf(s), "select pg_current_xact_id()::text")
	for ask[bool](t, store.DBOf(s), "select feed_horizon() <= $1::text::xid8", now) {
		if t.Context().Err() != nil {
			t.Fatal("the feed stands still")
		}
	}
}

// walk reads the whole feed in pages of that size.
func walk(t *testing.T, s *store.Store, f store.ChangeFilter, size int) []fleet.Change {
	t.Helper()
	complete(t, s)
	var all []fleet.Change
	for page := (fleet.Page{Limit: size}); ; {
		got, err := s.Changes(t.Context(), fleet.Everything(), f, page)
		if err != nil {
			t.Fatalf("reading the feed: %v", err)
		}
		all, page.After = append(all, got.Items...), got.Position
		if !got.More {
			return all
		}
	}
}

func describe(c fleet.Change) string {
	return fmt.Sprintf("%s %s %s %s: %s -> %s", c.Kind(), c.Host, c.Type, c.Path, c.Before, c.After)
}

func TestChangesAreWrittenWithTheReports(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	host := addHost(t, s, "web-1")
	start := time.Now().Truncate(time.Millisecond).Add(-time.Hour)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	learn(t, s, at(0), finding("os", `{"kernel":{"release":"6.1"},"swap":{"a":{"size":1}}}`, ""), finding("cpu", `{"cores":2}`, ""))
	learn(t, s, at(1), finding("os", `{"kernel":{"release":"6.2"},"swap":{"a":{"size":1}}}`, ""), finding("cpu", `{"cores":2}`, ""))
	learn(t, s, at(2), finding("os", `{"kernel":{"release":"6.2"},"swap":{"a":{"size":1}}}`, ""), finding("cpu", `{"cores":4}`, ""))
	learn(t, s, at(3), finding("os", `{"kernel":{"release":"6.3"},"swap":{"b":{"size":2}}}`, ""), finding("cpu", `{"cores":4}`, ""))

	got := walk(t, s, store.ChangeFilter{}, 2)
	want := []string{
		`changed web-1 os kernel.release: "6.1" -> "6.2"`, `changed web-1 cpu cores: 2 -> 4`, `changed web-1 os kernel.release: "6.2" -> "6.3"`,
		`removed web-1 os swap.a: {"size": 1} -> `, `added web-1 os swap.b:  -> {"size": 2}`,
	}
	if described := namesOf(got, describe); !slices.Equal(described, want) {
		t.Fatalf("the feed is %q, want %q", described, want)
	}
	sinces := namesOf(got, func(c fleet.Change) string {
		return fmt.Sprint(c.SeenAt.Sub(start).Minutes(), c.BeforeSince.Sub(start).Minutes())
	})
	if want := []string{"1 0", "2 0", "3 1", "3 0", "3 0"}; !slices.Equal(sinces, want) {
		t.Errorf("seen and held since %q, want %q", sinces, want)
	}
	for _, c := range got {
		before, err := s.Report(t.Context(), fleet.Everything(), *c.BeforeReportID)
		after, err2 := s.Report(t.Context(), fleet.Everything(), c.AfterReportID)
		if err != nil || err2 != nil || !after.CreatedAt.Equal(c.SeenAt) || before.HostID != host.ID || before.Type != c.Type ||
			after.CreatedAt.Sub(before.CreatedAt) != time.Minute {
			t.Errorf("%s: reports %+v and %+v, %v, %v", describe(c), before, after, err, err2)
		}
	}
}

func TestAFindingThatFollowsOnOtherFactsIsNotStored(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	host := addHost(t, s, "web-1")
	learn(t, s, time.Now(), finding("os", `{"v":1}`, ""))
	stale, none := finding("os", `{"v":3}`, ""), finding("os", `{"v":4}`, "")
	ghost := finding("os", `{"v":2}`, "")
	stale.Follows = &fleet.Succession{ContentHash: ghost.ContentHash[:], Changes: []fleet.FactChange{{Path: "v"}}}
	for what, f := range map[string]fleet.Finding{"other facts": stale, "none": none} {
		_, messages := collect(t, s)
		e := ending(claim(t, s, messages[0], aWorker(t, s).ID), fleet.TaskSucceeded, f)
		if held, err := s.EndTask(t.Context(), e); !errors.Is(err, store.ErrOtherFormer) || held {
			t.Errorf("following on %s: held %v, %v", what, held, err)
		}
		if n := ask[int](t, store.DBOf(s), "select count(*) from report_rows") + ask[int](t, store.DBOf(s), "select count(*) from changes"); n != 1 {
			t.Errorf("following on %s: %d rows, want those of the first report alone", what, n)
		}
		e.Findings = follow(t, s, host.ID, []fleet.Finding{finding("os", `{"v":1}`, "")})
		end(t, s, e)
		exec(t, store.DBOf(s), "delete from report_rows where created_at > (select min(created_at) from report_rows)")
	}
}

// TestTheFeedMissesNothingAndRepeatsNothing reads the feed in pages of any size while writers commit in any order,
// some of them long after their transactions began.
func TestTheFeedMissesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const writers, transactions = 8, 40
	s, pool := storetest.Pool(t)
	host := addHost(t, s, "web-1")
	var wg sync.WaitGroup
	written := make([][]uuid.UUID, writers)
	for writer := range writers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(writer), 1))
			for range transactions {
				var ids []uuid.UUID
				undone := dice.IntN(5) == 0
				_ = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					for range 1 + dice.IntN(4) {
						id := fleet.NewID()
						if _, err := tx.Exec(t.Context(), `insert into changes (id, seen_at, host_id, report_type, path, after, report_id)
							values ($1, now(), $2, 1, 'x', '1', $1)`, id, host.ID); err != nil {
							t.Error(err)
						}
						ids = append(ids, id)
					}
					for range dice.IntN(30) { // so that others, which began later, commit earlier
						_, _ = tx.Exec(t.Context(), "select 1")
					}
					if undone {
						return errors.New("undo")
					}
					return nil
				})
				if !undone {
					written[writer] = append(written[writer], ids...)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	var seen []uuid.UUID
	cursor, last := "", false
	dice := rand.New(rand.NewPCG(9, 9))
	for {
		page, err := s.Changes(t.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{After: cursor, Limit: 1 + dice.IntN(20)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Items {
			seen = append(seen, c.ID)
			cursor = c.Cursor
		}
		if dice.IntN(2) == 0 { // where to go on is told in two ways, which are the same
			cursor = page.Position
		}
		if last && len(page.Items) == 0 {
			break
		}
		select {
		case <-done:
			complete(t, s)
			last = true
		default:
		}
	}
	want := slices.Concat(written...)
	if !slices.Equal(sorted(seen), sorted(want)) {
		t.Errorf("%d changes were seen, %d of them once; %d were committed", len(seen), len(slices.Compact(sorted(seen))), len(want))
	}
}

func sorted(ids []uuid.UUID) []string {
	return slices.Sorted(slices.Values(namesOf(ids, uuid.UUID.String)))
}

func TestTheFeedFilters(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	start := time.Now().Truncate(time.Millisecond).Add(-time.Hour)
	web := addHost(t, s, "web-1", labelled(map[string]string{"env": "prod"}))
	addHost(t, s, "db-1", labelled(map[string]string{"env": "test"}))
	for i := range 3 {
		learn(t, s, start.Add(time.Duration(i)*time.Minute), finding("os", fmt.Sprintf(`{"a":{"x.y":{"v":%d}},"ab":%d}`, i, i), ""), finding("cpu", fmt.Sprintf(`{"n":%d}`, i), ""))
	}
	for name, tt := range map[string]struct {
		f    store.ChangeFilter
		want int
	}{
		"everything":               {store.ChangeFilter{}, 12},
		"one host":                 {store.ChangeFilter{HostID: &web.ID}, 6},
		"a selector":               {store.ChangeFilter{Selector: selector(t, "env=test")}, 6},
		"a type":                   {store.ChangeFilter{Type: "cpu"}, 4},
		"a path":                   {store.ChangeFilter{Path: pattern(t, "ab")}, 4},
		"all below a path":         {store.ChangeFilter{Path: pattern(t, "a")}, 4},
		"a quoted name":            {store.ChangeFilter{Path: pattern(t, `a."x.y".v`)}, 4},
		"a glob":                   {store.ChangeFilter{Path: pattern(t, "a*")}, 8},
		"a glob over names":        {store.ChangeFilter{Path: pattern(t, "**.v")}, 4},
		"no such path":             {store.ChangeFilter{Path: pattern(t, "a.b")}, 0},
		"from a time on":           {store.ChangeFilter{Since: start.Add(2 * time.Minute)}, 6},
		"before a time":            {store.ChangeFilter{Until: start.Add(2 * time.Minute)}, 6},
		"all of it together":       {store.ChangeFilter{HostID: &web.ID, Type: "os", Path: pattern(t, "ab"), Since: start, Until: start.Add(90 * time.Second)}, 1},
		"a type that is not there": {store.ChangeFilter{Type: "none"}, 0},
	} {
		if got := walk(t, s, tt.f, 5); len(got) != tt.want {
			t.Errorf("%s: %d changes, want %d", name, len(got), tt.want)
		}
		var last []fleet.Change
		for page := (fleet.Page{Limit: 5}); ; {
			items, next, err := s.LastChanges(t.Context(), fleet.Everything(), tt.f, page)
			if err != nil {
				t.Fatal(err)
			}
			if last = append(last, items...); next == "" {
				break
			}
			page.After = next
		}
		newestFirst := slices.IsSortedFunc(last, func(a, b fleet.Change) int { return b.SeenAt.Compare(a.SeenAt) })
		if len(last) != tt.want || !newestFirst {
			t.Errorf("%s, newest first: %d changes, want %d, in order %v", name, len(last), tt.want, newestFirst)
		}
	}
}

func TestCursorsOfTheFeed(t *testing.T) {
	t.Parallel()
	s, pool := storetest.Pool(t)
	addHost(t, s, "web-1")
	read := func(cursor string) (store.ChangePage, error) {
		return s.Changes(t.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{After: cursor})
	}
	learn(t, s, time.Now(), finding("os", `{"v":1}`, ""))
	end, err := read(store.FeedEnd)
	if err != nil || len(end.Items) != 0 || end.More {
		t.Fatalf("the end of the feed is %+v, %v", end, err)
	}
	learn(t, s, time.Now(), finding("os", `{"v":2}`, ""))
	complete(t, s)
	page, err := read(end.Position)
	if err != nil || len(page.Items) != 1 || page.Items[0].Path != "v" {
		t.Fatalf("after the end came %+v, %v; want the change", page, err)
	}
	if page, err = read(page.Items[0].Cursor); err != nil || len(page.Items) != 0 {
		t.Errorf("after the last change came %+v, %v", page, err)
	}
	ahead := store.FeedCursor(t, end.Position, "9000000000000000000")
	if page, err = read(ahead); err != nil || page.Position != ahead {
		t.Errorf("the position after a cursor beyond the end is %q, %v; want the cursor", page.Position, err)
	}
	for _, cursor := range []string{"x", "eA", "****", "ZiBhIGIgYw", end.Position + end.Position, "now "} {
		if _, err := read(cursor); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	exec(t, pool, "update cluster set epoch = gen_random_uuid()")
	if _, err := read(end.Position); fleet.KindOf(err) != fleet.Conflict || fleet.CodeOf(err) != "cursor_outdated" {
		t.Errorf("a cursor of another life: %v", err)
	}
}

func TestGroupsOfChanges(t *testing.T) {
	t.Parallel()
	s, _ := storetest.Pool(t)
	for i := range 7 {
		addHost(t, s, fmt.Sprintf("web-%d", i))
	}
	start := time.Now().Truncate(time.Millisecond).Add(-time.Hour)
	for i := range 3 {
		learn(t, s, start.Add(time.Duration(i)*time.Minute), finding("os", fmt.Sprintf(`{"v":%d,"w":%d}`, i, i/2), ""))
	}
	addHost(t, s, "late")
	learn(t, s, start.Add(3*time.Minute), finding("os", `{"v":1,"w":1}`, "")) // the first report of the late one, and the way back of the others
	complete(t, s)
	for size := 1; size <= 4; size++ {
		var got []string
		for page := (fleet.Page{Limit: size}); ; {
			groups, next, err := s.ChangeGroups(t.Context(), fleet.Everything(), store.ChangeFilter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				got = append(got, fmt.Sprintf("%s: %s -> %s on %d", g.Path, g.Before, g.After, g.Hosts))
				if len(g.Sample) != 5 || g.Sample[0].Name != "web-0" || g.FirstSeen.After(g.LastSeen) {
					t.Errorf("group %+v", g)
				}
			}
			if next == "" {
				break
			}
			page.After = next
		}
		slices.Sort(got[1:3]) // seen at the same time
		if want := []string{"v: 2 -> 1 on 7", "v: 1 -> 2 on 7", "w: 0 -> 1 on 7", "v: 0 -> 1 on 7"}; !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q, want %q", size, got, want)
		}
	}
	groups, _, err := s.ChangeGroups(t.Context(), scopeOf(t, "name=web-1 or name=web-3"), store.ChangeFilter{}, fleet.Page{Limit: 1})
	if err != nil || groups[0].Hosts != 2 || len(groups[0].Sample) != 2 {
		t.Errorf("within a scope: %+v, %v", groups, err)
	}
	for _, cursor := range []string{"x", "ZyBhIGIgYw"} {
		if _, _, err := s.ChangeGroups(t.Context(), fleet.Everything(), store.ChangeFilter{}, fleet.Page{After: cursor}); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// TestADumpOfAnotherServerIsTakenIn holds that changes whose transactions this server has not reached are seen, before
// new ones and in their order.
func TestADumpOfAnotherServerIsTakenIn(t *testing.T) {
	t.Parallel()
	dsn := storetest.Database(t)
	pool, err := store.OpenPool(t.Context(), dsn, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := store.New(pool)
	host := addHost(t, s, "web-1")
	for i, tx := range []string{"90000000000", "80000000000"} {
		exec(t, pool, `insert into changes (tx, id, seen_at, host_id, report_type, path, after, report_id)
			values ($1::text::xid8, uuid_v7(now() + $2 * interval '1 second'), now(), $3, 1, $4, '1', gen_random_uuid())`, tx, i, host.ID, fmt.Sprint("p", i))
	}
	exec(t, pool, "update cluster set system_identifier = 1")
	if got := walk(t, s, store.ChangeFilter{}, 10); len(got) != 0 {
		t.Fatalf("before it is taken in, the feed shows %v", got)
	}
	for range 2 {
		if err := store.Migrate(t.Context(), dsn, ""); err != nil {
			t.Fatal(err)
		}
	}
	learn(t, s, time.Now(), finding("os", `{"v":1}`, ""))
	learn(t, s, time.Now(), finding("os", `{"v":2}`, ""))
	if got := namesOf(walk(t, s, store.ChangeFilter{}, 10), func(c fleet.Change) string { return c.Path }); !slices.Equal(got, []string{"p0", "p1", "v"}) {
		t.Errorf("the feed is %q", got)
	}
}
