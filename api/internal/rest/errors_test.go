package rest_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

var update = flag.Bool("update", false, "write docs/errors.md anew")

const errorsPage = "../../../docs/errors.md"

// A badInput is a request that is refused, and how.
type badInput struct {
	what   string // in a sentence of the documentation
	call   call   // HOST, CREDENTIAL, COLLECTION and so on, in its path and body, are replaced by what furnish has made
	status int
	code   string
	field  string // the one that errors[] names; empty: none
}

const large = `{"name":"` // the body of the largest request begins like this

// badInputs is the test, and the table of docs/errors.md.
func badInputs() []badInput {
	post, put, patch, del := http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	host := func(more string) string { return `{"name":"web-9","address":"192.0.2.9"` + more + `}` }
	collect := func(text string) call {
		return call{method: post, path: "/api/v1/collections", as: "operator", body: text, invalid: true}
	}
	hosts := func(text string) call {
		return call{method: post, path: "/api/v1/hosts", as: "admin", body: text, invalid: true}
	}
	credential := func(text string) call {
		return call{method: post, path: "/api/v1/credentials", as: "admin", body: text, invalid: true}
	}
	collectors := func(method, path, text string) call {
		return call{method: method, path: "/api/v1/collectors" + path, as: "admin", body: text, invalid: true}
	}
	read := func(path string) call { return call{method: http.MethodGet, path: path, as: "viewer"} }
	return slices.Concat([]badInput{
		{"no token", call{path: "/api/v1/hosts"}, 401, "unauthenticated", ""},
		{"a token that was never one", call{path: "/api/v1/hosts", as: "Bearer nonsense"}, 401, "token_invalid", ""},
		{"a forged access token", call{path: "/api/v1/hosts", as: "Bearer " + forged}, 401, "token_invalid", ""},
		{"an expired API token", call{path: "/api/v1/hosts", as: "EXPIRED"}, 401, "token_expired", ""},
		{"a wrong password", call{method: post, path: "/api/v1/auth/login", body: `{"username":"admin","password":"wrong"}`}, 401, "invalid_credentials", ""},
		{"a sign-in without a password", call{method: post, path: "/api/v1/auth/login", body: `{"username":"admin"}`, invalid: true}, 422, "required", "password"},
		{"a refresh token that was never one", call{method: post, path: "/api/v1/auth/refresh", body: `{"refresh_token":"nonsense"}`}, 401, "token_invalid", ""},
		{"a role that is not enough", call{method: post, path: "/api/v1/hosts", as: "viewer", body: host("")}, 403, "forbidden", ""},
		{"an operator who changes a host", call{method: patch, path: "/api/v1/hosts/HOST", as: "operator", body: `{"port":23}`}, 403, "forbidden", ""},
		{"a write outside of what the actor may see", call{method: post, path: "/api/v1/hosts", as: "scoped", body: host("")}, 403, "outside_scope", ""},

		{"no such address", call{path: "/api/v1/nothing", as: "admin"}, 404, "no_such_route", ""},
		{"a method that the address does not take", call{method: http.MethodPut, path: "/api/v1/hosts", as: "admin"}, 405, "method_not_allowed", ""},
		{"no body", hosts(""), 400, "body_required", ""},
		{"a body that is not JSON", hosts("{"), 400, "malformed_json", ""},
		{"a text that holds U+0000", hosts(host(`,"site":"a\u0000"`)), 400, "malformed_json", ""},
		{"a body that is not UTF-8", hosts(host(",\"site\":\"\xe4\"")), 400, "malformed_json", ""},
		{"a body of 2 MB", hosts(large), 413, "too_large", ""},
		{"a body of another media type", call{method: post, path: "/api/v1/hosts", as: "admin", body: "name: web", media: "text/yaml", invalid: true}, 415, "unsupported_media_type", ""},
		{"a body that is a list", hosts("[]"), 422, "invalid", "body"},
		{"an unknown field", hosts(host(`,"colour":"red"`)), 422, "unknown_field", "colour"},
		{"a field in capitals", hosts(`{"name":"a","address":"x","PORT":1}`), 422, "unknown_field", "PORT"},
		{"an unknown field inside another", hosts(host(`,"ssh":{"colour":"red"}`)), 422, "unknown_field", "ssh.colour"},
		{"a field of the wrong type", hosts(host(`,"port":"22"`)), 422, "invalid", "port"},
		{"a missing field", hosts(`{"address":"192.0.2.1"}`), 422, "required", "name"},
		{"an unknown query parameter", read("/api/v1/hosts?colour=red"), 422, "unknown_parameter", "colour"},
		{"a query that is not percent-encoded", read("/api/v1/hosts?q=%zz"), 400, "malformed_query", ""},
		{"a query that holds U+0000", read("/api/v1/hosts?q=%00"), 400, "malformed_query", ""},
		{"a limit of 0", read("/api/v1/hosts?limit=0"), 422, "invalid", "limit"},
		{"a limit of 1,001", read("/api/v1/reports?limit=1001"), 422, "invalid", "limit"},
		{"a limit that is no number", read("/api/v1/hosts?limit=many"), 422, "invalid", "limit"},
		{"a cursor that no list has answered with", read("/api/v1/collections?cursor=nonsense"), 422, "invalid", "cursor"},
		{"an ID that is no UUID", read("/api/v1/hosts/nonsense"), 422, "invalid", "id"},
		{"an Idempotency-Key that was used for another request", call{method: post, path: "/api/v1/hosts", as: "admin", body: host(`,"port":1`), header: http.Header{"Idempotency-Key": {"used"}}}, 422, "idempotency_key_reused", "Idempotency-Key"},
		{"an Idempotency-Key of an import", call{method: post, path: "/api/v1/hosts/import", as: "admin", body: host(""), media: "application/x-ndjson", header: http.Header{"Idempotency-Key": {"k"}}}, 422, "not_supported_yet", "Idempotency-Key"},

		{"an unknown host", read("/api/v1/hosts/UNKNOWN"), 404, "not_found", ""},
		{"a name that is taken", hosts(`{"name":"web-1","address":"192.0.2.1"}`), 409, "name_taken", "name"},
		{"a bad name", hosts(`{"name":"a b","address":"192.0.2.1"}`), 422, "invalid", "name"},
		{"a bad address", hosts(`{"name":"web-9","address":"-oProxyCommand=x"}`), 422, "invalid", "address"},
		{"port 65536", hosts(host(`,"port":65536`)), 422, "invalid", "port"},
		{"a bad site", hosts(host(`,"site":"EU"`)), 422, "invalid", "site"},
		{"a label named like a keyword", hosts(host(`,"labels":{"and":"x"}`)), 422, "invalid", "labels"},
		{"a label that is no text", hosts(host(`,"labels":{"k":1}`)), 422, "invalid", "labels.k"},
		{"an unknown connection", hosts(host(`,"connection":"winrm"`)), 422, "invalid", "connection"},
		{"an unknown credential", hosts(host(`,"credential_id":"UNKNOWN"`)), 422, "unknown_credential", "credential_id"},
		{"a credential of another site", hosts(host(`,"site":"mars","credential_id":"CREDENTIAL"`)), 422, "not_sealed_for_site", "credential_id"},
		{"a jump host", hosts(host(`,"jump_host_id":"HOST"`)), 422, "not_supported_yet", "jump_host_id"},
		{"an unknown way to become root", hosts(host(`,"ssh":{"become":"su"}`)), 422, "invalid", "ssh.become"},
		{"a become credential for nothing", hosts(host(`,"ssh":{"become_credential_id":"CREDENTIAL"}`)), 422, "invalid", "ssh.become_credential_id"},
		{"host keys by a CA", hosts(host(`,"ssh":{"host_key_policy":"ca"}`)), 422, "not_supported_yet", "ssh.host_key_policy"},
		{"old algorithms", hosts(host(`,"ssh":{"algorithms":"legacy"}`)), 422, "not_supported_yet", "ssh.algorithms"},
		{"a keepalive of two hours", hosts(host(`,"ssh":{"keepalive_seconds":7200}`)), 422, "invalid", "ssh.keepalive_seconds"},
		{"hosts of no status", read("/api/v1/hosts?status=failed"), 422, "invalid", "status"},
		{"fresh hosts that fail", read("/api/v1/hosts?status=fresh&code=auth_failed"), 422, "invalid", "code"},
		{"what became of no host", read("/api/v1/freshness?host_id=x"), 422, "invalid", "host_id"},
		{"what became of hosts after no place", read("/api/v1/freshness?cursor=x"), 422, "invalid", "cursor"},
		{"a selector that cannot be read", read("/api/v1/hosts?selector=env%3D%3D"), 422, "invalid_selector", "selector"},
		{"a change of an old version", call{method: patch, path: "/api/v1/hosts/HOST", as: "admin", body: `{"port":23}`, header: http.Header{"If-Match": {`"7"`}}}, 412, "precondition_failed", ""},
		{"an ETag that is none", call{method: del, path: "/api/v1/hosts/HOST", as: "admin", header: http.Header{"If-Match": {"nonsense"}}}, 412, "precondition_failed", ""},
		{"a change that takes the name away", call{method: patch, path: "/api/v1/hosts/HOST", as: "admin", body: `{"name":null}`, invalid: true}, 422, "invalid", "name"},
		{"an unknown host key", call{method: post, path: "/api/v1/hosts/HOST/host-keys/UNKNOWN/trust", as: "admin"}, 404, "not_found", ""},
		{"an import of another media type", call{method: post, path: "/api/v1/hosts/import", as: "admin", body: host(""), invalid: true}, 415, "unsupported_media_type", ""},
		{"an import of CSV", call{method: post, path: "/api/v1/hosts/import?format=csv", as: "admin", body: "a,b", media: "application/x-ndjson"}, 422, "not_supported_yet", "format"},
		{"an import of an unknown format", call{method: post, path: "/api/v1/hosts/import?format=xml", as: "admin", body: "<a/>", media: "application/x-ndjson"}, 422, "invalid", "format"},
		{"an import that is only half a switch", call{method: post, path: "/api/v1/hosts/import?dry_run=perhaps", as: "admin", body: host(""), media: "application/x-ndjson"}, 422, "invalid", "dry_run"},

		{"a private key that is none", credential(`{"name":"c","kind":"private_key","username":"root","private_key":"nonsense"}`), 422, "invalid", "private_key"},
		{"a password that is missing", credential(`{"name":"c","kind":"password","username":"root"}`), 422, "invalid", "password"},
		{"an unknown kind of credential", credential(`{"name":"c","kind":"kerberos","username":"root"}`), 422, "invalid", "kind"},
		{"a certificate", credential(`{"name":"c","kind":"certificate","username":"root","certificate":"x"}`), 422, "not_supported_yet", "certificate"},
		{"an agent", credential(`{"name":"c","kind":"agent","username":"root"}`), 422, "not_supported_yet", "kind"},
		{"a site without a seal key", credential(`{"name":"c","kind":"password","username":"root","password":"p","sites":["mars"]}`), 422, "no_seal_key", "sites"},
		{"a credential that hosts use", call{method: del, path: "/api/v1/credentials/CREDENTIAL", as: "admin"}, 409, "in_use", ""},
		{"a further site without the secret", call{method: patch, path: "/api/v1/credentials/CREDENTIAL", as: "admin", body: `{"sites":["default","eu"]}`}, 422, "invalid", "sites"},

		{"no selector and no hosts", collect(`{}`), 422, "no_hosts", "selector"},
		{"an empty selector", collect(`{"selector":""}`), 422, "no_hosts", "selector"},
		{"a selector that picks no host", collect(`{"selector":"env=nowhere"}`), 422, "no_hosts", "selector"},
		{"a selector that cannot be read, to collect", collect(`{"selector":"env="}`), 422, "invalid_selector", "selector"},
		{"a host that there is not", collect(`{"host_ids":["UNKNOWN"]}`), 422, "unknown_host", "host_ids"},
		{"a host's ID that is no UUID", collect(`{"host_ids":["nonsense"]}`), 422, "invalid", "host_ids[0]"},
		{"an unknown report type", collect(`{"selector":"*","report_types":["weather"]}`), 422, "unknown_report_type", "report_types"},
		{"an unknown priority", collect(`{"selector":"*","priority":"asap"}`), 422, "invalid", "priority"},
		{"a deadline of a second", collect(`{"selector":"*","deadline_seconds":1}`), 422, "invalid", "deadline_seconds"},
		{"a bound on how many at once that is none", collect(`{"selector":"*","max_parallel":-1}`), 422, "invalid", "max_parallel"},
		{"bulk work while too much waits", collect(`{"selector":"*","priority":"bulk"}`), 429, "queue_full", ""},
		{"an unknown collection", read("/api/v1/collections/UNKNOWN"), 404, "not_found", ""},
		{"events of an unknown collection", read("/api/v1/collections/UNKNOWN/events"), 404, "not_found", ""},
		{"tasks in an unknown state", read("/api/v1/collections/COLLECTION/tasks?state=lost"), 422, "invalid", "state"},
		{"tasks with an unknown code", read("/api/v1/collections/COLLECTION/tasks?code=lost"), 422, "invalid", "code"},
		{"a retry of what has not failed", call{method: post, path: "/api/v1/collections/COLLECTION/retry", as: "operator"}, 422, "no_hosts", ""},
		{"a retry by an unknown code", call{method: post, path: "/api/v1/collections/COLLECTION/retry", as: "operator", body: `{"codes":["lost"]}`}, 422, "invalid", "code"},

		{"an unknown report", read("/api/v1/reports/UNKNOWN"), 404, "not_found", ""},
		{"reports of an unknown type", read("/api/v1/reports?type=weather"), 422, "unknown_report_type", "type"},
		{"reports since something that is no time", read("/api/v1/reports?since=yesterday"), 422, "invalid", "since"},
		{"a host's report of an unknown type", read("/api/v1/hosts/HOST/reports/weather"), 422, "unknown_report_type", "type"},
		{"a host's report of a type that was not collected yet", read("/api/v1/hosts/HOST/reports/cpu"), 404, "no_report_yet", ""},
		{"a host's report as of before the first one", read("/api/v1/hosts/HOST/reports/os?as_of=2026-01-01T00:00:00Z"), 404, "no_report_yet", ""},
		{"a host's reports as of something that is no time", read("/api/v1/hosts/HOST/reports?as_of=yesterday"), 422, "invalid", "as_of"},
		{"a host's reports with half a switch", read("/api/v1/hosts/HOST/reports?since=perhaps"), 422, "invalid", "since"},
		{"an unknown collector", read("/api/v1/collectors/weather"), 404, "not_found", ""},
		{"a collector by the name of a built-in one", collectors(post, "", `{"name":"memory","os":{"linux":"true"},"parser":{"format":"text"}}`), 422, "name_taken", "name"},
		{"a collector with a pattern that cannot be read", collectors(post, "", `{"name":"cc","os":{"linux":"true"},"parser":{"format":"text"},"redact":["("]}`), 422, "invalid", "redact[0]"},
		{"a collector with a field that there is not", collectors(post, "", `{"name":"cc","os":{"linux":"true"},"parser":{"format":"text"},"tiemout":1}`), 422, "unknown_field", "tiemout"},
		{"an operator who adds a collector", call{method: post, path: "/api/v1/collectors", as: "operator", body: `{"name":"cc","os":{"linux":"true"},"parser":{"format":"text"}}`}, 403, "forbidden", ""},
		{"a change of a built-in collector", collectors(patch, "/os", `{"description":"x"}`), 409, "built_in_collector", ""},
		{"a change of a collector that there is not", collectors(patch, "/weather", `{"description":"x"}`), 404, "not_found", ""},
		{"a built-in collector deleted", call{method: del, path: "/api/v1/collectors/os", as: "admin"}, 409, "built_in_collector", ""},
		{"a built-in collector tried", collectors(post, "/os/try", `{"host_id":"HOST"}`), 409, "built_in_collector", ""},
		{"a trial of a collection that is none", call{path: "/api/v1/collections/COLLECTION/trial", as: "admin"}, 404, "not_found", ""},

		{"a timetable that cannot be read", call{method: post, path: "/api/v1/schedules", as: "admin", body: `{"name":"s","cron":"sometimes","selector":"*"}`}, 422, "invalid_cron", "cron"},
		{"a time zone that there is not", call{method: post, path: "/api/v1/schedules", as: "admin", body: `{"name":"s","cron":"@daily","timezone":"Mars/Olympus","selector":"*"}`}, 422, "invalid", "timezone"},
		{"a jitter as long as the period", call{method: post, path: "/api/v1/schedules", as: "admin", body: `{"name":"s","cron":"@hourly","selector":"*","jitter_seconds":3600}`}, 422, "invalid", "jitter_seconds"},
		{"a blackout of no time", call{method: post, path: "/api/v1/schedules", as: "admin", body: `{"name":"s","cron":"@hourly","selector":"*","blackouts":[{"from":"22:00","to":"22:00"}]}`}, 422, "invalid", "blackouts[0].to"},
		{"a blackout that is both weekly and not", call{method: post, path: "/api/v1/schedules", as: "admin", body: `{"name":"s","cron":"@hourly","selector":"*","blackouts":[{"from":"22:00","to":"23:00"},{"from":"1:00","to":"23:00","ends_at":"2027-01-01T00:00:00Z"}]}`}, 422, "invalid", "blackouts[1]"},
		{"a type that is to be kept longer than reports are", call{method: put, path: "/api/v1/system/retention/packages", as: "admin", body: `{"days":9999}`}, 422, "invalid", "days"},
		{"a type that is not to be kept at all", call{method: put, path: "/api/v1/system/retention/packages", as: "admin", body: `{"days":0}`, invalid: true}, 422, "invalid", "days"},
		{"a retention of a type that there is not", call{method: put, path: "/api/v1/system/retention/weather", as: "admin", body: `{"days":7}`}, 404, "not_found", ""},
		{"a retention by an operator", call{method: put, path: "/api/v1/system/retention/packages", as: "operator", body: `{"days":7}`}, 403, "forbidden", ""},
		{"a retention for all hosts by who may see some", call{method: put, path: "/api/v1/system/retention/packages", as: "scoped", body: `{"days":7}`}, 403, "outside_scope", ""},
		{"the storage for who may see some hosts", call{path: "/api/v1/system/storage", as: "scoped"}, 403, "outside_scope", ""},
		{"a retention that was never set", call{method: del, path: "/api/v1/system/retention/packages", as: "admin"}, 404, "not_found", ""},
		{"a report that is no longer kept", read("/api/v1/reports/GONE"), 404, "no_longer_kept", ""},
		{"a host as of a time that is no longer kept", read("/api/v1/hosts/HOST/reports?as_of=1999-12-31T23:59:59Z"), 404, "no_longer_kept", ""},
		{"a query as of a time that is no longer kept", read("/api/v1/query?type=os&as_of=1999-12-31T23:59:59Z"), 404, "no_longer_kept", ""},
		{"an unknown schedule", read("/api/v1/schedules/UNKNOWN"), 404, "not_found", ""},
		{"a token without a name", call{method: post, path: "/api/v1/tokens", as: "viewer", body: `{}`, invalid: true}, 422, "required", "name"},
		{"a call that is still to come", read("/api/v1/webhooks"), 422, "not_supported_yet", ""},
	}, badHistories(), badAccounts())
}

// forged is an access token as somebody without the key would make it: {"alg":"none"}.
const forged = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0."

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := newBench(t, queueLimit(10)) // at which bulk work is refused, and normal work at twice as much
	b.waits(t, 10)
	ids := b.furnish(t)
	for _, bad := range badInputs() {
		t.Run(bad.what, func(t *testing.T) {
			t.Parallel()
			c := bad.call
			c.path, c.body = ids.Replace(c.path), ids.Replace(c.body)
			if c.body == large {
				c.body += strings.Repeat("x", 2_000_000) + `"}`
			}
			if c.as == "EXPIRED" {
				c.as = "Bearer " + b.expiredToken(t)
			}
			r := b.do(t, c)
			if r.status != bad.status || r.problem.Code != bad.code {
				t.Fatalf("answered %d %s, want %d %s: %s", r.status, r.problem.Code, bad.status, bad.code, r.body)
			}
			b.checkProblem(t, r, bad)
		})
	}
	t.Cleanup(func() {
		if strings.Contains(b.log.String(), `"level":"ERROR"`) {
			t.Errorf("a bad input is an error of ours in the log:\n%s", b.log.String())
		}
		if n := b.sql(t, "select count(*)::text from hosts"); n != "1" {
			t.Errorf("%s hosts are stored, want the one of before: something was half-stored", n)
		}
	})
}

// checkProblem holds a problem against RFC 9457 and our own promises.
func (b *bench) checkProblem(t *testing.T, r result, bad badInput) {
	t.Helper()
	p := r.problem
	if p.Type != "about:blank" || p.Title != http.StatusText(r.status) || p.Status != r.status || p.Detail == "" {
		t.Errorf("the problem is not whole: %s", r.body)
	}
	if p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		t.Errorf("request_id = %q, X-Request-Id = %q, want them equal", p.RequestID, r.header.Get("X-Request-Id"))
	}
	var fields []string
	for _, f := range p.Errors {
		fields = append(fields, f.Field)
		if f.Code == "" || f.Message == "" {
			t.Errorf("a bad field without a code or message: %s", r.body)
		}
	}
	if bad.field != "" && !slices.Contains(fields, bad.field) {
		t.Errorf("errors[] names %q, want %s: %s", fields, bad.field, r.body)
	}
	for _, value := range []string{"nonsense", "winrm", "kerberos", "weather", "Mars/Olympus", "-oProxyCommand", "xxxx", "perhaps", "yesterday"} {
		if strings.Contains(r.body, value) {
			t.Errorf("the problem echoes the value %s: %s", value, r.body)
		}
	}
	if r.status == http.StatusUnauthorized && r.header.Get("WWW-Authenticate") == "" {
		t.Error("a 401 without WWW-Authenticate")
	}
	if r.status == http.StatusMethodNotAllowed && r.header.Get("Allow") == "" {
		t.Error("a 405 without Allow")
	}
}

// furnish makes what the bad inputs are about and returns what stands for its IDs.
func (b *bench) furnish(t *testing.T) *strings.Replacer {
	t.Helper()
	credential := get[struct{ ID string }](t, b.do(t, call{
		method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"root","kind":"password","username":"root","password":"p"}`,
	}), http.StatusCreated).ID
	add := call{
		method: http.MethodPost, path: "/api/v1/hosts", as: "admin", header: http.Header{"Idempotency-Key": {"used"}},
		body: `{"name":"web-1","address":"192.0.2.1","credential_id":"` + credential + `"}`,
	}
	host := get[struct{ ID string }](t, b.do(t, add), http.StatusCreated).ID
	now := time.Now()
	report := b.learn(t, host, now, fleet.Finding{Type: "os", Facts: []byte(`{"name":"Debian"}`)})
	other := b.learn(t, host, now, fleet.Finding{Type: "memory", Facts: []byte(`{"total":1}`)})
	outdated := b.changes(t, "cursor=now", "viewer").Position
	b.sql(t, "update cluster set epoch = gen_random_uuid() returning epoch::text")
	position := b.changes(t, "cursor=now", "viewer").Position
	collection := get[struct{ ID string }](t, b.do(t, call{
		method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*"}`,
	}), http.StatusAccepted).ID
	old := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, part := range []store.Part{store.PartReports, store.PartFacts} {
		if err := b.db.RaiseFloor(t.Context(), part, "", old); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("GONE", fleet.NewIDAt(old.Add(-time.Second)).String(), "HOST", host, "CREDENTIAL", credential, "COLLECTION", collection, "UNKNOWN", fleet.NewID().String(),
		"REPORT", report.ID.String(), "OTHER", other.ID.String(), "OUTDATED", outdated, "POSITION", position)
}

// TestErrorsPage holds docs/errors.md against the table above and the codes of tasks; -update writes it anew.
func TestErrorsPage(t *testing.T) {
	t.Parallel()
	page := renderErrors()
	if *update {
		if err := os.WriteFile(errorsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(errorsPage)
	if err != nil || !bytes.Equal(written, page) {
		t.Errorf("docs/errors.md is out of date (%v); run go test ./api/internal/rest -run TestErrorsPage -update", err)
	}
}

func renderErrors() []byte {
	var page bytes.Buffer
	page.WriteString(errorsHead)
	for _, bad := range badInputs() {
		method := bad.call.method
		if method == "" {
			method = http.MethodGet
		}
		path, _, _ := strings.Cut(bad.call.path, "?")
		field := ""
		if bad.field != "" {
			field = "`" + bad.field + "`"
		}
		path = strings.NewReplacer("UNKNOWN", "{id}", "GONE", "{id}", "HOST", "{id}", "REPORT", "{id}", "CREDENTIAL", "{id}", "COLLECTION", "{id}").Replace(path)
		fmt.Fprintf(&page, "| %s | `%s %s` | %d | `%s` | %s |\n", bad.what, method, strings.TrimPrefix(path, "/api/v1"), bad.status, bad.code, field)
	}
	page.WriteString(taskCodesHead)
	for _, info := range fleet.Codes() {
		retry := map[fleet.RetryClass]string{fleet.RetryLater: "with back-off", fleet.RetryOnce: "once", fleet.RetryNever: "no"}[info.Retry]
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", info.Code, info.Meaning, info.Remedy, retry)
	}
	return page.Bytes()
}

const errorsHead = `# Errors

This page is written by a test: ` + "`go test ./api/internal/rest -run TestErrorsPage -update`" + `.

## Requests that are refused

Every refusal is a problem document (RFC 9457, ` + "`application/problem+json`" + `) with a stable ` + "`code`" + `, the bad fields in
` + "`errors[]`" + `, and the ` + "`request_id`" + ` under which the log has the details. It never echoes a value. What depends on others answers
503 with ` + "`Retry-After`" + `: ` + "`database_unavailable`" + ` while PostgreSQL does not answer, ` + "`session_store_unavailable`" + ` while Redis does not and
somebody asks with an access token; too many attempts answer 429, ` + "`rate_limited`" + `. New work that is not
interactive answers 429, ` + "`queue_full`" + `, with ` + "`Retry-After`" + ` while too many tasks wait: bulk work first (` + "`ROLLCALL_QUEUE_LIMIT`" + `).

| input | call | status | code | field |
|---|---|---|---|---|
`

const taskCodesHead = `
## Why a task failed

A host that could not be collected from has a task with one of these codes. What a code is about (the phase, the section, the
methods that were tried) is in the task's ` + "`details`" + `.

| code | what happened | what to do | tried again |
|---|---|---|---|
`

// expiredToken returns an API token of the admin whose time is over.
func (b *bench) expiredToken(t *testing.T) string {
	t.Helper()
	u := b.users["admin"]
	actor := fleet.Actor{Kind: fleet.ActorUser, ID: u.ID, UserID: &u.ID, Name: u.Username, Role: u.Role}
	later := time.Now().Add(time.Hour)
	created, plain, err := b.accounts.CreateToken(t.Context(), actor, "expired", &later)
	if err != nil {
		t.Fatal(err)
	}
	b.sql(t, "update api_tokens set expires_at = now() - interval '1 minute' where id = $1 returning id::text", created.ID)
	return plain
}
