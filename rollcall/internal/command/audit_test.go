package command_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/ledger"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// sealedLog returns three entries, two of them sealed, and the seal.
func sealedLog(t *testing.T) ([]wire.AuditEntry, wire.AuditSeal) {
	t.Helper()
	var entries []wire.AuditEntry
	var records []fleet.AuditRecord
	written := time.Now().UTC().Truncate(time.Microsecond) // of all three: two months have two seals
	for n := range 3 {
		r := fleet.AuditRecord{
			AuditPosition: fleet.AuditPosition{Tx: int64(n + 700), ID: fleet.NewID()}, CreatedAt: written, Actor: "=cmd",
			Action: "host.update", Outcome: "ok", ResourceType: "host", Details: []byte(`{"b": "<é>", "a": 1.50}`),
		}
		records, entries = append(records, r), append(entries, wire.AuditEntryView(r))
	}
	seals, err := ledger.Seal(fleet.AuditSeal{}, records[:2], time.Now())
	if err != nil || len(seals) != 1 {
		t.Fatalf("%d seals, %v, want one", len(seals), err)
	}
	return entries, wire.AuditSealView(seals[0])
}

func TestTheAuditLogIsVerifiedHere(t *testing.T) {
	t.Parallel()
	entries, seal := sealedLog(t)
	sent := entries
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var v any = wire.ListOf(sent, "", func(e wire.AuditEntry) wire.AuditEntry { return e })
		if r.URL.Path == "/api/v1/audit/seals" {
			v = wire.ListOf([]wire.AuditSeal{seal}, "", func(s wire.AuditSeal) wire.AuditSeal { return s })
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		answer(w, 200, string(text))
	})
	u.run(t.Context(), "", "audit").must(t, 0, "host.update", "=cmd")
	u.run(t.Context(), "", "audit", "-o", "csv").must(t, 0, "'=cmd")
	u.run(t.Context(), "", "audit", "seals").must(t, 0, seal.Root)
	u.run(t.Context(), "", "audit", "verify").must(t, 0, "1 seals, 2 sealed entries, 1 not sealed yet", "last root "+seal.Root)
	u.run(t.Context(), "", "audit", "verify", "--expect-root", seal.Root).must(t, 0)
	u.run(t.Context(), "", "audit", "verify", "--expect-root", hex.EncodeToString(make([]byte, 32))).must(t, 1)
	u.run(t.Context(), "", "audit", "verify", "--expect-root", "x").must(t, 2)
	u.run(t.Context(), "", "audit", "verify", "--file", "x").must(t, 2)

	lines := u.run(t.Context(), "", "audit", "-n", "0", "-o", "ndjson")
	seals := u.run(t.Context(), "", "audit", "seals", "-o", "ndjson")
	dir := t.TempDir()
	file, chain := filepath.Join(dir, "entries"), filepath.Join(dir, "seals")
	for name, text := range map[string]string{file: lines.stdout, chain: seals.stdout} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.run(t.Context(), "", "audit", "verify", "--file", file, "--seals", chain).must(t, 0, seal.Root)
	if err := os.WriteFile(file, []byte(strings.Replace(lines.stdout, "1.50", "1.51", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run(t.Context(), "", "audit", "verify", "--file", file, "--seals", chain).must(t, 1, "altered: seal 1")
	sent = entries[1:]
	u.run(t.Context(), "", "audit", "verify").must(t, 1, "missing: seal 1", "1 of 2 entries are missing")
}
