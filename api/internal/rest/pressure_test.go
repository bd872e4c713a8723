package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/api/internal/rest"
	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// queueLimit makes a bench refuse bulk work when so many tasks wait.
func queueLimit(n int) func(*rest.Config) {
	return func(c *rest.Config) {
		limited := c.Collections.Config
		limited.QueueLimit = n
		c.Collections = collection.New(limited)
	}
}

// waits stores n tasks that wait, of hosts of their own.
func (b *bench) waits(t *testing.T, n int) {
	t.Helper()
	b.sql(t, `with added as (
			insert into tasks (id, collection_id, created_at, host_id, site, priority, expires_at)
			select gen_random_uuid(), gen_random_uuid(), now(), gen_random_uuid(), 'default', 'bulk', now() + interval '1 day' from generate_series(1, $1::int)
			returning id
		) select count(*)::text from added`, n)
}

func TestAFullQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, queueLimit(2))
	for _, name := range []string{"web-1", "web-2"} {
		get[wire.Host](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/hosts", as: "admin", body: `{"name":"` + name + `","address":"192.0.2.1"}`}), http.StatusCreated)
	}
	ask := func(priority, more string) result {
		t.Helper()
		return b.do(t, call{
			method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*","priority":"` + priority + `"` + more + `}`,
			header: http.Header{"Idempotency-Key": {priority + more}},
		})
	}
	refused := func(r result) {
		t.Helper()
		if r.status != http.StatusTooManyRequests || r.problem.Code != "queue_full" || r.header.Get("Retry-After") != "30" {
			t.Errorf("answered %d %v %s, want 429 queue_full with Retry-After: 30", r.status, r.header, r.body)
		}
	}
	first := get[wire.Collection](t, ask("bulk", `,"report_types":["os"]`), http.StatusAccepted) // 2 wait
	r := ask("bulk", "")
	refused(r)
	if !strings.Contains(r.problem.Detail, "2 tasks") {
		t.Errorf("it says %q, want how many wait", r.problem.Detail)
	}
	get[wire.Preview](t, ask("bulk", `,"dry_run":true`), http.StatusOK)
	get[wire.Collection](t, ask("normal", ""), http.StatusAccepted) // 4 wait
	refused(ask("normal", `,"report_types":["os"]`))
	refused(ask("bulk", ""))
	get[wire.Collection](t, ask("interactive", ""), http.StatusAccepted)
	if got := get[wire.Collection](t, ask("bulk", `,"report_types":["os"]`), http.StatusAccepted); got.ID != first.ID {
		t.Errorf("the first request again made %s, want the answer of then: it asks for nothing new", got.ID)
	}
	if n := b.sql(t, "select count(*)::text from collections"); n != "3" {
		t.Errorf("%s collections are stored, want 3", n)
	}
}
