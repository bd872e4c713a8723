package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

// pair returns fresh keys of the default site as keygen prints them.
func (s *stack) pair() (seal, open string) {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(bin, "rollcall"), "keygen").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "ROLLCALL_SEAL_KEYS":
			seal = value
		case "ROLLCALL_OPEN_KEYS":
			open = value
		}
	}
	return seal, open
}

type sealView struct {
	KeyID          string `json:"key_id"`
	Current        bool
	Seals, Workers int
}

func (s *stack) seals() (current, former int) {
	s.t.Helper()
	var list struct{ Items []sealView }
	s.get("/api/v1/credentials/seals", &list)
	for _, v := range list.Items {
		if v.Current {
			current += v.Seals
		} else {
			former += v.Seals
		}
	}
	return current, former
}

// TestASealingKeyIsRotatedWhileEverythingRuns follows docs/operations.md: the new key beside the former one, first in the workers,
// then in the api; sealing anew while hosts are collected; the former key taken away. Then it looks everywhere for the secret.
func TestASealingKeyIsRotatedWhileEverythingRuns(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.env["ROLLCALL_LOG_LEVEL"] = "debug"
	formerSeal, formerOpen := s.env["ROLLCALL_SEAL_KEYS"], s.env["ROLLCALL_OPEN_KEYS"]
	seal, open := s.pair()
	api, first, scheduler := s.up()
	hosts, err := simulate.Start(t.Context(), simulate.Options{Hosts: 6, Seed: 7, Login: simulate.LoginByPassword})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hosts.Close() })
	var inventory bytes.Buffer
	if err := hosts.WriteInventory(&inventory); err != nil {
		t.Fatal(err)
	}
	var line struct{ Credential struct{ Password string } }
	if err := json.NewDecoder(bytes.NewReader(inventory.Bytes())).Decode(&line); err != nil || len(line.Credential.Password) < 16 {
		t.Fatalf("the inventory has no password to look for: %v", err)
	}
	s.post("/api/v1/hosts/import?format=ndjson", inventory.String(), http.StatusOK, nil, "Content-Type", "application/x-ndjson")
	ask := map[string]any{"selector": "*", "report_types": []string{"os"}}
	collected := func(when string) {
		t.Helper()
		if c := s.collect(ask, 60*time.Second); c.State != "succeeded" {
			t.Errorf("%s, collecting ended as %+v", when, c)
		}
	}
	collected("with the former key")

	second := s.start("worker", map[string]string{"ROLLCALL_OPEN_KEYS": open + "," + formerOpen})
	second.ready()
	first.stop()
	api.stop()
	s.env["ROLLCALL_SEAL_KEYS"] = seal + "," + formerSeal
	api2 := s.start("api", nil)
	api2.ready()
	current, former := s.seals()
	if current != 0 || former == 0 {
		t.Fatalf("%d seals are of the new key and %d of the former one", current, former)
	}
	var during, resealing collectionView
	s.post("/api/v1/collections", ask, http.StatusAccepted, &during)
	s.post("/api/v1/credentials/reseal", nil, http.StatusAccepted, &resealing)
	if ended := s.await(resealing.ID, 60*time.Second); ended.State != "succeeded" || ended.Counts["succeeded"] != former {
		t.Errorf("resealing ended as %+v, want %d seals", ended, former)
	}
	if ended := s.await(during.ID, 60*time.Second); ended.State != "succeeded" {
		t.Errorf("meanwhile, collecting ended as %+v", ended)
	}
	if now, left := s.seals(); now != former || left != 0 {
		t.Errorf("%d seals are of the new key and %d of the former one, want %d and none", now, left, former)
	}
	third := s.start("worker", map[string]string{"ROLLCALL_OPEN_KEYS": open})
	third.ready()
	second.stop()
	collected("without the former key")

	places := map[string]string{"the database": s.wholeDatabase(), "Redis": s.wholeRedis()}
	for _, p := range []*process{api, api2, first, second, third, scheduler} {
		places["the log of "+p.name] += p.log.String()
	}
	for _, path := range []string{
		"/api/v1/credentials", "/api/v1/hosts", "/api/v1/collections", "/api/v1/collections/" + resealing.ID + "/reseals",
		"/api/v1/collections/" + during.ID + "/tasks", "/api/v1/query?type=os", "/api/v1/system/doctor",
	} {
		var answer json.RawMessage
		s.get(path, &answer)
		places[path] = string(answer)
	}
	for place, text := range places {
		if len(text) < 10 {
			t.Errorf("%s is empty, so nothing was looked at", place)
		}
		for _, form := range forms(line.Credential.Password) {
			if strings.Contains(text, form) {
				t.Errorf("%s holds the secret, as %q", place, form)
			}
		}
	}
	if !strings.Contains(places["the log of worker"], `"level":"DEBUG"`) && !strings.Contains(places["the log of api"], `"level":"DEBUG"`) {
		t.Error("nothing was logged at the level debug, so too little was looked at")
	}
}

// forms returns how a secret may be written down.
func forms(secret string) []string {
	return []string{
		secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

// wholeDatabase returns every row of every table as text; bytes are hexadecimal in it.
func (s *stack) wholeDatabase() string {
	s.t.Helper()
	db, err := pgx.Connect(s.t.Context(), s.env["DATABASE_URL"])
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close(s.t.Context()) }()
	rows, _ := db.Query(s.t.Context(), `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'public' and c.relkind in ('r', 'm')`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		s.t.Fatalf("%d tables: %v", len(tables), err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, _ := db.Query(s.t.Context(), "select to_jsonb(x)::text from "+table+" x")
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			s.t.Fatalf("reading %s: %v", table, err)
		}
		all.WriteString(strings.Join(texts, "\n"))
	}
	return all.String()
}

// wholeRedis returns every key with its value.
func (s *stack) wholeRedis() string {
	s.t.Helper()
	client, err := ephemeral.Open(s.env["REDIS_URL"], ephemeral.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx := s.t.Context()
	var all strings.Builder
	keys := client.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		var value redis.Cmder
		switch kind := client.Type(ctx, key).Val(); kind {
		case "string":
			value = client.Get(ctx, key)
		case "hash":
			value = client.HGetAll(ctx, key)
		case "list":
			value = client.LRange(ctx, key, 0, -1)
		case "set":
			value = client.SMembers(ctx, key)
		case "zset":
			value = client.ZRangeWithScores(ctx, key, 0, -1)
		case "none": // it has run out
			continue
		default:
			s.t.Errorf("a key of type %s: look into it, too", kind)
			continue
		}
		fmt.Fprintf(&all, "%s %v\n", key, value)
	}
	if err := keys.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all.String()
}

// TestOnlyWorkersCanOpenASeal looks into the binaries: what opens a seal is not even part of the api's and the scheduler's.
func TestOnlyWorkersCanOpenASeal(t *testing.T) {
	t.Parallel()
	for name, opens := range map[string]bool{"api": false, "scheduler": false, "worker": true} {
		out, err := exec.CommandContext(t.Context(), "go", "tool", "nm", filepath.Join(bin, name)).Output()
		if err != nil {
			t.Fatalf("reading the symbols of %s: %v", name, err)
		}
		if !bytes.Contains(out, []byte("rollcall/pkg/")) {
			t.Fatalf("%s has no symbols", name)
		}
		for _, symbol := range []string{"secret.ParseOpenKeys", "secret.(*OpenKeys).Open", "secret.DecodeCredential"} {
			if got := bytes.Contains(out, []byte("rollcall/pkg/"+symbol+"\n")); got != opens {
				t.Errorf("%s in %s: %v, want %v", symbol, name, got, opens)
			}
		}
	}
}
