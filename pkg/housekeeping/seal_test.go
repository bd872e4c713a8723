package housekeeping_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/ledger"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// verify reads all seals, then all entries, and compares them.
func (r *rig) verify(kept func(time.Time) bool) ledger.Finding {
	r.Helper()
	v := ledger.Verifier{Kept: kept}
	for after := int64(0); ; {
		seals, err := r.store.AuditSeals(r.Context(), after, 0)
		if err != nil {
			r.Fatal(err)
		}
		for _, s := range seals {
			v.Seal(s)
			after = s.Seq
		}
		if len(seals) == 0 {
			break
		}
	}
	for page := (fleet.Page{Limit: 1000}); ; {
		entries, next, err := r.store.AuditRecords(r.Context(), fleet.Everything(), store.AuditFilter{}, page)
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range entries {
			v.Entry(e)
		}
		if page.After = next; next == "" {
			return v.Verify()
		}
	}
}

func (r *rig) audit(n int) {
	r.Helper()
	r.exec(`insert into audit_logs (id, created_at, actor, action, resource_type, resource_id, details, ip_address)
		select uuid_v7(now()), now(), 'user:ann', 'host.update', 'host', n::text, '{"b": 1.50, "a": {"é<&>": [1e3, null, true, "\u2028"]}}', '192.0.2.0/24'
		from generate_series(1, $1) n`, n)
}

// sealAll seals until nothing is left.
func (r *rig) sealAll(k *housekeeping.Keeper) {
	r.Helper()
	await.Until(r.T, "everything is sealed", func() bool {
		r.do(k, housekeeping.JobSeal)
		backlog, err := r.store.AuditBacklog(r.Context())
		return err == nil && backlog == 0
	})
}

func TestWhatWasDoneToSealedEntriesIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	k := r.keeper()
	r.do(k, housekeeping.JobSeal)
	for range 4 {
		r.audit(40)
		r.sealAll(k)
	}
	if f := r.verify(nil); !f.OK() || f.Entries != 160 || f.Unsealed != 0 || f.Seals < 4 || len(f.Head) != 64 {
		t.Fatalf("untouched: %+v", f)
	}
	const second = "(select to_tx from audit_seals where seq = 2)"
	const one = "(select id from audit_logs where tx = " + second + " order by id limit 1)"
	for name, tt := range map[string]struct{ do, want string }{
		"an altered entry":                  {`update audit_logs set details = '{"a": 2}' where id = ` + one, "altered 2"},
		"an altered time":                   {`update audit_logs set created_at = created_at + interval '1 microsecond' where id = ` + one, "altered 2"},
		"another spelling of a number":      {`update audit_logs set details = '{"b": 1.5, "a": {"é<&>": [1e3, null, true, "\u2028"]}}' where id = ` + one, "altered 2"},
		"a removed entry":                   {"delete from audit_logs where id = " + one, "missing 2"},
		"an added entry":                    {"insert into audit_logs (id, created_at, tx, actor, action, resource_type) values ('00000000-0000-0000-0000-000000000001', now(), " + second + ", 'x', 'y', 'z')", "added 2"},
		"an entry of a former life":         {"insert into audit_logs (id, created_at, tx, life, actor, action, resource_type) values (gen_random_uuid(), now(), '9', -1, 'x', 'y', 'z')", "added 1"},
		"an entry in another month":         {"insert into audit_logs (id, created_at, tx, actor, action, resource_type) values ('00000000-0000-0000-0000-000000000001', now() + interval '1 month', " + second + ", 'x', 'y', 'z')", "added 2"},
		"a seal with another root":          {"update audit_seals set root = sha256('x') where seq = 2", "forged 2, broken 3"},
		"a seal with other entries":         {"update audit_seals set entries_root = sha256('x') where seq = 2", "forged 2, altered 2"},
		"a seal of another time":            {"update audit_seals set sealed_at = now() where seq = 2", "forged 2"},
		"a removed seal":                    {"delete from audit_seals where seq = 2", "broken 3, added 3"},
		"a removed seal and its entries":    {"with gone as (delete from audit_seals where seq = 2 returning *) delete from audit_logs using gone where tx = to_tx", "broken 3"},
		"the first seals and their entries": {"with gone as (delete from audit_seals where seq <= 2 returning *) delete from audit_logs using gone where tx = to_tx", "broken 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx, err := r.owner.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			if tag, err := tx.Exec(t.Context(), tt.do); err != nil || tag.RowsAffected() == 0 {
				t.Fatalf("%s: %v, %v", tt.do, tag, err)
			}
			tampered := &rig{T: t, store: store.New(tx)}
			var got []string
			for _, p := range tampered.verify(nil).Problems {
				got = append(got, fmt.Sprint(p.Kind, " ", p.Seal))
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEveryEntryIsUnderOneSeal lets writers commit in any order, some long after their transactions began, while several
// keepers seal, one of which is killed in the middle of it again and again.
func TestEveryEntryIsUnderOneSeal(t *testing.T) {
	t.Parallel()
	const writers, transactions = 6, 30
	r := newRig(t, true)
	var writing, sealing sync.WaitGroup
	counts := make([]int, writers)
	for writer := range writers {
		writing.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(writer), 3))
			for range transactions {
				n, undone := 1+dice.IntN(5), dice.IntN(5) == 0
				err := pgx.BeginFunc(t.Context(), r.app, func(tx pgx.Tx) error {
					for range n {
						if err := store.New(tx).Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "x.y", ResourceType: "x"}); err != nil {
							t.Error(err)
						}
					}
					for range dice.IntN(30) { // so that others, which began later, commit earlier
						_, _ = tx.Exec(t.Context(), "select 1")
					}
					if undone {
						return errUndo
					}
					return nil
				})
				if err == nil {
					counts[writer] += n
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	for n := range 3 {
		k := r.keeper()
		sealing.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(n), 4))
			for ctx.Err() == nil {
				once, stop := ctx, context.CancelFunc(func() {})
				if n == 0 {
					once, stop = context.WithTimeout(ctx, time.Duration(dice.IntN(8000))*time.Microsecond)
				}
				_, _ = r.owner.Exec(ctx, "update housekeeping_jobs set done_at = null, failures = 0 where job = 'seal'")
				_, _ = k.Do(once, housekeeping.JobSeal)
				stop()
			}
		})
	}
	writing.Wait()
	cancel()
	sealing.Wait()
	r.exec("delete from housekeeping_jobs")
	r.sealAll(r.keeper())
	want := 0
	for _, n := range counts {
		want += n
	}
	f := r.verify(nil)
	if !f.OK() || f.Entries != want || f.Unsealed != 0 || f.Seals < 3 {
		t.Errorf("%+v, want %d entries", f, want)
	}
}

var errUndo = errors.New("undo")

func TestALateEntryIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	registry := prometheus.NewRegistry()
	k := r.keeper(func(c *housekeeping.KeeperConfig) { c.Metrics = registry; c.Log = slog.New(slog.DiscardHandler) })
	late, err := r.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.New(late).Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "x.late", ResourceType: "x"}); err != nil {
		t.Fatal(err)
	}
	r.audit(3)
	r.do(k, housekeeping.JobSeal)
	if f := r.verify(nil); f.Seals != 0 || f.Unsealed != 3 {
		t.Errorf("while an older entry is not committed: %+v", f)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.sealAll(k)
	if f := r.verify(nil); !f.OK() || f.Entries != 4 {
		t.Errorf("afterwards: %+v", f)
	}
}

// TestADumpOfAnotherServerIsSealedOn restores what counts transactions far ahead of this server.
func TestADumpOfAnotherServerIsSealedOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	k := r.keeper()
	r.audit(3)
	r.exec("update audit_logs set tx = '90000000000' where resource_id < '3'")
	r.exec("update cluster set system_identifier = 1")
	if line, err := k.Do(t.Context(), housekeeping.JobSeal); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("before it is taken in: %q, %v", line, err)
	}
	r.exec("update cluster set system_identifier = (select system_identifier from pg_control_system()), audit_life = 1")
	r.sealAll(k)
	r.exec("update cluster set system_identifier = 1, audit_life = 0")
	for range 2 {
		if err := store.Migrate(t.Context(), r.owner.Config().ConnString(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if life := ask[int](r, "select audit_life from cluster"); life != 1 {
		t.Errorf("life %d", life)
	}
	r.audit(60)
	r.sealAll(k)
	if f := r.verify(nil); !f.OK() || f.Entries != 63 || f.Unsealed != 0 {
		t.Errorf("afterwards: %+v", f)
	}
}

func TestMonthsThatWereDroppedAreNotForged(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	k := r.keeper()
	old := time.Now().AddDate(0, -20, 0).UTC()
	r.exec("select make_partition('audit_logs', $1::date)", old)
	r.audit(10)
	r.exec("update audit_logs set created_at = $1 where resource_id in ('3', '5', '7')", old)
	r.sealAll(k)
	r.audit(10)
	r.sealAll(k)
	month := old.Format("2006_01")
	r.exec("alter table audit_logs detach partition audit_logs_" + month)
	kept := func(m time.Time) bool { return m.After(old) }
	if f := r.verify(kept); !f.OK() || f.Dropped != 1 || f.Entries != 17 || f.Seals != 3 {
		t.Errorf("%+v, want one seal of dropped entries", f)
	}
	if f := r.verify(nil); f.OK() || f.Problems[0].Kind != ledger.Missing {
		t.Errorf("where nothing is dropped: %+v", f)
	}
}

// TestTheApplicationAppendsOnly holds that the application's role cannot change what it wrote, nor seals, also in
// partitions that were made later.
func TestTheApplicationAppendsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	if err := r.store.MakePartition(t.Context(), "audit_logs", time.Now().AddDate(0, 9, 0)); err != nil {
		t.Fatal(err)
	}
	r.audit(1)
	r.sealAll(r.keeper())
	tables := []string{"audit_logs", "audit_seals"}
	for _, at := range []time.Time{time.Now(), time.Now().AddDate(0, 9, 0)} {
		tables = append(tables, "audit_logs_"+at.UTC().Format("2006_01"))
	}
	for _, table := range tables {
		column := "actor"
		if table == "audit_seals" {
			column = "entries"
		}
		for _, sql := range []string{
			"update " + table + " set " + column + " = " + column, "delete from " + table, "truncate " + table, "drop table " + table,
			"alter table " + table + " add column x integer", "select * from " + table + " for update",
		} {
			if _, err := r.app.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %v, want it refused for want of a right", sql, err)
			}
		}
	}
	if f := r.verify(nil); !f.OK() || f.Entries != 1 {
		t.Errorf("%+v", f)
	}
}
