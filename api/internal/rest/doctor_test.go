package rest_test

import (
	"net/http"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestTheDoctorIsForAdminsOfEverything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	look := call{path: "/api/v1/system/doctor", as: "admin"}
	d := get[wire.Diagnosis](t, b.do(t, look), http.StatusOK)
	found := map[string]wire.Finding{}
	for _, f := range d.Checks {
		found[f.Name] = f
	}
	if d.Status != "failed" || found["workers"].Status != "failed" || found["workers"].Cure == "" || d.Timestamp.IsZero() {
		t.Errorf("the diagnosis = %+v, want it failed for want of a worker, with the cure", d)
	}
	if found["migrations"].Status != "ok" || found["redis_persistence"].Status != "warning" {
		t.Errorf("the diagnosis = %+v, want the schema to be well and the in-process Redis a warning", d)
	}
	b.redis.Close()
	d = get[wire.Diagnosis](t, b.do(t, look), http.StatusOK)
	for _, f := range d.Checks {
		if f.Name == "redis" && (f.Status != "failed" || f.Cure == "") || f.Name == "migrations" && f.Status != "ok" {
			t.Errorf("without Redis: %+v", f)
		}
	}
	for as, status := range map[string]int{"": http.StatusUnauthorized, "viewer": http.StatusForbidden, "operator": http.StatusForbidden, "scoped": http.StatusForbidden} {
		look.as = as
		if r := b.do(t, look); r.status != status {
			t.Errorf("%q is answered %d %s, want %d", as, r.status, r.body, status)
		}
	}
}
