package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A contract checks traffic against an OpenAPI 3.1 document: what the document does not name, be it a path, a status,
// a media type or a field, fails.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

func readContract(document []byte) (*contract, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	root, ok := parsed.(map[string]any)
	if !ok || root["paths"] == nil {
		return nil, errors.New("the OpenAPI document has no paths")
	}
	c := &contract{document: root, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	return c, c.compiler.AddResource("openapi.json", parsed)
}

// find returns the path template that the path is an instance of; one with fewer variables wins.
func (c *contract) find(path string) (string, bool) {
	best, fewest := "", 1<<10
	paths, _ := c.document["paths"].(map[string]any)
	for template := range paths {
		if n, ok := matches(template, path); ok && n < fewest {
			best, fewest = template, n
		}
	}
	return best, best != ""
}

func matches(template, path string) (variables int, ok bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return 0, false
	}
	for i, part := range want {
		if strings.HasPrefix(part, "{") {
			variables++
			continue
		}
		if part != got[i] {
			return 0, false
		}
	}
	return variables, true
}

// dig follows keys through maps.
func dig(v any, keys ...string) any {
	for _, key := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// check returns what the document does not say about an answer.
func (c *contract) check(method, path string, status int, contentType string, body []byte) error {
	template, ok := c.find(path)
	if !ok {
		return errors.New("the path is not documented")
	}
	method = strings.ToLower(method)
	operation := dig(c.document, "paths", template, method)
	if operation == nil {
		if status == http.StatusMethodNotAllowed {
			return nil
		}
		return errors.New("the method is not documented")
	}
	code := strconv.Itoa(status)
	if dig(operation, "responses", code) == nil {
		code = "default"
	}
	answer := dig(operation, "responses", code)
	if answer == nil {
		return fmt.Errorf("status %d is not documented", status)
	}
	if len(body) == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("content type %q: %w", contentType, err)
	}
	if dig(answer, "content", media) == nil {
		return fmt.Errorf("media type %s is not documented for status %s", media, code)
	}
	if !strings.HasSuffix(media, "json") || dig(answer, "content", media, "schema") == nil {
		return nil
	}
	return c.validate(strings.Join([]string{"#", "paths", pointer(template), method, "responses", code, "content", pointer(media), "schema"}, "/"), body)
}

func pointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(key)
}

func (c *contract) validate(at string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	schema := c.schemas[at]
	if schema == nil {
		compiled, err := c.compiler.Compile("openapi.json" + at)
		if err != nil {
			return fmt.Errorf("the schema at %s: %w", at, err)
		}
		schema, c.schemas[at] = compiled, compiled
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return schema.Validate(value)
}

// A recorder is a transport that checks all traffic under /api/v1 and remembers which operations were used.
type recorder struct {
	t    *testing.T
	next http.RoundTripper

	mu       sync.Mutex
	contract *contract
	used     map[string]int // by method, template and status
}

// RoundTrip sends the request and checks the answer.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	if err != nil || !strings.HasPrefix(req.URL.Path, "/api/v1/") || strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	c := r.contract
	r.mu.Unlock()
	if c == nil {
		return res, nil
	}
	template, _ := c.find(req.URL.Path)
	r.mu.Lock()
	r.used[fmt.Sprintf("%s %s %d", req.Method, template, res.StatusCode)]++
	r.mu.Unlock()
	if err := c.check(req.Method, req.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), body); err != nil && template != "" {
		r.t.Errorf("undocumented: %s %s -> %d %s: %v\n%s", req.Method, req.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), err, clip(body))
	}
	return res, nil
}

func clip(body []byte) string {
	if len(body) > 2000 {
		return string(body[:2000]) + "…"
	}
	return string(body)
}

func TestTheContractCheckFindsWhatIsNotDocumented(t *testing.T) {
	t.Parallel()
	c, err := readContract([]byte(`{"openapi":"3.1.0","paths":{
		"/things/{id}":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}}}}},
		"/things/all":{"get":{"responses":{"204":{}}}}},
		"components":{"schemas":{"Thing":{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, method, path, media, body string
		status                          int
		ok                              bool
	}{
		{"as documented", "GET", "/things/1", "application/json", `{"id":"x"}`, 200, true},
		{"a literal path beats a variable", "GET", "/things/all", "", "", 204, true},
		{"an unknown field", "GET", "/things/1", "application/json", `{"id":"x","more":1}`, 200, false},
		{"a missing field", "GET", "/things/1", "application/json", `{}`, 200, false},
		{"another status", "GET", "/things/1", "application/json", `{"id":"x"}`, 201, false},
		{"another media type", "GET", "/things/1", "text/plain", "x", 200, false},
		{"another path", "GET", "/other", "application/json", "{}", 200, false},
		{"another method", "PUT", "/things/1", "application/json", "{}", 200, false},
	}
	for _, tt := range tests {
		err := c.check(tt.method, tt.path, tt.status, tt.media, []byte(tt.body))
		if (err == nil) != tt.ok {
			t.Errorf("%s: check = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}
