package process_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

func TestEntriesThatAreNotSealedAreWarnedOf(t *testing.T) {
	t.Parallel()
	// Nothing listens there: the warnings are of what the database tells.
	b, err := process.Open(t.Context(), process.Config{DatabaseURL: storetest.Database(t), RedisURL: "redis://127.0.0.1:1/0"}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	warnings := b.Warnings(time.Minute)
	if err := b.Store.Audit(t.Context(), fleet.System(), fleet.AuditEntry{Action: "x.y", ResourceType: "x"}); err != nil {
		t.Fatal(err)
	}
	if found, err := warnings(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("an entry of now: %+v, %v", found, err)
	}
	for _, statement := range []string{
		"delete from audit_logs",
		"select make_partition('audit_logs', date_trunc('month', now() - interval '11 minutes')::date)",
		`insert into audit_logs (id, created_at, actor, action, outcome, resource_type, resource_id, details)
			select uuid_v7(at), at, 'system', 'x.y', 'ok', 'x', '', '{}' from (select now() - interval '11 minutes') as moment(at)`,
	} {
		if _, err := b.Pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	found, err := warnings(t.Context())
	if err != nil || len(found) != 1 || found[0].Code != process.CodeAuditUnsealed || !strings.Contains(found[0].Message, "since 11m") {
		t.Fatalf("an entry of 11 minutes ago: %+v, %v", found, err)
	}
	last := fleet.AuditPosition{Life: 1, Tx: 1 << 62}
	seal := fleet.AuditSeal{Seq: 1, Month: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: last, Entries: 1, SealedAt: time.Now()}
	if err := b.Store.AddAuditSeals(t.Context(), []fleet.AuditSeal{seal}); err != nil {
		t.Fatal(err)
	}
	if found, err := warnings(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("after the seal: %+v, %v", found, err)
	}
}
