package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/schedule"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// scheduleTrigger is what the wiring passes to schedules.
func scheduleTrigger(collections *collection.Service) schedule.Trigger {
	return func(ctx context.Context, tx *store.Store, actor fleet.Actor, s fleet.Schedule, due time.Time) (fleet.Collection, error) {
		return collections.TriggerIn(ctx, tx, actor, collection.Request{
			Selector: s.Selector, ReportTypes: s.ReportTypes, Priority: s.Priority, Schedule: &fleet.Due{ScheduleID: s.ID, At: due},
		})
	}
}

// A document is an OpenAPI document that requests and answers are held against.
type document struct {
	raw      map[string]any
	mu       sync.Mutex // around compiler
	compiler *jsonschema.Compiler
	paths    map[*regexp.Regexp]string
}

// documents has the one document of all benches: reading it takes longer than most tests.
var documents struct {
	sync.Mutex
	one *document
}

func readDocument(t *testing.T, base string) *document {
	t.Helper()
	documents.Lock()
	defer documents.Unlock()
	if documents.one == nil {
		documents.one = fetchDocument(t, base)
	}
	return documents.one
}

func fetchDocument(t *testing.T, base string) *document {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/openapi.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(content)))
	if err != nil {
		t.Fatalf("the document is not JSON: %v", err)
	}
	raw, ok := parsed.(map[string]any)
	if !ok {
		t.Fatalf("the document is a %T", parsed)
	}
	d := &document{raw: raw, compiler: jsonschema.NewCompiler(), paths: map[*regexp.Regexp]string{}}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", raw); err != nil {
		t.Fatal(err)
	}
	for path := range d.at("paths") {
		parts := strings.Split(path, "/")
		for i, part := range parts {
			if strings.HasPrefix(part, "{") {
				parts[i] = `[^/]+`
			} else {
				parts[i] = regexp.QuoteMeta(part)
			}
		}
		d.paths[regexp.MustCompile("^"+strings.Join(parts, "/")+"$")] = path
	}
	return d
}

// at returns the object at the path, nil if there is none.
func (d *document) at(path ...string) map[string]any {
	object := d.raw
	for _, name := range path {
		object, _ = object[name].(map[string]any)
	}
	return object
}

// template returns the path of the document that a request's is one of; a path without parameters wins.
func (d *document) template(path string) string {
	found := ""
	for pattern, template := range d.paths {
		if pattern.MatchString(path) && (found == "" || strings.Count(template, "{") < strings.Count(found, "{")) {
			found = template
		}
	}
	return found
}

// check fails the test if the call is not documented as it was answered.
func (d *document) check(t *testing.T, c call, r result) {
	t.Helper()
	u, err := url.Parse(c.path)
	if err != nil {
		return // the door's to refuse
	}
	template, method := d.template(u.Path), strings.ToLower(c.method)
	operation := d.at("paths", template, method)
	if operation == nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s answers %d and is not documented", c.method, c.path, r.status)
		}
		return
	}
	where := []string{"paths", template, method}
	if !c.invalid && c.body != "" {
		media, _, _ := strings.Cut(c.media, ";")
		d.validate(t, "the request of "+c.method+" "+c.path, append(where, "requestBody", "content", media), media, c.body)
	}
	response := d.at(append(where, "responses", strconv.Itoa(r.status))...)
	if response == nil {
		t.Errorf("%s %s answers %d, which is not documented: %s", c.method, c.path, r.status, r.body)
		return
	}
	if response["content"] == nil {
		if r.body != "" {
			t.Errorf("%s %s answers %d with a body, which is not documented: %s", c.method, c.path, r.status, r.body)
		}
		return
	}
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		t.Errorf("%s %s answers %d with the media type %q", c.method, c.path, r.status, r.header.Get("Content-Type"))
		return
	}
	d.validate(t, "the answer of "+c.method+" "+c.path, append(where, "responses", strconv.Itoa(r.status), "content", media), media, r.body)
}

func (d *document) validate(t *testing.T, what string, where []string, media, body string) {
	t.Helper()
	if d.at(where...) == nil {
		t.Errorf("%s is %s, which is not documented", what, media)
		return
	}
	if !strings.HasSuffix(media, "json") || media == "application/x-ndjson" {
		return
	}
	escaped := make([]string, len(where))
	for i, part := range where {
		escaped[i] = url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	d.mu.Lock()
	schema, err := d.compiler.Compile("openapi.json#/" + strings.Join(escaped, "/") + "/schema")
	d.mu.Unlock()
	if err != nil {
		t.Errorf("%s: its schema does not compile: %v", what, err)
		return
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Errorf("%s is not JSON: %v", what, err)
		return
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("%s does not fit its schema: %v\n%s", what, err, body)
	}
}

func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := b.doc.raw["openapi"]; got != "3.1.0" {
		t.Errorf("openapi = %v, want 3.1.0", got)
	}
	ids := map[string]bool{}
	for path := range b.doc.at("paths") {
		for method := range b.doc.at("paths", path) {
			operation := b.doc.at("paths", path, method)
			id, _ := operation["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s has the ID %q, want one of its own", method, path, id)
			}
			ids[id] = true
			if operation["summary"] == nil || operation["security"] == nil {
				t.Errorf("%s %s lacks a summary, or says nothing about security", method, path)
			}
			if !strings.HasPrefix(path, "/api/v1/") {
				continue
			}
			for _, status := range []string{"400", "422", "500", "503"} {
				if b.doc.at("paths", path, method, "responses", status, "content", "application/problem+json") == nil {
					t.Errorf("%s %s does not say that it may answer %s", method, path, status)
				}
			}
		}
	}
	text, err := json.MarshalIndent(b.doc.raw, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, leftover := range []string{"ErrorModel", "$schema", "octet-stream"} {
		if strings.Contains(string(text), leftover) {
			_, after, _ := strings.Cut(string(text), leftover)
			t.Errorf("the document mentions %s: …%.300s", leftover, after)
		}
	}
}

func TestDocsNeedNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.raw(t, "/docs")
	if r.status != http.StatusOK || !strings.Contains(r.body, "/openapi.json") {
		t.Fatalf("/docs = %d %s", r.status, r.body)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(r.body, -1) {
		if strings.Contains(m[1], "//") {
			t.Errorf("/docs loads %s", m[1])
			continue
		}
		if asset := b.raw(t, m[1]); asset.status != http.StatusOK {
			t.Errorf("/docs loads %s, which answers %d", m[1], asset.status)
		}
	}
}

// raw gets a path and validates nothing.
func (b *bench) raw(t *testing.T, path string) result {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return result{status: resp.StatusCode, header: resp.Header, body: string(content)}
}

func TestHealthIsServed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, path := range []string{"/healthz", "/readyz", "/health", "/metrics", "/openapi.json"} {
		if r := b.do(t, call{path: path}); r.status != http.StatusOK {
			t.Errorf("%s = %d %s, want 200", path, r.status, r.body)
		}
	}
}
