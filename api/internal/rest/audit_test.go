package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestTheAuditLogIsReadByAdmins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, action := range []string{"host.update", "=cmd|' /C calc'!A0", "host.delete"} {
		began := time.Now().UnixMilli() // entries of one millisecond are in no order
		await.Until(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > began })
		err := b.db.Audit(t.Context(), fleet.System(), fleet.AuditEntry{
			Action: action, ResourceType: "host", ResourceID: "h1", Details: map[string]any{"text": "a\nb<&>", "n": 1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const path = "/api/v1/audit?resource=host:h1"
	list := get[wire.List[wire.AuditEntry]](t, b.do(t, call{path: path + "&limit=2", as: "admin"}), http.StatusOK)
	if len(list.Items) != 2 || list.Items[0].Action != "host.delete" || list.NextCursor == nil || list.Items[0].Tx == 0 {
		t.Fatalf("first page %+v", list)
	}
	rest := get[wire.List[wire.AuditEntry]](t, b.do(t, call{path: path + "&limit=2&cursor=" + *list.NextCursor, as: "admin"}), http.StatusOK)
	if len(rest.Items) != 1 || rest.Items[0].Action != "host.update" || rest.NextCursor != nil {
		t.Errorf("second page %+v", rest)
	}
	filtered := get[wire.List[wire.AuditEntry]](t, b.do(t, call{path: path + "&action=host.*&outcome=ok&actor=system&since=2020-01-01T00:00:00Z", as: "admin"}), http.StatusOK)
	if len(filtered.Items) != 2 {
		t.Errorf("filtered %+v", filtered)
	}
	lines := strings.Split(strings.TrimSpace(b.do(t, call{path: path + "&format=ndjson&limit=1", as: "admin"}).body), "\n")
	var entry wire.AuditEntry
	if err := json.Unmarshal([]byte(lines[0]), &entry); err != nil || len(lines) != 3 || entry.ID != list.Items[0].ID {
		t.Errorf("lines %q, %v", lines, err)
	}
	table := b.do(t, call{path: path + "&format=csv", as: "admin"}).body
	if !strings.HasPrefix(table, "created_at,actor,") || !strings.Contains(table, ",'=cmd|") || strings.Count(table, "system,") != 3 {
		t.Errorf("table %s", table)
	}
	for _, p := range []string{path, path + "&format=csv", "/api/v1/audit/seals"} {
		for _, as := range []string{"viewer", "operator"} {
			if r := b.do(t, call{path: p, as: as}); r.status != http.StatusForbidden {
				t.Errorf("%s as %s: %d", p, as, r.status)
			}
		}
	}
	seals := get[wire.List[wire.AuditSeal]](t, b.do(t, call{path: "/api/v1/audit/seals", as: "admin"}), http.StatusOK)
	if seals.Items == nil || len(seals.Items) != 0 {
		t.Errorf("seals %+v", seals)
	}
	for _, bad := range []string{"&address=x", "&outcome=maybe", "&cursor=x", "&since=yesterday", "&format=xml", "&address=fe80::1%25eth0"} {
		if r := b.do(t, call{path: path + bad, as: "admin"}); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", bad, r.status, r.body)
		}
	}
}
