package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func ids(hosts []wire.Host) []string {
	names := []string{}
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

func TestHostsAreAddedReadAndRetired(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	created := b.do(t, call{
		method: http.MethodPost, path: "/api/v1/hosts", as: "admin",
		body: `{"name":"web-1","address":"192.0.2.1","port":null,"labels":{"env":"test"},"jump_host_id":null,"ssh":{"become":"none","algorithms":null},"enabled":false}`,
	})
	h := get[wire.Host](t, created, http.StatusCreated)
	path := "/api/v1/hosts/" + h.ID.String()
	if created.header.Get("Location") != path || created.header.Get("ETag") != `"1"` {
		t.Errorf("Location = %q, ETag = %q, want %s and \"1\"", created.header.Get("Location"), created.header.Get("ETag"), path)
	}
	if h.Port != 22 || h.Site != "default" || h.Enabled || h.SSH.KeepaliveSeconds != 15 || h.Labels["env"] != "test" {
		t.Errorf("the host is %+v, want its defaults spelled out", h)
	}
	read := b.do(t, call{path: path, as: "viewer"})
	if diff := cmp.Diff(h, get[wire.Host](t, read, http.StatusOK)); diff != "" {
		t.Errorf("reading it (-created +read)\n%s", diff)
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin", header: http.Header{"If-Match": {`"1"`}}}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", r.status, r.body)
	}
	if r := b.do(t, call{path: path, as: "viewer"}); r.status != http.StatusNotFound {
		t.Errorf("reading a retired host = %d, want 404", r.status)
	}
}

func TestMergePatchOfAHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	credential := get[wire.Credential](t, b.do(t, call{
		method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"root","kind":"password","username":"root","password":"p"}`,
	}), http.StatusCreated).ID.String()
	for i, tt := range []struct {
		name   string
		patch  string
		media  string
		change func(*wire.Host)
	}{
		{"a field that is given changes", `{"port":2222}`, "application/merge-patch+json", func(h *wire.Host) { h.Port = 2222 }},
		{"null returns to the default", `{"port":null,"ssh":{"keepalive_seconds":null}}`, "application/json", func(h *wire.Host) {
			h.Port, h.SSH.KeepaliveSeconds = 22, 15
		}},
		{"labels are merged", `{"labels":{"env":null,"role":"web"}}`, "application/merge-patch+json", func(h *wire.Host) {
			h.Labels = map[string]string{"tier": "1", "role": "web"}
		}},
		{"a credential is taken away", `{"credential_id":null}`, "application/merge-patch+json", func(h *wire.Host) { h.CredentialID = nil }},
		{"an empty patch changes nothing", `{}`, "application/merge-patch+json", func(h *wire.Host) { h.Version-- }},
		{"disabling is a change", `{"enabled":false}`, "application/merge-patch+json", func(h *wire.Host) { h.Enabled, h.Status.Freshness = false, "disabled" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id := b.host(t, fmt.Sprintf(
				`{"name":"web-%d","address":"192.0.2.1","port":2200,"labels":{"env":"a","tier":"1"},"credential_id":%q,"ssh":{"keepalive_seconds":3}}`, i, credential))
			want := get[wire.Host](t, b.do(t, call{path: "/api/v1/hosts/" + id, as: "viewer"}), http.StatusOK)
			r := b.do(t, call{method: http.MethodPatch, path: "/api/v1/hosts/" + id, as: "admin", body: tt.patch, media: tt.media, header: http.Header{"If-Match": {`"1"`}}})
			got := get[wire.Host](t, r, http.StatusOK)
			want.Version++
			tt.change(&want)
			want.UpdatedAt, want.Status.Since = got.UpdatedAt, got.Status.Since
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if etag := fmt.Sprintf(`"%d"`, got.Version); r.header.Get("ETag") != etag {
				t.Errorf("ETag = %s, want %s", r.header.Get("ETag"), etag)
			}
		})
	}
}

func TestListsAreReadByCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var file strings.Builder
	for i := range 25 {
		fmt.Fprintf(&file, `{"name":"web-%02d","address":"192.0.2.1","labels":{"env":"%s"}}`+"\n", i, []string{"prod", "test"}[i%2])
	}
	b.do(t, call{method: http.MethodPost, path: "/api/v1/hosts/import", as: "admin", body: file.String(), media: "application/x-ndjson"})
	var names []string
	for path := "/api/v1/hosts?limit=10"; path != ""; {
		page := get[wire.List[wire.Host]](t, b.do(t, call{path: path, as: "viewer"}), http.StatusOK)
		names, path = append(names, ids(page.Items)...), ""
		if page.NextCursor != nil {
			path = "/api/v1/hosts?limit=10&cursor=" + *page.NextCursor
		}
	}
	if len(names) != 25 || names[0] != "web-00" || names[24] != "web-24" {
		t.Errorf("read %v, want all 25 in the order of their names", names)
	}
	for query, want := range map[string]int{
		"selector=env%3Dprod": 13, "q=WEB-1": 10, "site=default&limit=1000": 25, "site=eu": 0, "selector=has(gpu)": 0,
	} {
		r := b.do(t, call{path: "/api/v1/hosts?" + query, as: "viewer"})
		if got := len(get[wire.List[wire.Host]](t, r, http.StatusOK).Items); got != want {
			t.Errorf("%s: %d hosts, want %d", query, got, want)
		}
		if want == 0 && !strings.Contains(r.body, `"items":[]`) {
			t.Errorf("%s: %s, want an empty list and not null", query, r.body)
		}
	}
	if got := len(get[wire.List[wire.Host]](t, b.do(t, call{path: "/api/v1/hosts", as: "scoped"}), http.StatusOK).Items); got != 12 {
		t.Errorf("a scoped admin sees %d hosts, want the 12 of its scope", got)
	}
}

func TestImportAnswersByLine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := `{"name":"a","address":"192.0.2.1","credential":{"kind":"password","username":"root","password":"hunter2"}}` + "\n" +
		`{"name":"b"}` + "\n" + `{"name":"c","address":"192.0.2.3","colour":"red"}` + "\n"
	post := call{method: http.MethodPost, path: "/api/v1/hosts/import?dry_run=true", as: "admin", body: file, media: "application/x-ndjson; charset=utf-8"}
	preview := get[wire.ImportResult](t, b.do(t, post), http.StatusOK)
	if n := b.sql(t, "select count(*)::text from hosts"); n != "0" {
		t.Fatalf("a dry run has stored %s hosts", n)
	}
	post.path = "/api/v1/hosts/import"
	done := get[wire.ImportResult](t, b.do(t, post), http.StatusOK)
	want := wire.ImportResult{Created: 1, Refused: 2, Items: []wire.ImportItem{
		{Line: 1, Name: "a", Outcome: "created"}, {Line: 2, Name: "b", Outcome: "refused"}, {Line: 3, Name: "c", Outcome: "refused"},
	}}
	want.Items[1].Refuse("invalid", "address", "address: a host name or an IP address is required")
	want.Items[2].Refuse("unknown_field", "colour", "colour: there is no such field")
	if diff := cmp.Diff(want, done); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want.DryRun = true
	if diff := cmp.Diff(want, preview); diff != "" {
		t.Errorf("the dry run says otherwise (-want +got)\n%s", diff)
	}
	again := get[wire.ImportResult](t, b.do(t, post), http.StatusOK)
	if again.Unchanged != 1 || again.Created != 0 {
		t.Errorf("a second time = %+v, want 1 unchanged", again)
	}
}

func TestHostKeysOverREST(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	host := b.host(t, `{"name":"web-1","address":"192.0.2.1"}`)
	key, err := b.db.RecordHostKey(t.Context(), fleet.HostKey{
		ID: fleet.NewID(), HostID: uuid.MustParse(host), Algorithm: "ssh-ed25519", Key: []byte("key"), Fingerprint: "SHA256:x", State: fleet.HostKeyPending,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/hosts/" + host + "/host-keys"
	trusted := get[wire.HostKey](t, b.do(t, call{method: http.MethodPost, path: path + "/" + key.ID.String() + "/trust", as: "admin"}), http.StatusOK)
	revoked := get[wire.HostKey](t, b.do(t, call{
		method: http.MethodPost, path: path + "/" + key.ID.String() + "/revoke", as: "admin", body: `{"reason":"leaked"}`,
	}), http.StatusOK)
	if trusted.State != "trusted" || *trusted.DecidedBy != "token:test" || revoked.State != "revoked" || *revoked.Reason != "leaked" {
		t.Errorf("trusted = %+v, revoked = %+v", trusted, revoked)
	}
	list := get[wire.List[wire.HostKey]](t, b.do(t, call{path: path, as: "viewer"}), http.StatusOK)
	if diff := cmp.Diff([]wire.HostKey{revoked}, list.Items); diff != "" {
		t.Errorf("the list (-want +got)\n%s", diff)
	}
	for _, c := range []call{
		{path: path, as: "scoped"},
		{method: http.MethodPost, path: path + "/" + key.ID.String() + "/trust", as: "scoped"},
	} {
		if r := b.do(t, c); r.status != http.StatusNotFound {
			t.Errorf("%s %s by somebody who may not see the host = %d, want 404", c.method, c.path, r.status)
		}
	}
}

func TestSecretsGoInAndNeverOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	created := b.do(t, call{
		method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"root","kind":"password","username":"root","password":"hunter2"}`,
	})
	c := get[wire.Credential](t, created, http.StatusCreated)
	path := "/api/v1/credentials/" + c.ID.String()
	answers := []result{
		created, b.do(t, call{path: path, as: "viewer"}), b.do(t, call{path: "/api/v1/credentials", as: "viewer"}),
		b.do(t, call{method: http.MethodPatch, path: path, as: "admin", body: `{"password":"hunter3","name":"toor"}`, media: "application/merge-patch+json"}),
		b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"x","kind":"private_key","username":"root","private_key":"hunter4"}`}),
		b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"name":"x","kind":"password","username":"root","password":["hunter5"]}`, invalid: true}),
		b.do(t, call{method: http.MethodPost, path: "/api/v1/credentials", as: "admin", body: `{"password":"hunter6`, invalid: true}),
	}
	for i, r := range answers {
		if strings.Contains(r.body, "hunter") {
			t.Errorf("answer %d holds the secret: %s", i, r.body)
		}
	}
	changed := get[wire.Credential](t, answers[3], http.StatusOK)
	if changed.Name != "toor" || changed.Version != 2 {
		t.Errorf("PATCH = %+v, want toor of version 2", changed)
	}
	if strings.Contains(b.log.String(), "hunter") {
		t.Error("the log holds a secret")
	}
	if r := b.do(t, call{method: http.MethodDelete, path: path, as: "admin"}); r.status != http.StatusNoContent {
		t.Errorf("DELETE = %d %s, want 204", r.status, r.body)
	}
}

func TestSecretsPrintAsNothing(t *testing.T) {
	t.Parallel()
	in := wire.CredentialInput{Name: "x", Password: new(wire.Secret("hunter2"))}
	if text := fmt.Sprintf("%v %+v %s %d %x %q", *in.Password, *in.Password, *in.Password, *in.Password, *in.Password, *in.Password); strings.Contains(text, "hunter2") ||
		strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("printed %s", text)
	}
	sent, err := json.Marshal(in)
	if err != nil || !strings.Contains(string(sent), `"password":"hunter2"`) {
		t.Errorf("a client sends %s, %v, want the secret in it", sent, err)
	}
}
