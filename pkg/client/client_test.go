package client_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, base string
		options    []client.Option
		want       string // base URL; empty: refused
	}{
		{name: "a plain address is taken", base: "http://127.0.0.1:8080", want: "http://127.0.0.1:8080"},
		{name: "a slash at the end is cut", base: "https://rollcall.example.com/", want: "https://rollcall.example.com"},
		{name: "a path before ours is kept", base: "https://example.com/rollcall/", want: "https://example.com/rollcall"},
		{name: "an address without a scheme is refused", base: "127.0.0.1:8080"},
		{name: "a bare name is refused", base: "rollcall"},
		{name: "another scheme is refused", base: "ftp://example.com"},
		{name: "nothing is refused", base: ""},
		{name: "a password in the address is refused", base: "http://u:p@example.com"},
		{name: "a query is refused", base: "http://example.com?x=1"},
		{name: "an empty token is refused", base: "http://example.com", options: []client.Option{client.WithToken("")}},
		{name: "a token with a line break is refused", base: "http://example.com", options: []client.Option{client.WithToken("rc_x\r\nA: b")}},
		{name: "an HTTP client that would end streams is refused", base: "http://example.com", options: []client.Option{client.WithHTTPClient(&http.Client{Timeout: time.Second})}},
		{name: "negative retries are refused", base: "http://example.com", options: []client.Option{client.WithRetries(-1, 0)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := client.New(test.base, test.options...)
			if test.want == "" {
				if err == nil {
					t.Fatalf("got a client of %q; want an error", c.BaseURL())
				}
				if strings.Contains(err.Error(), "u:p") {
					t.Errorf("the error shows the password: %v", err)
				}
				return
			}
			if err != nil || c.BaseURL() != test.want {
				t.Fatalf("got %v, %v; want %q", c, err, test.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		code   string
		says   []string
	}{
		{"a problem is told with its fields", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"status":422,"detail":"These fields are not acceptable: port","code":"invalid","errors":[{"field":"port","code":"invalid","message":"1 to 65535"}]}`))
		}, "invalid", []string{"not acceptable", "port: 1 to 65535"}},
		{"a page of a proxy is no answer of ours", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<h1>sorry</h1>"))
		}, client.CodeNotRollcall, []string{"502"}},
		{"a page with the status 200 is none either", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>welcome</h1>"))
		}, client.CodeNotRollcall, []string{"200"}},
		{"a redirect is told and not followed", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://elsewhere.example.com/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, client.CodeNotRollcall, []string{"elsewhere.example.com", "not followed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { test.answer(w) })
			_, err := f.client(t).Host(t.Context(), uuid.New())
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Code != test.code {
				t.Fatalf("got %#v; want an *Error of code %q", err, test.code)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if test.code == "invalid" && e.RetryAfter != 7*time.Second {
				t.Errorf("RetryAfter is %s; want 7s", e.RetryAfter)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("it was sent %d times; want once", n)
			}
		})
	}
}

func TestAnAnswerThatIsNotJSON(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":`))
	})
	if _, err := f.client(t).Me(t.Context()); err == nil || !strings.Contains(err.Error(), "/api/v1/auth/me") {
		t.Errorf("got %v; want an error that says which call it was", err)
	}
}

func TestTheEndOfAContextEndsACall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newFake(t, func(_ http.ResponseWriter, r *http.Request, _ int) {
		cancel()
		<-r.Context().Done()
	})
	_, err := f.client(t).Me(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("it was sent %d times; want once", n)
	}
}

func TestATimeoutIsOfTheTry(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 0 {
			<-r.Context().Done()
			return
		}
		sendJSON(w, http.StatusOK, wire.Actor{Name: "admin"})
	})
	me, err := f.client(t, client.WithTimeout(200*time.Millisecond)).Me(t.Context())
	if err != nil || me.Name != "admin" {
		t.Errorf("got %v, %v; want the second try to be answered", me, err)
	}
}

// A request is a call and what it sends.
type request struct {
	line string // METHOD path?query
	body string // what the body holds
	key  bool   // whether it carries an Idempotency-Key
	call func(ctx context.Context, c *client.Client) error
}

// none drops what a call returns beside its error.
func none(_ any, err error) error { return err }

func requestsAboutHosts(id, key uuid.UUID) []request {
	return []request{
		{"GET /api/v1/auth/me", "", false, func(ctx context.Context, c *client.Client) error { return none(c.Me(ctx)) }},
		{"POST /api/v1/auth/login", `"password":"p"`, false, func(ctx context.Context, c *client.Client) error { return none(c.Login(ctx, "u", "p")) }},
		{"POST /api/v1/auth/refresh", `"refresh_token":"r"`, false, func(ctx context.Context, c *client.Client) error { return none(c.Refresh(ctx, "r")) }},
		{"POST /api/v1/auth/logout", "", false, func(ctx context.Context, c *client.Client) error { return c.Logout(ctx) }},
		{"GET /api/v1/audit?action=host.%2A&actor=user%3Aann&limit=7", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Audit(ctx, client.AuditQuery{Actor: "user:ann", Action: "host.*"}, client.PageSize(7)))
		}},
		{"GET /api/v1/audit/seals", "", false, func(ctx context.Context, c *client.Client) error { return drain(c.AuditSeals(ctx)) }},
		{"GET /api/v1/tokens", "", false, func(ctx context.Context, c *client.Client) error { return none(c.Tokens(ctx)) }},
		{"POST /api/v1/tokens", `"name":"ci"`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.CreateToken(ctx, wire.TokenInput{Name: "ci"}))
		}},
		{"DELETE /api/v1/tokens/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return c.RevokeToken(ctx, id) }},
		{"GET /api/v1/users/" + id.String() + "/tokens", "", false, func(ctx context.Context, c *client.Client) error { return none(c.UserTokens(ctx, id)) }},
		{"DELETE /api/v1/users/" + id.String() + "/tokens/" + key.String(), "", false, func(ctx context.Context, c *client.Client) error {
			return c.RevokeUserToken(ctx, id, key)
		}},
		{"DELETE /api/v1/users/" + id.String() + "/sessions/" + key.String(), "", false, func(ctx context.Context, c *client.Client) error {
			return c.RevokeUserSession(ctx, id, key)
		}},
		{"GET /api/v1/hosts?limit=7&q=w&selector=env%3Dprod&site=eu", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Hosts(ctx, client.HostQuery{Selector: "env=prod", Search: "w", Site: "eu"}, client.PageSize(7)))
		}},
		{"GET /api/v1/hosts/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Host(ctx, id)) }},
		{"POST /api/v1/hosts", `"name":"web-1"`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.AddHost(ctx, wire.HostInput{Name: "web-1"}))
		}},
		{"PATCH /api/v1/hosts/" + id.String(), `"port":23`, false, func(ctx context.Context, c *client.Client) error {
			return none(c.UpdateHost(ctx, id, wire.HostPatch{Port: new(23)}, client.IfMatch(4)))
		}},
		{"DELETE /api/v1/hosts/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return c.RetireHost(ctx, id, client.IfMatch(4)) }},
		{"POST /api/v1/hosts/import?dry_run=true&format=ndjson", "{}\n", false, func(ctx context.Context, c *client.Client) error {
			return none(c.ImportHosts(ctx, strings.NewReader("{}\n"), true))
		}},
		{"GET /api/v1/hosts/" + id.String() + "/host-keys", "", false, func(ctx context.Context, c *client.Client) error { return none(c.HostKeys(ctx, id)) }},
		{"POST /api/v1/hosts/" + id.String() + "/host-keys/" + key.String() + "/trust", `"reason":"seen"`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.TrustHostKey(ctx, id, key, "seen"))
		}},
		{"POST /api/v1/hosts/" + id.String() + "/host-keys/" + key.String() + "/revoke", "{}", true, func(ctx context.Context, c *client.Client) error {
			return none(c.RevokeHostKey(ctx, id, key, ""))
		}},
		{"GET /api/v1/credentials", "", false, func(ctx context.Context, c *client.Client) error { return drain(c.Credentials(ctx)) }},
		{"GET /api/v1/credentials/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Credential(ctx, id)) }},
		{"POST /api/v1/credentials", `"password":"s3"`, false, func(ctx context.Context, c *client.Client) error {
			return none(c.AddCredential(ctx, wire.CredentialInput{Password: new(wire.Secret("s3"))}))
		}},
		{"PATCH /api/v1/credentials/" + id.String(), `"name":"k"`, false, func(ctx context.Context, c *client.Client) error {
			return none(c.UpdateCredential(ctx, id, wire.CredentialPatch{Name: new("k")}))
		}},
		{"DELETE /api/v1/credentials/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return c.RemoveCredential(ctx, id) }},
	}
}

func requestsAboutWork(id uuid.UUID) []request {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	return []request{
		{"POST /api/v1/collections", `"selector":"*"`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.Collect(ctx, wire.CollectionInput{Selector: new("*"), DryRun: new(true)}))
		}},
		{"POST /api/v1/collections", `"dry_run":true`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.Preview(ctx, wire.CollectionInput{Selector: new("*")}))
		}},
		{"GET /api/v1/collections", "", false, func(ctx context.Context, c *client.Client) error { return drain(c.Collections(ctx)) }},
		{"GET /api/v1/collections/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Collection(ctx, id)) }},
		{"GET /api/v1/collections/" + id.String() + "/tasks?code=tcp_refused&state=failed", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Tasks(ctx, id, client.TaskQuery{State: "failed", Code: "tcp_refused"}))
		}},
		{"POST /api/v1/collections/" + id.String() + "/cancel", "", true, func(ctx context.Context, c *client.Client) error { return none(c.Cancel(ctx, id)) }},
		{"POST /api/v1/collections/" + id.String() + "/retry", `"codes":["tcp_refused"]`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.Retry(ctx, id, wire.RetryInput{Codes: []string{"tcp_refused"}}))
		}},
		{"GET /api/v1/collectors", "", false, func(ctx context.Context, c *client.Client) error { return none(c.Collectors(ctx)) }},
		{"GET /api/v1/reports?host_id=" + id.String() + "&since=2026-01-02T02%3A04%3A05.000006Z&type=os", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Reports(ctx, client.ReportQuery{HostID: id, Type: "os", Since: at}))
		}},
		{"GET /api/v1/reports/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Report(ctx, id)) }},
		{"GET /api/v1/hosts/" + id.String() + "/reports", "", false, func(ctx context.Context, c *client.Client) error { return none(c.HostReports(ctx, id)) }},
		{"GET /api/v1/hosts/" + id.String() + "/reports/a%2Fb", "", false, func(ctx context.Context, c *client.Client) error { return none(c.HostReport(ctx, id, "a/b")) }},
		{"GET /api/v1/schedules", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Schedules(ctx, client.ScheduleQuery{}))
		}},
		{"GET /api/v1/schedules/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Schedule(ctx, id)) }},
		{"POST /api/v1/schedules", `"cron":"@daily"`, true, func(ctx context.Context, c *client.Client) error {
			return none(c.AddSchedule(ctx, wire.ScheduleInput{Cron: "@daily"}))
		}},
		{"PATCH /api/v1/schedules/" + id.String(), `"enabled":false`, false, func(ctx context.Context, c *client.Client) error {
			return none(c.UpdateSchedule(ctx, id, wire.SchedulePatch{Enabled: new(false)}, nil))
		}},
		{"GET /api/v1/schedules?enabled=true&name=n", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.Schedules(ctx, client.ScheduleQuery{Name: "n", Enabled: new(true)}))
		}},
		{"PATCH /api/v1/schedules/" + id.String(), `{"cron":"@daily","ends_at":null}`, false, func(ctx context.Context, c *client.Client) error {
			return none(c.UpdateSchedule(ctx, id, wire.SchedulePatch{Cron: new("@daily")}, []string{"ends_at"}))
		}},
		{"DELETE /api/v1/schedules/" + id.String(), "", false, func(ctx context.Context, c *client.Client) error { return c.RemoveSchedule(ctx, id) }},
		{"POST /api/v1/schedules/" + id.String() + "/run", "", true, func(ctx context.Context, c *client.Client) error { return none(c.RunSchedule(ctx, id)) }},
		{"GET /api/v1/schedules/" + id.String() + "/next?n=3", "", false, func(ctx context.Context, c *client.Client) error { return none(c.NextFirings(ctx, id, 3)) }},
		{"GET /api/v1/schedules/" + id.String() + "/firings", "", false, func(ctx context.Context, c *client.Client) error { return drain(c.Firings(ctx, id)) }},
	}
}

func requestsAboutHistory(id, other uuid.UUID) []request {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	const when, host = "2026-01-02T02%3A04%3A05.000006Z", "0199a1b2-0000-7000-8000-000000000001"
	q := client.ChangeQuery{HostID: id, Selector: "env=prod", Type: "os", Path: "a.*", Since: at, Until: at}
	const query = "host_id=" + host
	const rest = "path=a.%2A&selector=env%3Dprod&since=" + when + "&type=os&until=" + when
	return []request{
		{"GET /api/v1/changes?" + query + "&order=newest&" + rest, "", false, func(ctx context.Context, c *client.Client) error { return drain(c.LastChanges(ctx, q)) }},
		{"GET /api/v1/changes?group=true&" + query + "&" + rest, "", false, func(ctx context.Context, c *client.Client) error { return drain(c.ChangeGroups(ctx, q)) }},
		{"GET /api/v1/reports/" + host + "/diff?to=" + other.String(), "", false, func(ctx context.Context, c *client.Client) error { return none(c.Diff(ctx, id, other)) }},
		{"GET /api/v1/reports/" + host + "/diff", "", false, func(ctx context.Context, c *client.Client) error { return none(c.Diff(ctx, id, uuid.Nil)) }},
		{"GET /api/v1/hosts/" + host + "/reports?as_of=" + when + "&since=true", "", false, func(ctx context.Context, c *client.Client) error {
			return none(c.HostReports(ctx, id, client.AsOf(at), client.SinceWhen()))
		}},
		{"GET /api/v1/hosts/" + host + "/reports/os?as_of=" + when, "", false, func(ctx context.Context, c *client.Client) error {
			return none(c.HostReport(ctx, id, "os", client.AsOf(at)))
		}},
		{"GET /api/v1/hosts/" + host + "/history?limit=5&path=a.b&since=" + when + "&type=os", "", false, func(ctx context.Context, c *client.Client) error {
			return drain(c.History(ctx, id, client.HistoryQuery{Type: "os", Path: "a.b", Since: at}, client.PageSize(5)))
		}},
		{"GET /api/v1/hosts/" + host + "/metrics?path=%2A&step=300&type=memory", "", false, func(ctx context.Context, c *client.Client) error {
			return none(c.Metrics(ctx, id, client.MetricQuery{Type: "memory", Path: "*", Step: 5 * time.Minute}))
		}},
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0199a1b2-0000-7000-8000-000000000001")
	key := uuid.MustParse("0199a1b2-0000-7000-8000-000000000002")
	for _, test := range slices.Concat(requestsAboutHosts(id, key), requestsAboutWork(id), requestsAboutHistory(id, key)) {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { sendJSON(w, http.StatusOK, map[string]any{}) })
			if err := test.call(t.Context(), f.client(t, client.WithToken("rc_secret"))); err != nil {
				t.Fatal(err)
			}
			seen := f.requests()
			if len(seen) != 1 || seen[0].line != test.line {
				t.Fatalf("got %v; want one request %s", seen, test.line)
			}
			r := seen[0]
			if !strings.Contains(r.body, test.body) || test.body == "" && r.body != "" {
				t.Errorf("the body is %q; want it to hold %q", r.body, test.body)
			}
			if (r.key != "") != test.key {
				t.Errorf("the Idempotency-Key is %q; want one: %v", r.key, test.key)
			}
			if open := strings.HasSuffix(test.line, "/login") || strings.HasSuffix(test.line, "/refresh"); (r.auth == "") != open {
				t.Errorf("Authorization is %q", r.auth)
			}
			if strings.HasPrefix(test.line, "PATCH") && r.media != "application/merge-patch+json" {
				t.Errorf("Content-Type is %q", r.media)
			}
			if strings.Contains(test.line, "hosts/"+id.String()) && (strings.HasPrefix(test.line, "PATCH") || strings.HasPrefix(test.line, "DELETE")) && r.match != `"4"` {
				t.Errorf("If-Match is %q", r.match)
			}
			if strings.Contains(r.body, `"dry_run"`) != strings.Contains(test.body, `"dry_run"`) {
				t.Errorf("the body is %q", r.body)
			}
		})
	}
}

func TestHostByName(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		hosts := []wire.Host{}
		if r.URL.Query().Get("selector") == `name="web-1"` {
			hosts = append(hosts, wire.Host{Name: "web-1"})
		}
		sendJSON(w, http.StatusOK, wire.List[wire.Host]{Items: hosts})
	})
	c := f.client(t)
	if h, err := c.HostByName(t.Context(), "web-1"); err != nil || h.Name != "web-1" {
		t.Errorf("got %v, %v; want web-1", h, err)
	}
	_, err := c.HostByName(t.Context(), `no"such\`)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusNotFound {
		t.Errorf("got %v; want an error of status 404", err)
	}
	if seen := f.requests(); !strings.Contains(seen[1].line, "selector=name%3D%22no%5C%22such%5C%5C%22") {
		t.Errorf("asked %s; want the name quoted", seen[1].line)
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		sendJSON(w, http.StatusOK, map[string]any{"info": map[string]string{"version": "v1.2.3"}})
	})
	info, err := f.client(t).Server(t.Context())
	if err != nil || info.Version != "v1.2.3" || (info.Skew-time.Hour).Abs() > 5*time.Second {
		t.Errorf("got %+v, %v; want v1.2.3, an hour ahead", info, err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		body   any
		want   string // empty: an error
	}{
		{"one that is well", http.StatusOK, map[string]any{"status": "ok"}, "ok"},
		{"one that is down says so and is no error", http.StatusServiceUnavailable, map[string]any{"status": "down", "checks": map[string]any{"redis": map[string]any{"status": "down"}}}, "down"},
		{"something else at the address", http.StatusOK, map[string]any{"hello": "world"}, ""},
		{"an error of something else", http.StatusNotFound, map[string]any{"status": "ok"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
				w.Header().Set("Retry-After", "0")
				sendJSON(w, test.status, test.body)
			})
			h, err := f.client(t).Health(t.Context())
			if (err != nil) != (test.want == "") || h.Status != test.want {
				t.Errorf("got %+v, %v; want %q", h, err, test.want)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("asked %d times; want once", n)
			}
		})
	}
}
