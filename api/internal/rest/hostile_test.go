package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// hostileValues are what somebody tries who wants more than is theirs.
func hostileValues() []string {
	return []string{
		`' or 1=1 --`, `"; drop table hosts; --`, `') or true; select pg_sleep(5) --`, `\`, `\\`, "a\x00b", "%00", "%", "_", "$1", "@id", `{{7*7}}`,
		strings.Repeat("a", 9000), "\xff\xfe", "\u202egnp.exe", "../../../../etc/passwd", "<script>alert(1)</script>", "1e309", "-1", "99999999999999999999", "\r\nSet-Cookie: a=b", "\x1b[2J",
	}
}

// A hostileCall is a call with one parameter that is not what it should be.
type hostileCall struct{ operation, method, where, path string }

// hostileCalls puts a value into each parameter of each operation of the document by turns; the other ones of the path are an ID
// that nothing has.
func hostileCalls(doc *document, value string) []hostileCall {
	var calls []hostileCall
	id := uuid.Must(uuid.NewV7()).String()
	paths := doc.at("paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			operation, _ := item[method].(map[string]any)
			parameters, _ := operation["parameters"].([]any)
			for _, p := range parameters {
				parameter, _ := p.(map[string]any)
				name, _ := parameter["name"].(string)
				target := path
				if parameter["in"] == "path" {
					target = strings.ReplaceAll(target, "{"+name+"}", url.PathEscape(value))
				}
				for strings.Contains(target, "{") {
					before, rest, _ := strings.Cut(target, "{")
					_, after, _ := strings.Cut(rest, "}")
					target = before + id + after
				}
				if parameter["in"] == "query" {
					target += "?" + url.Values{name: {value}}.Encode()
				}
				if parameter["in"] != "header" {
					operationID, _ := operation["operationId"].(string)
					calls = append(calls, hostileCall{operationID, strings.ToUpper(method), name, target})
				}
			}
		}
	}
	return calls
}

// TestHostileParameters tries hostile values in each parameter of each operation. Nothing but a refusal, or an answer without anything
// that an honest filter would not have found, may come of it, and the database is as it was.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.host(t, `{"name":"web-1","address":"192.0.2.1","labels":{"env":"prod"}}`)
	b.host(t, `{"name":"web-2","address":"192.0.2.2"}`)
	before := b.sql(t, "select count(*)::text from pg_class where relkind = 'r'")
	var wait sync.WaitGroup
	slots := make(chan struct{}, 8)
	tried := 0
	for _, value := range hostileValues() {
		for _, c := range hostileCalls(b.doc, value) {
			tried++
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				b.hostile(t, c, value)
			})
		}
	}
	wait.Wait()
	if tried < 500 {
		t.Errorf("only %d calls were tried", tried)
	}
	if after := b.sql(t, "select count(*)::text from pg_class where relkind = 'r'"); after != before {
		t.Errorf("there were %s tables and now there are %s", before, after)
	}
	if n := b.sql(t, "select count(*)::text from hosts where retired_at is null"); n != "2" {
		t.Errorf("%s hosts are left of 2", n)
	}
	b.checkLog(t)
}

// hostile makes the call and judges the answer. Only its head is read of those that go on.
func (b *bench) hostile(t *testing.T, c hostileCall, value string) {
	t.Helper()
	what := fmt.Sprintf("%s with %s=%.40q", c.operation, c.where, value)
	req, err := http.NewRequestWithContext(t.Context(), c.method, b.URL+c.path, http.NoBody)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+b.tokens["admin"])
	resp, err := b.Client().Do(req)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 500 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		t.Errorf("%s = %d %s", what, resp.StatusCode, text)
	}
	if resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("%s sets a cookie", what)
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") || c.operation != "listHosts" {
		return
	}
	var list struct{ Items []struct{ Name string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for _, h := range list.Items {
		if c.where == "q" && !strings.Contains(h.Name, value) || c.where == "site" || c.where == "status" || c.where == "selector" {
			t.Errorf("%s finds %s", what, h.Name)
		}
	}
}

// checkLog looks whether each line of the log is one event, whatever callers sent.
func (b *bench) checkLog(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(b.log.String()) {
		var event struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Msg == "" {
			t.Errorf("a line of the log is no event: %.200q (%v)", line, err)
		}
	}
}

// TestHeadersCannotForgeTheLog sends what could break a line or a terminal in every header that is logged or answered with. Go's own
// client refuses to send a line break in a header, so a raw control character stands for it.
func TestHeadersCannotForgeTheLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	forged := `x{"level":"ERROR","msg":"forged"}` + "\x1b[31m\u202e\u0085\u2028"
	for _, name := range []string{"X-Request-Id", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip", "Referer", "Origin", "Idempotency-Key", "If-Match", "If-None-Match", "Accept", "Accept-Language", "Traceparent", "Cookie"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/api/v1/hosts", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+b.tokens["viewer"])
		req.Header.Set(name, strings.ReplaceAll(forged, "\x1b", ""))
		resp, err := b.Client().Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 500 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		for answered, values := range resp.Header {
			if strings.Contains(strings.Join(values, ""), "forged") {
				t.Errorf("%s comes back in %s", name, answered)
			}
		}
	}
	b.checkLog(t)
	for line := range strings.Lines(b.log.String()) {
		var event struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &event); err == nil && event.Msg == "forged" {
			t.Errorf("a forged event is in the log: %s", line)
		}
	}
}

// TestForgedTokensAtTheDoor tries at the door what pkg/token refuses, and what only a door can get wrong.
func TestForgedTokensAtTheDoor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := b.tokens["viewer"]
	revoked := good[:len(good)-1] + string('a'+(good[len(good)-1]-'a'+1)%26)
	tests := []struct {
		name   string
		path   string
		header []string // of Authorization
		want   int
	}{
		{"the right one", "/api/v1/hosts", []string{"Bearer " + good}, http.StatusOK},
		{"none", "/api/v1/hosts", nil, http.StatusUnauthorized},
		{"the right one in the query", "/api/v1/hosts?access_token=" + good, nil, 0},
		{"a wrong checksum", "/api/v1/hosts", []string{"Bearer " + revoked}, http.StatusUnauthorized},
		{"two headers, the right one first", "/api/v1/hosts", []string{"Bearer " + good, "Bearer rc_x"}, http.StatusUnauthorized},
		{"two headers, the right one last", "/api/v1/hosts", []string{"Bearer rc_x", "Bearer " + good}, http.StatusUnauthorized},
		{"two in one header", "/api/v1/hosts", []string{"Bearer " + good + ", Bearer " + good}, http.StatusUnauthorized},
		{"another scheme", "/api/v1/hosts", []string{"Basic " + good}, http.StatusUnauthorized},
		{"the algorithm none", "/api/v1/hosts", []string{"Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiJ9."}, http.StatusUnauthorized},
		{"half a megabyte", "/api/v1/hosts", []string{"Bearer " + strings.Repeat("a", 512<<10)}, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+tt.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["Authorization"] = tt.header
			resp, err := b.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			if tt.want == 0 && resp.StatusCode < 400 || tt.want != 0 && resp.StatusCode != tt.want {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.want, body)
			}
			if resp.StatusCode != http.StatusOK && strings.Contains(string(body), good) {
				t.Error("the token comes back")
			}
		})
	}
}
