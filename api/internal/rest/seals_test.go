package rest_test

import (
	"net/http"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestResealing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	made := b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"fleet","kind":"password","username":"root","password":"open sesame"}`})
	credential := get[wire.Credential](t, made, http.StatusCreated)
	for _, path := range []string{"/api/v1/credentials/seals", "/api/v1/collections/" + credential.ID.String() + "/reseals"} {
		if r := b.do(t, call{path: path, as: "operator"}); r.status != http.StatusForbidden {
			t.Errorf("an operator reads %s = %d %s", path, r.status, r.body)
		}
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials/reseal", as: "operator"}); r.status != http.StatusForbidden {
		t.Errorf("an operator reseals = %d %s", r.status, r.body)
	}
	seals := get[wire.List[wire.SealCount]](t, b.do(t, call{path: "/api/v1/credentials/seals", as: "admin"}), http.StatusOK)
	if len(seals.Items) != 1 || !seals.Items[0].Current || seals.Items[0].Seals != 1 || seals.Items[0].Site != "default" {
		t.Fatalf("the seals are %+v", seals.Items)
	}
	nothing := get[wire.Collection](t, b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials/reseal", as: "admin"}), http.StatusAccepted)
	if nothing.Kind != "reseal" || nothing.State != "succeeded" || nothing.Counts.Total != 0 {
		t.Errorf("with nothing to do, it is %+v", nothing)
	}

	b.exec(t, "update credential_seals set key_id = 'former'")
	if seals := get[wire.List[wire.SealCount]](t, b.do(t, call{path: "/api/v1/credentials/seals", as: "admin"}), http.StatusOK); len(seals.Items) != 1 || seals.Items[0].Current {
		t.Errorf("the seals are %+v", seals.Items)
	}
	asked := b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials/reseal", as: "admin", body: `{"sites":["default"]}`})
	c := get[wire.Collection](t, asked, http.StatusAccepted)
	if c.Counts.Total != 1 || c.Counts.Queued != 1 || c.State != "pending" || asked.header.Get("Location") != "/api/v1/collections/"+c.ID.String() {
		t.Errorf("the collection is %+v at %s", c, asked.header.Get("Location"))
	}
	path := "/api/v1/collections/" + c.ID.String()
	parts := get[wire.List[wire.Reseal]](t, b.do(t, call{path: path + "/reseals?state=queued", as: "admin"}), http.StatusOK)
	if len(parts.Items) != 1 || parts.Items[0].CredentialID != credential.ID || parts.Items[0].FromKey != "former" || parts.Items[0].State != "queued" {
		t.Errorf("its parts are %+v", parts.Items)
	}
	if r := b.do(t, call{method: http.MethodPost, path: path + "/retry", as: "admin"}); r.problem.Code != "not_retried" {
		t.Errorf("retrying it = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: path + "/cancel", as: "operator"}); r.status != http.StatusForbidden {
		t.Errorf("an operator cancels it = %d %s", r.status, r.body)
	}
	if r := b.do(t, call{method: http.MethodPost, path: path + "/cancel", as: "admin"}); r.status != http.StatusOK && r.status != http.StatusAccepted {
		t.Errorf("cancelling it = %d %s", r.status, r.body)
	}
	if c := get[wire.Collection](t, b.do(t, call{path: path, as: "viewer"}), http.StatusOK); c.State != "cancelled" || c.Errors["cancelled"] != 1 {
		t.Errorf("cancelled, it is %+v", c)
	}
	if r := b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials/reseal", as: "admin", body: `{"sites":["mars"]}`}); r.status != http.StatusUnprocessableEntity {
		t.Errorf("resealing for a site without a key = %d %s", r.status, r.body)
	}
}
