package store_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// seedAudit writes 600 entries in each month from January to June 2025: of 1 to 6 hosts in turn, each tenth denied.
func seedAudit(t *testing.T, db store.DBTX) {
	t.Helper()
	exec(t, db, `
		select make_partition('audit_logs', m::date) from generate_series('2025-01-01'::timestamptz, '2025-06-01', interval '1 month') m;
		insert into audit_logs (id, created_at, actor, action, outcome, resource_type, resource_id, details, ip_address)
			select uuid_v7(at), at, 'user:' || (array['ann', 'bob'])[1 + n % 2], (array['host.update', 'host.create', 'hostile'])[1 + n % 3],
				case when n % 10 = 0 then 'denied' else 'ok' end, (array['host', 'user'])[1 + n % 2], (n % 6)::text, '{"n": 1}', ('192.0.2.' || n % 4)::inet
			from generate_series(1, 600) n, generate_series('2025-01-01 00:00:00.001'::timestamptz, '2025-06-01 00:00:00.001', interval '1 month') m,
				lateral (select m + n * interval '1 hour') as moment(at);
		analyze audit_logs`)
}

func TestAuditRecords(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	s := store.New(pool)
	seedAudit(t, pool)
	june := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		f    store.AuditFilter
		want int
	}{
		"everything":             {store.AuditFilter{}, 3600},
		"an actor":               {store.AuditFilter{Actor: "user:ann"}, 1800},
		"an action":              {store.AuditFilter{Action: "host.update"}, 1200},
		"a group of actions":     {store.AuditFilter{Action: "host.*"}, 2400},
		"a pattern is no regexp": {store.AuditFilter{Action: "h%t.*"}, 0},
		"a type":                 {store.AuditFilter{Resource: "user"}, 1800},
		"a resource":             {store.AuditFilter{Resource: "user:1"}, 600},
		"what was denied":        {store.AuditFilter{Outcome: "denied"}, 360},
		"an address":             {store.AuditFilter{Address: "192.0.2.3"}, 900},
		"a network":              {store.AuditFilter{Address: "192.0.2.0/31"}, 1800},
		"a month":                {store.AuditFilter{Since: june, Until: june.AddDate(0, 1, 0)}, 600},
		"all of it":              {store.AuditFilter{Actor: "user:bob", Action: "host.*", Resource: "user:1", Outcome: "ok", Address: "192.0.2.0/24", Since: june}, 100},
		"quotes":                 {store.AuditFilter{Actor: "x' or true --", Action: "'; drop table users; --"}, 0},
	} {
		var seen []fleet.AuditRecord
		for page := (fleet.Page{Limit: 700}); ; {
			records, next, err := s.AuditRecords(t.Context(), fleet.Everything(), tt.f, page)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			seen = append(seen, records...)
			if page.After = next; next == "" {
				break
			}
		}
		sorted := slices.IsSortedFunc(seen, func(a, b fleet.AuditRecord) int { return b.CreatedAt.Compare(a.CreatedAt) })
		if len(seen) != tt.want || !sorted {
			t.Errorf("%s: %d entries, want %d; newest first: %v", name, len(seen), tt.want, sorted)
		}
	}
	for _, cursor := range []string{"x", "eA", "MSAy", "LTEgMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAx"} {
		if _, _, err := s.AuditRecords(t.Context(), fleet.Everything(), store.AuditFilter{}, fleet.Page{After: cursor}); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

var auditMonths = regexp.MustCompile(`^audit_logs_2025_\d\d$`)

// TestPlansOfTheAuditLog holds that a page reads little, and only months that can have it.
func TestPlansOfTheAuditLog(t *testing.T) {
	t.Parallel()
	_, pool := storetest.Pool(t)
	seedAudit(t, pool)
	march := time.Date(2025, 3, 10, 0, 0, 0, 0, time.UTC)
	records, next, err := store.New(pool).AuditRecords(t.Context(), fleet.Everything(), store.AuditFilter{Until: march}, fleet.Page{Limit: 10})
	if err != nil || len(records) != 10 {
		t.Fatal(len(records), err)
	}
	for name, tt := range map[string]struct {
		f    store.AuditFilter
		page fleet.Page
		read []string
	}{
		"the first page":      {store.AuditFilter{}, fleet.Page{Limit: 20}, []string{"audit_logs_2025_06"}},
		"between two times":   {store.AuditFilter{Since: march, Until: march.AddDate(0, 0, 2)}, fleet.Page{Limit: 20}, []string{"audit_logs_2025_03"}},
		"before a time":       {store.AuditFilter{Until: march}, fleet.Page{Limit: 20}, []string{"audit_logs_2025_03"}},
		"the page after":      {store.AuditFilter{Until: march}, fleet.Page{Limit: 20, After: next}, []string{"audit_logs_2025_03"}},
		"one of one resource": {store.AuditFilter{Resource: "user:1", Since: march, Until: march.AddDate(0, 0, 2)}, fleet.Page{}, []string{"audit_logs_2025_03"}},
	} {
		sql, args, err := store.AuditQuery(tt.f, tt.page)
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]bool{}
		for _, step := range explain(t, pool, literal(sql, args)) {
			if auditMonths.MatchString(step.Relation) {
				read[step.Relation] = true
				if step.Type == "Seq Scan" {
					t.Errorf("%s: all of %s is read", name, step.Relation)
				}
			}
			if len(tt.f.Resource) == 0 && step.Type == "Sort" {
				t.Errorf("%s: it sorts", name)
			}
		}
		if got := keysOf(read); !slices.Equal(got, tt.read) {
			t.Errorf("%s reads %v, want %v", name, got, tt.read)
		}
	}
}

// literal puts the arguments into a statement, for EXPLAIN.
func literal(sql string, args pgx.NamedArgs) string {
	names := keysOf(args)
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		var text string
		switch v := args[name].(type) {
		case time.Time:
			text = "'" + v.Format(time.RFC3339Nano) + "'::timestamptz"
		case interface{ String() string }:
			text = "'" + v.String() + "'"
		case string:
			text = "'" + v + "'"
		case int:
			text = strconv.Itoa(v)
		}
		sql = strings.ReplaceAll(sql, "@"+name, text)
	}
	return sql
}

func TestSealsAreAChain(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	last, err := s.LastAuditSeal(t.Context())
	if err != nil || last.Seq != 0 {
		t.Fatal(last, err)
	}
	if age, err := s.AuditBacklog(t.Context()); err != nil || age != 0 {
		t.Errorf("a backlog of %v, %v", age, err)
	}
	if _, _, err := s.UnsealedAudit(t.Context(), fleet.AuditPosition{}, 10); err != nil {
		t.Error(err)
	}
	if err := s.Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "x.y", ResourceType: "x"}); err != nil {
		t.Fatal(err)
	}
	if age, err := s.AuditBacklog(t.Context()); err != nil || age <= 0 {
		t.Errorf("a backlog of %v, %v", age, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	month := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first := fleet.AuditSeal{Seq: 1, Month: month, To: fleet.AuditPosition{Life: 1, Tx: 1 << 62, ID: fleet.NewID()}, Entries: 2, EntriesRoot: [32]byte{1}, Root: [32]byte{2}, SealedAt: at}
	second := fleet.AuditSeal{Seq: 2, Month: month, From: first.To, To: first.To, Entries: 1, PrevRoot: first.Root, SealedAt: at}
	if err := s.AddAuditSeals(t.Context(), []fleet.AuditSeal{first, second}); err != nil {
		t.Fatal(err)
	}
	seals, err := s.AuditSeals(t.Context(), 0, 0)
	if err != nil || len(seals) != 2 || seals[0] != first || seals[1] != second {
		t.Errorf("seals %+v, %v", seals, err)
	}
	fork := second
	fork.Seq = 3
	if err := s.AddAuditSeals(t.Context(), []fleet.AuditSeal{fork}); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second seal after the first: %v", err)
	}
}
