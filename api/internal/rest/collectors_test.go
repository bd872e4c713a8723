package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestACustomCollectorFromItsFirstVersionToItsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const path = "/api/v1/collectors/sample"
	body := `{"name":"sample","description":"one","os":{"linux":"echo a=1","debian":"echo a=2"},"parser":{"format":"kv"},
		"schema":{"properties":{"a":{"type":"integer","maximum":1000}}},"fixtures":[{"name":"f","stdout":"a=1","expect":{"facts":{"a":1}}}]}`
	created := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors", as: "admin", body: body, header: http.Header{"Idempotency-Key": {"once"}}})
	one := get[wire.Collector](t, created, http.StatusCreated)
	if created.header.Get("Location") != path || created.header.Get("ETag") != `"1"` || one.Version != 1 || one.BuiltIn || one.Definition == nil {
		t.Errorf("created %v as %+v", created.header, one)
	}
	again := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors", as: "admin", body: body, header: http.Header{"Idempotency-Key": {"once"}}})
	if again.status != http.StatusCreated || again.header.Get("Idempotency-Replayed") == "" {
		t.Errorf("the same request again = %d %s", again.status, again.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors", as: "admin", body: body}); r.status != http.StatusConflict || r.problem.Code != "name_taken" {
		t.Errorf("the name again = %d %s", r.status, r.body)
	}

	changed := b.do(t, call{
		method: http.MethodPatch, path: path, as: "admin", media: "application/merge-patch+json",
		body: `{"description":null,"os":{"debian":null}}`, header: http.Header{"If-Match": {`"1"`}},
	})
	two := get[wire.Collector](t, changed, http.StatusOK)
	if changed.header.Get("ETag") != `"2"` || two.Version != 2 || two.Description != "" || len(two.Systems) != 1 || len(two.Definition.Fixtures) != 1 {
		t.Errorf("changed into %+v", two)
	}
	if r := b.do(t, call{method: http.MethodPatch, path: path, as: "admin", body: `{"keys":[]}`, header: http.Header{"If-Match": {`"1"`}}}); r.status != http.StatusPreconditionFailed {
		t.Errorf("changing the first version = %d %s", r.status, r.body)
	}
	replaced := b.do(t, call{method: http.MethodPut, path: path, as: "admin", body: strings.Replace(body, `"one"`, `"three"`, 1)})
	if three := get[wire.Collector](t, replaced, http.StatusOK); three.Version != 3 || three.Description != "three" || len(three.Systems) != 2 {
		t.Errorf("replaced by %+v", three)
	}
	if r := b.do(t, call{method: http.MethodPut, path: path, as: "admin", body: strings.Replace(body, `"sample"`, `"simple"`, 1)}); r.status != http.StatusUnprocessableEntity {
		t.Errorf("another name = %d %s", r.status, r.body)
	}
	first := get[wire.Collector](t, b.do(t, call{path: path + "?version=1", as: "viewer"}), http.StatusOK)
	if first.Version != 1 || first.Description != "one" || first.Definition.OS["debian"] != "echo a=2" {
		t.Errorf("the first version is %+v", first)
	}
	listed := get[wire.List[wire.Collector]](t, b.do(t, call{path: "/api/v1/collectors", as: "viewer"}), http.StatusOK).Items
	if last := listed[len(listed)-1]; last.Name != "sample" || last.Version != 3 || last.Definition != nil {
		t.Errorf("in the list it is %+v", last)
	}

	b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	asked := get[wire.Collection](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*","report_types":["os","sample"]}`}), http.StatusAccepted)
	if strings.Join(asked.ReportTypes, " ") != "os sample" {
		t.Errorf("asked for %v", asked.ReportTypes)
	}
	preview := get[wire.Preview](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*","report_types":["sample"],"dry_run":true}`}), http.StatusOK)
	if !strings.Contains(preview.Script, "echo a=1") {
		t.Error("the preview does not show the script")
	}
	for _, read := range []string{"/api/v1/query?type=sample", "/api/v1/changes?type=sample", "/api/v1/reports?type=sample"} {
		if r := b.do(t, call{path: read, as: "viewer"}); r.status != http.StatusOK {
			t.Errorf("%s = %d %s", read, r.status, r.body)
		}
	}
	nightly := get[wire.Schedule](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/schedules", as: "admin", body: `{"name":"nightly","cron":"@daily","selector":"*","report_types":["sample"]}`}), http.StatusCreated)
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin"}); r.problem.Code != "collector_in_use" {
		t.Errorf("deleting what a schedule asks for = %d %s", r.status, r.body)
	}
	b.do(t, call{method: http.MethodDelete, path: "/api/v1/schedules/" + nightly.ID.String(), as: "admin"})
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{path: "/api/v1/reports?type=sample", as: "viewer"}); r.status != http.StatusOK {
		t.Errorf("its reports then = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/collections", as: "operator", body: `{"selector":"*","report_types":["sample"]}`}); r.problem.Code != "unknown_report_type" {
		t.Errorf("collecting it then = %d %s", r.status, r.body)
	}
}

func TestTryingACollector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	host := b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	draft := `{"host_id":"` + host + `","definition":{"name":"draft","os":{"linux":"echo a=1"},"parser":{"format":"kv"}}}`
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors/draft/try", as: "operator", body: draft}); r.status != http.StatusForbidden {
		t.Errorf("an operator tries = %d %s", r.status, r.body)
	}
	tried := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors/draft/try", as: "admin", body: draft})
	c := get[wire.Collection](t, tried, http.StatusAccepted)
	if c.Kind != "try" || c.Counts.Total != 1 || tried.header.Get("Location") != "/api/v1/collections/"+c.ID.String() {
		t.Errorf("the collection is %+v at %s", c, tried.header.Get("Location"))
	}
	path := "/api/v1/collections/" + c.ID.String() + "/trial"
	if trial := get[wire.Trial](t, b.do(t, call{path: path, as: "admin"}), http.StatusOK); trial.Result != nil || trial.Collector != "draft" || trial.Version != 0 {
		t.Errorf("the trial is %+v", trial)
	}
	if r := b.do(t, call{path: path, as: "viewer"}); r.status != http.StatusForbidden {
		t.Errorf("a viewer reads it = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/collectors/other/try", as: "admin", body: draft}); r.status != http.StatusUnprocessableEntity {
		t.Errorf("a draft by another name = %d %s", r.status, r.body)
	}
}
