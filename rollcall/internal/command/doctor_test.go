package command_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// attended is a server that is well, asked by an actor, and what it answers when it is to look at its deployment.
func attended(t *testing.T, actor string, status int, diagnosis string) user {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			answer(w, 200, `{"status":"ok","checks":{"database":{"status":"ok","latency_ms":1}}}`)
		case "/openapi.json":
			answer(w, 200, `{"info":{"version":"test"}}`)
		case "/api/v1/auth/me":
			answer(w, 200, `{"name":"ann",`+actor+`}`)
		case "/api/v1/system/doctor":
			answer(w, status, diagnosis)
		default:
			t.Errorf("it asks for %s", r.URL.Path)
		}
	})
}

func TestWhatTheDoctorIsToldByTheServer(t *testing.T) {
	t.Parallel()
	const (
		admin = `"role":"admin","selector":null`
		fine  = `{"name":"clocks","status":"ok","detail":"The clocks agree to 1ms."}`
		slow  = `{"name":"queues","status":"warning","detail":"7 tasks wait.","cure":"Start more workers."}`
		dead  = `{"name":"workers","status":"failed","detail":"No worker is alive.","cure":"Start a worker."}`
	)
	tests := []struct {
		name   string
		actor  string
		status int
		answer string
		exit   int
		want   []string
		json   string // the status it has as JSON
		checks int
	}{
		{"all is well", admin, 200, `{"status":"ok","checks":[` + fine + `]}`, 0, []string{"ok      The clocks agree to 1ms.", "All is well."}, "ok", 1},
		{
			"a warning", admin, 200, `{"status":"warning","checks":[` + fine + "," + slow + `]}`, 3,
			[]string{"warning 7 tasks wait. Start more workers.", "it works, with warnings: 1"},
			"warning", 2,
		},
		{
			"a failure counts more than a warning", admin, 200, `{"status":"failed","checks":[` + slow + "," + dead + `]}`, 1,
			[]string{"warning 7 tasks", "PROBLEM No worker is alive. Start a worker.", "problems that need attention: 1"},
			"failed", 2,
		},
		{"a server without the call", admin, 404, `{"status":404,"detail":"nothing here","code":"no_such_route"}`, 0, []string{"note    The server is too old", "All is well."}, "ok", 1},
		{"a server that cannot", admin, 500, `{"status":500,"detail":"Something went wrong.","code":"internal"}`, 1, []string{"PROBLEM The server cannot look"}, "failed", 1},
		{"an operator", `"role":"operator","selector":null`, 500, "", 0, []string{"note    Only an admin", "All is well."}, "ok", 1},
		{"an admin of some hosts", `"role":"admin","selector":"env=test"`, 500, "", 0, []string{"note    Only an admin"}, "ok", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := attended(t, tt.actor, tt.status, tt.answer)
			base := u.run(t.Context(), "", "doctor").must(t, tt.exit, tt.want...)
			text := u.run(t.Context(), "", "doctor", "-o", "json").must(t, tt.exit).stdout
			var d wire.Diagnosis
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%v in %s; without -o json it prints %s", err, text, base.stdout)
			}
			const local = 6 // address, server, database, version, clock and actor
			if d.Status != tt.json || len(d.Checks) != local+tt.checks || d.Timestamp.IsZero() {
				t.Errorf("as JSON it is %s with %d checks, want %s with %d: %s", d.Status, len(d.Checks), tt.json, local+tt.checks, text)
			}
			for _, f := range d.Checks {
				if f.Status != "ok" && f.Status != "warning" && f.Status != "failed" || f.Name == "" || f.Detail == "" {
					t.Errorf("a check is %+v", f)
				}
			}
		})
	}
}

// doctor looks at the real thing, whose database is a test's own: without fsync, which is a warning, and perhaps with
// the connections of other tests.
func (r road) doctor() {
	got := r.rc("doctor")
	if got.status != 0 && got.status != 3 {
		r.t.Errorf("doctor ended with %d, want 0 or 3: %s%s", got.status, got.stdout, got.stderr)
	}
	got.must(r.t, got.status, "database is ok", "You are admin", "The schema is at migration", "1 worker with 200 slots", "No task is stuck",
		"The partitions of this month", "The clocks of the api and the database agree", "files open")
}
