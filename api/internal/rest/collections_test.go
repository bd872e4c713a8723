package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func (b *bench) collect(t *testing.T, body string) wire.Collection {
	t.Helper()
	r := b.do(t, call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: body})
	c := get[wire.Collection](t, r, http.StatusAccepted)
	if want := "/api/v1/collections/" + c.ID.String(); r.header.Get("Location") != want {
		t.Errorf("Location = %q, want %s", r.header.Get("Location"), want)
	}
	return c
}

func TestACollectionFromRequestToReport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	host := b.host(t, `{"name":"web-1","address":"192.0.2.1","labels":{"env":"prod"}}`)
	b.host(t, `{"name":"web-2","address":"192.0.2.2","enabled":false}`)

	preview := get[wire.Preview](t, b.do(t, call{
		method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*","report_types":["os"],"dry_run":true}`,
	}), http.StatusOK)
	if preview.Total != 1 || len(preview.Hosts) != 1 || preview.Hosts[0].Name != "web-1" || len(preview.Skipped) != 1 || !strings.Contains(preview.Script, "BEGIN") {
		t.Errorf("the dry run = %+v", preview)
	}
	if n := b.sql(t, "select count(*)::text from collections"); n != "0" {
		t.Fatalf("a dry run has stored %s collections", n)
	}

	c := b.collect(t, `{"selector":"*","report_types":["os"],"deadline_seconds":30,"priority":null,"max_parallel":7}`)
	if c.MaxParallel == nil || *c.MaxParallel != 7 {
		t.Errorf("the collection has the bound %v, want 7", c.MaxParallel)
	}
	if c.State != "pending" || c.Counts.Total != 1 || c.Counts.Queued != 1 || c.Delayed || c.DeadlineSeconds != 30 || len(c.Skipped) != 1 {
		t.Errorf("the collection = %+v", c)
	}
	b.work(t, c.ID, `{"name":"Debian"}`)
	ended := get[wire.Collection](t, b.do(t, call{path: "/api/v1/collections/" + c.ID.String(), as: "viewer"}), http.StatusOK)
	if ended.State != "succeeded" || ended.Counts.Succeeded != 1 || ended.FinishedAt == nil && ended.StartedAt == nil ||
		ended.MaxParallel == nil || *ended.MaxParallel != 7 {
		t.Errorf("the collection has ended as %+v", ended)
	}
	tasks := get[wire.List[wire.Task]](t, b.do(t, call{path: "/api/v1/collections/" + c.ID.String() + "/tasks?state=succeeded", as: "viewer"}), http.StatusOK)
	if len(tasks.Items) != 1 || tasks.Items[0].Host != "web-1" || tasks.Items[0].Code != nil {
		t.Errorf("the tasks = %+v", tasks)
	}
	b.checkReports(t, host)
	if h := get[wire.Host](t, b.do(t, call{path: "/api/v1/hosts/" + host, as: "viewer"}), http.StatusOK); h.Status == nil || *h.Status.State != "succeeded" {
		t.Errorf("the host's status = %+v, want succeeded", h.Status)
	}
	if list := get[wire.List[wire.Collection]](t, b.do(t, call{path: "/api/v1/collections", as: "scoped"}), http.StatusOK); len(list.Items) != 0 {
		t.Errorf("somebody who sees none of its hosts sees %d collections", len(list.Items))
	}
}

// checkReports reads the one report of the host in every way there is.
func (b *bench) checkReports(t *testing.T, host string) {
	t.Helper()
	latest := b.do(t, call{path: "/api/v1/hosts/" + host + "/reports/os", as: "viewer"})
	report := get[wire.Report](t, latest, http.StatusOK)
	if report.Host != "web-1" || report.Type != "os" || report.Status != "ok" || string(report.Facts) != `{"name":"Debian"}` &&
		string(report.Facts) != `{"name": "Debian"}` || len(report.ContentHash) != 64 {
		t.Errorf("the report = %+v %s", report, report.Facts)
	}
	for _, path := range []string{
		"/api/v1/reports/" + report.ID.String(), "/api/v1/reports", "/api/v1/hosts/" + host + "/reports", "/api/v1/hosts/" + host + "/reports/os",
		"/api/v1/reports?host_id=" + host + "&type=os&since=2020-01-01T00:00:00Z",
	} {
		first := b.do(t, call{path: path, as: "viewer"})
		if !strings.Contains(first.body, report.ID.String()) {
			t.Errorf("%s = %d %s, want the report in it", path, first.status, first.body)
		}
		tag := first.header.Get("ETag")
		again := b.do(t, call{path: path, as: "viewer", header: http.Header{"If-None-Match": {`"x", ` + tag}}})
		if tag == "" || strings.HasPrefix(tag, "W/") || again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != tag {
			t.Errorf("%s with its ETag %s = %d %q, want 304 without a body", path, tag, again.status, again.body)
		}
		if other := b.do(t, call{path: path, as: "viewer", header: http.Header{"If-None-Match": {`"x"`}}}); other.status != http.StatusOK {
			t.Errorf("%s with another ETag = %d, want 200", path, other.status)
		}
		if strings.Contains(path, "host_id") {
			continue
		}
		if unseen := b.do(t, call{path: path, as: "scoped"}); strings.Contains(unseen.body, report.ID.String()) {
			t.Errorf("%s shows the report to somebody who may not see its host", path)
		}
	}
	if early := b.do(t, call{path: "/api/v1/reports?until=2020-01-01T00:00:00Z", as: "viewer"}); !strings.Contains(early.body, `"items":[]`) {
		t.Errorf("reports until 2020 = %s, want none", early.body)
	}
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	c := b.collect(t, `{"selector":"*"}`)
	path := "/api/v1/collections/" + c.ID.String()
	cancelled := get[wire.Collection](t, b.do(t, call{method: http.MethodPost, path: path + "/cancel", as: "operator"}), http.StatusAccepted)
	if cancelled.State != "cancelled" || cancelled.Counts.Cancelled != 1 {
		t.Errorf("cancelled = %+v", cancelled)
	}
	if r := b.do(t, call{method: http.MethodPost, path: path + "/cancel", as: "operator"}); r.status != http.StatusConflict || r.problem.Code != "ended" {
		t.Errorf("cancelling it again = %d %s, want 409 ended", r.status, r.body)
	}
	r := b.do(t, call{method: http.MethodPost, path: path + "/retry", as: "operator", body: `{"states":["cancelled"]}`})
	if again := get[wire.Collection](t, r, http.StatusAccepted); again.ID == c.ID || again.Counts.Total != 1 {
		t.Errorf("the retry = %+v, want another collection of one host", again)
	}
	if r := b.do(t, call{method: http.MethodPost, path: path + "/cancel", as: "viewer"}); r.status != http.StatusForbidden {
		t.Errorf("a viewer who cancels = %d, want 403", r.status)
	}
}

func TestACollectionIsAcceptedWhileTheQueueIsDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	b.redis.Close()
	if c := b.collect(t, `{"selector":"*"}`); !c.Delayed {
		t.Errorf("the collection = %+v, want it delayed", c)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	r := b.do(t, call{method: http.MethodPost, path: "/api/v1/schedules", as: "admin", body: `{"name":"nightly","cron":"0 3 * * *","selector":"*","report_types":["os"]}`})
	s := get[wire.Schedule](t, r, http.StatusCreated)
	path := "/api/v1/schedules/" + s.ID.String()
	if r.header.Get("Location") != path || s.Timezone != "UTC" || s.Priority != "bulk" || s.Overlap != "skip" || !s.Enabled || s.NextAt == nil {
		t.Errorf("the schedule = %+v", s)
	}
	changed := b.do(t, call{
		method: http.MethodPatch, path: path, as: "admin", body: `{"cron":"@every 1h","enabled":false,"report_types":null}`, media: "application/merge-patch+json",
		header: http.Header{"If-Match": {r.header.Get("ETag")}},
	})
	after := get[wire.Schedule](t, changed, http.StatusOK)
	if after.Cron != "@every 1h" || after.Enabled || len(after.ReportTypes) != len(collector.Builtin()) || after.Name != "nightly" || after.Version != s.Version+1 {
		t.Errorf("PATCH = %+v", after)
	}
	if r := b.do(t, call{method: http.MethodPatch, path: path, as: "admin", body: `{"cron":"@daily"}`, header: http.Header{"If-Match": {r.header.Get("ETag")}}}); r.status != http.StatusPreconditionFailed {
		t.Errorf("PATCH of the old version = %d %s, want 412", r.status, r.body)
	}
	if next := get[wire.List[wire.Moment]](t, b.do(t, call{path: path + "/next?n=3", as: "viewer"}), http.StatusOK); len(next.Items) != 3 {
		t.Errorf("next = %+v, want 3 moments", next)
	}
	if ran := get[wire.Collection](t, b.do(t, call{method: http.MethodPost, path: path + "/run", as: "operator"}), http.StatusAccepted); ran.Counts.Total != 1 {
		t.Errorf("run = %+v, want a collection of one host", ran)
	}
	b.do(t, call{path: path + "/firings", as: "viewer"})
	if list := get[wire.List[wire.Schedule]](t, b.do(t, call{path: "/api/v1/schedules", as: "viewer"}), http.StatusOK); len(list.Items) != 1 {
		t.Errorf("the list = %+v, want one", list)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", r.status, r.body)
	}
}

func TestCollectors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	list := get[wire.List[wire.Collector]](t, b.do(t, call{path: "/api/v1/collectors", as: "viewer"}), http.StatusOK)
	var names []string
	for _, c := range list.Items {
		names = append(names, c.Name)
		one := get[wire.Collector](t, b.do(t, call{path: "/api/v1/collectors/" + c.Name, as: "viewer"}), http.StatusOK)
		var schema struct {
			Title      string
			Properties map[string]struct {
				Properties map[string]struct {
					Class string `json:"x-class"`
				}
			}
		}
		if err := json.Unmarshal(one.Schema, &schema); err != nil || schema.Title != c.Name || len(schema.Properties["facts"].Properties) == 0 {
			t.Errorf("the schema of %s is %s, %v", c.Name, one.Schema, err)
		}
		for name, field := range schema.Properties["metrics"].Properties {
			if field.Class != collector.ClassVolatile {
				t.Errorf("%s of %s is %s, and a metric", name, c.Name, field.Class)
			}
		}
		one.Schema = nil
		if diff := cmp.Diff(c, one); diff != "" {
			t.Errorf("one is not what is in the list (-list +one)\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"os", "cpu", "memory", "disks", "network", "packages", "services", "users", "ports"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	key := http.Header{"Idempotency-Key": {"once"}}
	post := call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*"}`, header: key}
	first, second := b.do(t, post), b.do(t, post)
	if first.status != http.StatusAccepted || second.status != first.status || second.body != first.body ||
		second.header.Get("Location") != first.header.Get("Location") || second.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("first %d %v %s\nsecond %d %v %s\nwant the same answer", first.status, first.header, first.body, second.status, second.header, second.body)
	}
	if n := b.sql(t, "select count(*)::text from collections"); n != "1" {
		t.Errorf("%s collections are stored, want 1", n)
	}
	other := post
	other.as = "admin"
	if r := b.do(t, other); r.header.Get("Idempotency-Replayed") != "" {
		t.Error("somebody else's key was taken for one's own")
	}
	refused := call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"env=x"}`, header: http.Header{"Idempotency-Key": {"again"}}}
	for range 2 {
		if r := b.do(t, refused); r.problem.Code != "no_hosts" {
			t.Errorf("a refused request = %d %s, want no_hosts each time", r.status, r.body)
		}
	}
	secret := call{method: http.MethodPost, path: "/api/v1/hosts", as: "viewer", body: `{"name":"x"}`, header: http.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}}
	if r := b.do(t, secret); r.problem.Code != "invalid" || len(r.problem.Errors) != 1 || r.problem.Errors[0].Field != "Idempotency-Key" {
		t.Errorf("a key of 256 characters = %d %s, want it refused", r.status, r.body)
	}
	b.sql(t, "update idempotency_keys set status = null, location = null where key = 'once' and actor_id = (select actor_id from idempotency_keys where key = 'once' order by created_at limit 1) returning key")
	if r := b.do(t, post); r.status != http.StatusConflict || r.problem.Code != "idempotency_in_progress" {
		t.Errorf("while the first is under way = %d %s, want 409", r.status, r.body)
	}
}

// TestWhatWasDoneAndNotAnsweredIsNotDoneAgain loses what the first request was answered, as a process does that is killed
// between its commit and its answer.
func TestWhatWasDoneAndNotAnsweredIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	b.exec(t, "alter table idempotency_keys add constraint unanswered check (status is null)")
	key := http.Header{"Idempotency-Key": {"once"}}
	post := call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*"}`, header: key}
	first := get[wire.Collection](t, b.do(t, post), http.StatusAccepted)
	r := b.do(t, post)
	if again := get[wire.Collection](t, r, http.StatusAccepted); again.ID != first.ID || r.header.Get("Idempotency-Replayed") != "true" ||
		r.header.Get("Location") != "/api/v1/collections/"+first.ID.String() {
		t.Errorf("a second time = %v %s, want collection %s", r.header, r.body, first.ID)
	}
	host := call{method: http.MethodPost, path: "/api/v1/hosts", as: "admin", body: `{"name":"web-2","address":"192.0.2.1"}`, header: key}
	made := get[wire.Host](t, b.do(t, host), http.StatusCreated)
	if r := b.do(t, host); r.status != http.StatusConflict || r.problem.Code != "idempotency_answer_not_kept" || !strings.Contains(r.body, made.ID.String()) {
		t.Errorf("another resource a second time = %d %s, want 409 with its ID", r.status, r.body)
	}
	if n := b.sql(t, "select count(*)::text from collections"); n != "1" {
		t.Errorf("%s collections are stored, want 1", n)
	}
}

func TestALargeBodyWithAKeyIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.do(t, call{
		method: http.MethodPost, path: "/api/v1/hosts", as: "admin", body: fmt.Sprintf(`{"name":"%s"}`, strings.Repeat("x", 2_000_000)),
		header: http.Header{"Idempotency-Key": {"large"}},
	})
	if r.status != http.StatusRequestEntityTooLarge || r.problem.Code != "too_large" {
		t.Errorf("answered %d %s, want 413 too_large", r.status, r.body)
	}
}
