package command_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"nothing is asked: the help", nil, 0, "Usage: rollcall"},
		{"a command that does not exist", []string{"fly"}, 2, "rollcall --help"},
		{"a command that is not finished", []string{"hosts"}, 2, `expected one of "ls"`},
		{"a flag that does not exist", []string{"hosts", "ls", "--nope"}, 2, "rollcall hosts ls --help"},
		{"a star that the shell has replaced", []string{"collect", "a.txt", "b.txt"}, 2, "in quotes"},
		{"an ID that is none", []string{"collections", "show", "seven"}, 2, "UUID"},
		{"a form of output that does not exist", []string{"hosts", "ls", "-o", "xml"}, 2, "table"},
		{"a deadline in parts of a second", []string{"collect", "*", "--deadline", "1500ms"}, 2, "whole seconds"},
		{"a bound that is none", []string{"collect", "*", "--max-parallel=-1"}, 2, "--max-parallel"},
		{"a lifetime that is none", []string{"tokens", "create", "ci", "--expires", "0d"}, 2, "90d"},
		{"two secrets", []string{"credentials", "add", "c", "-u", "u", "--private-key", "a", "--password-stdin"}, 2, "together"},
		{"tasks picked and not listed", []string{"collections", "show", "0199a1b2-0000-7000-8000-000000000001", "--code", "x"}, 2, "--tasks"},
		{"nobody is signed in", []string{"hosts", "ls"}, 1, "rollcall login"},
		{"a server that is none", []string{"login", "not-a-url", "--password-stdin"}, 2, "http://127.0.0.1:8080"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			newUser(t).run(t.Context(), "secret\n", test.args...).must(t, test.status, test.says)
		})
	}
}

// TestUpReadsWhatAnAPIReads holds that what up does not do otherwise is not ignored: a bad value of each variable is refused.
func TestUpReadsWhatAnAPIReads(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"ROLLCALL_SIGNING_KEY_OLD": "short", "ROLLCALL_TRUSTED_PROXIES": "nobody", "ROLLCALL_RATE_LIMIT": "-1", "ROLLCALL_TOKEN_RATE_LIMIT": "many",
		"ROLLCALL_CORS_ORIGINS": "*", "ROLLCALL_TLS_CERT": "/nowhere", "ROLLCALL_MAX_CONNECTIONS": "none", "ROLLCALL_RETENTION": "1h",
		"ROLLCALL_LOG_LEVEL": "loud", "ROLLCALL_QUEUE_LIMIT": "x", "ROLLCALL_RATE_LIMITS": "5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newUser(t, name+"="+bad).run(t.Context(), "", "up", "--once", "--data", t.TempDir()).must(t, 2, name)
		})
	}
}

func TestATokenNeedsItsServer(t *testing.T) {
	t.Parallel()
	newUser(t, "ROLLCALL_TOKEN=rc_x").run(t.Context(), "", "whoami").must(t, 2, "ROLLCALL_URL")
}

func TestRefusalsAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		body   string
		says   []string
	}{
		{"each bad field is named", 422, `{"detail":"These fields are not acceptable: port","code":"invalid","errors":[{"field":"port","code":"invalid","message":"1 to 65535"}]}`, []string{"not acceptable", "port: 1 to 65535"}},
		{"who has no token that is good is told how to get one", 401, `{"detail":"the token has expired","code":"token_expired"}`, []string{"expired", "rollcall login"}},
		{"who may not is told who may", 403, `{"detail":"it needs the role admin","code":"forbidden"}`, []string{"admin", "rollcall whoami"}},
		{"a broken server's log is pointed to", 500, `{"detail":"something went wrong","code":"internal","request_id":"r-17"}`, []string{"r-17"}},
		{"a bad selector is explained", 422, `{"detail":"selector: position 3: expected","code":"invalid_selector"}`, []string{"position 3", "env=prod"}},
		{"what a server says cannot steer the terminal", 409, `{"detail":"a\u001b[2J\u009bb","code":"conflict"}`, []string{"a\uFFFD[2J\uFFFDb"}},
		{"something else that answers is told", 404, `<h1>no</h1>`, []string{"not an answer of Rollcall", "rollcall doctor"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, test.status, test.body) })
			u.run(t.Context(), "", "hosts", "ls").must(t, 1, test.says...)
		})
	}
	t.Run("a server that is not there", func(t *testing.T) {
		t.Parallel()
		u := newUser(t, "ROLLCALL_URL=http://127.0.0.1:1", "ROLLCALL_TOKEN=rc_x")
		u.run(t.Context(), "", "hosts", "rm", "a", "b").must(t, 1, "http://127.0.0.1:1 does not answer", "rollcall doctor", "2 of 2")
	})
}

const twoHosts = `{"items":[
	{"name":"=cmd()","address":"192.0.2.1","port":22,"site":"eu","labels":{"env":"prod","a":"b"},"enabled":true},
	{"name":"web\u001b[1m","address":"-x","port":2222,"site":"eu","labels":{},"enabled":false,"version":7}],"next_cursor":null}`

func TestForms(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, twoHosts) })
	t.Run("a table is for people, and cannot steer the terminal", func(t *testing.T) {
		t.Parallel()
		r := u.run(t.Context(), "", "hosts", "ls").must(t, 0, "NAME", "=cmd()", "a=b,env=prod", "disabled")
		if strings.Contains(r.stdout, "\x1b") {
			t.Errorf("it holds an escape: %q", r.stdout)
		}
	})
	t.Run("JSON is an array of what the API says", func(t *testing.T) {
		t.Parallel()
		var hosts []map[string]any
		r := u.run(t.Context(), "", "hosts", "ls", "-o", "json").must(t, 0)
		if err := json.Unmarshal([]byte(r.stdout), &hosts); err != nil || len(hosts) != 2 || hosts[1]["version"] != float64(7) {
			t.Errorf("got %v, %v from %s", hosts, err, r.stdout)
		}
	})
	t.Run("NDJSON is an object a line", func(t *testing.T) {
		t.Parallel()
		r := u.run(t.Context(), "", "hosts", "ls", "-o", "ndjson").must(t, 0)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if len(lines) != 2 || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) {
			t.Errorf("got %q", lines)
		}
	})
	t.Run("no cell of CSV is a formula", func(t *testing.T) {
		t.Parallel()
		r := u.run(t.Context(), "", "hosts", "ls", "-o", "csv").must(t, 0)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if len(lines) != 3 || lines[0] != "name,address,port,site,labels,status,code,last" ||
			lines[1] != `'=cmd(),192.0.2.1,22,eu,"a=b,env=prod",,,` || !strings.Contains(lines[2], ",'-x,2222,") {
			t.Errorf("got %q", lines)
		}
	})
}

func TestAnEmptyList(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"items":[],"next_cursor":null}`) })
	for form, want := range map[string]string{"json": "[]\n", "ndjson": "", "csv": "name,address,port,site,labels,status,code,last\n", "table": ""} {
		if r := u.run(t.Context(), "", "hosts", "ls", "-o", form).must(t, 0); r.stdout != want {
			t.Errorf("as %s it is %q; want %q", form, r.stdout, want)
		}
	}
}

func TestAListThatBreaksOffFails(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") != "" {
			answer(w, 500, `{"detail":"something went wrong","code":"internal"}`)
			return
		}
		answer(w, 200, `{"items":[{"name":"web-1"}],"next_cursor":"x"}`)
	})
	for _, form := range []string{"table", "json", "ndjson", "csv"} {
		u.run(t.Context(), "", "hosts", "ls", "-o", form).must(t, 1, "web-1", "something went wrong")
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("limit") != "3" {
			answer(w, 500, `{"detail":"the limit is not one more than what is shown","code":"internal"}`)
			return
		}
		answer(w, 200, `{"items":[{"state":"failed"},{"state":"partial"},{"state":"running"}],"next_cursor":"x"}`)
	})
	r := u.run(t.Context(), "", "collections", "ls", "--limit", "2").must(t, 0, "failed", "partial", "--limit 0")
	if strings.Contains(r.stdout, "running") {
		t.Errorf("it shows more than two: %s", r.stdout)
	}
}

// collecting answers as a server whose collection ends in the given state.
func collecting(state, counts, errors string) http.HandlerFunc {
	const id = `"id":"0199a1b2-0000-7000-8000-000000000001"`
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			answer(w, 202, `{`+id+`,"state":"pending","counts":{"total":4}}`)
		case strings.HasSuffix(r.URL.Path, "/tasks"):
			answer(w, 200, `{"items":[{"host":"web-9"},{"host":"web-1"}],"next_cursor":null}`)
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, "event: progress\ndata: {%s,\"state\":\"running\",\"counts\":{\"total\":4,\"running\":2,\"succeeded\":1}}\n\n", id)
			_, _ = fmt.Fprintf(w, "event: end\ndata: {%s,\"state\":%q,\"counts\":%s,\"errors\":%s}\n\n", id, state, counts, errors)
		default:
			answer(w, 200, `{`+id+`,"state":"running","counts":{"total":4}}`)
		}
	}
}

func TestHowACollectionEndsIsTheStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		state, counts, errors string
		status                int
		says                  []string
	}{
		{"succeeded", `{"total":4,"succeeded":4}`, `{}`, 0, []string{"1 of 4 hosts done, 2 running", "4 of 4 hosts done", "succeeded: 4 of 4 hosts collected"}},
		{"partial", `{"total":4,"succeeded":1,"failed":3}`, `{"tcp_refused":3}`, 3, []string{
			"partial: 1 of 4 hosts collected", "3 × tcp_refused: The host refused the connection", "Hosts: web-1, web-9, and 1 more", "What to do: Check that sshd runs there", "3 of 4 hosts failed",
		}},
		{"failed", `{"total":4,"failed":4}`, `{"auth_failed":4}`, 1, []string{"4 × auth_failed", "brought nothing"}},
		{"cancelled", `{"total":4,"succeeded":1,"cancelled":3}`, `{}`, 1, []string{"cancelled"}},
	} {
		t.Run(test.state, func(t *testing.T) {
			t.Parallel()
			u := serve(t, collecting(test.state, test.counts, test.errors))
			u.run(t.Context(), "", "collect", "*", "--wait").must(t, test.status, test.says...)
			r := u.run(t.Context(), "", "collections", "watch", "0199a1b2-0000-7000-8000-000000000001", "-o", "json").must(t, test.status)
			var c struct{ State string }
			if err := json.Unmarshal([]byte(r.stdout), &c); err != nil || c.State != test.state {
				t.Errorf("got %v, %v from %s", c, err, r.stdout)
			}
		})
	}
}

func TestCollectSendsWhatItIsTold(t *testing.T) {
	t.Parallel()
	var got map[string]any
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		answer(w, 202, `{"id":"0199a1b2-0000-7000-8000-000000000001","state":"pending","counts":{"total":4},"delayed":true}`)
	})
	u.run(t.Context(), "", "collect", "env=prod", "--types", "os,cpu", "--priority", "bulk", "--deadline", "90s", "--expires", "1h", "--max-parallel", "5").
		must(t, 0, "rollcall collections watch 0199a1b2", "The queue does not answer")
	want := `{"deadline_seconds":90,"expires_seconds":3600,"max_parallel":5,"priority":"bulk","report_types":["os","cpu"],"selector":"env=prod"}`
	if text, err := json.Marshal(got); err != nil || string(text) != want {
		t.Errorf("sent %s, want %s", text, want)
	}
}

func TestImportOfMoreThanFitsAtOnce(t *testing.T) {
	t.Parallel()
	batches := 0
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		batches++
		lines := 0
		for d := json.NewDecoder(r.Body); d.More(); lines++ {
			var host struct{ Name string }
			if err := d.Decode(&host); err != nil {
				t.Error(err)
				break
			}
		}
		if lines > 10_000 {
			t.Errorf("%d lines at once", lines)
		}
		answer(w, 200, fmt.Sprintf(`{"created":%d,"refused":1,"items":[{"line":%d,"name":"last","outcome":"refused","reason":"no"}]}`, lines-1, lines))
	})
	lines := strings.Repeat(`{"name":"a"}`+"\n", 20_001)
	path := filepath.Join(t.TempDir(), "hosts.ndjson")
	if err := os.WriteFile(path, []byte(strings.TrimSuffix(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run(t.Context(), "", "hosts", "import", path).must(t, 3, "19998 created", "3 refused", "10000 ", "20000 ", "20001 ")
	if batches != 3 {
		t.Errorf("it took %d requests, want 3", batches)
	}
	u.run(t.Context(), "", "hosts", "import", "-").must(t, 1, "no line")
}

func TestSecretsAreReadFromFilesAndStdin(t *testing.T) {
	t.Parallel()
	var got map[string]any
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = nil
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		answer(w, 201, `{"id":"0199a1b2-0000-7000-8000-000000000001","name":"c"}`)
	})
	dir := t.TempDir()
	key, phrase := filepath.Join(dir, "key"), filepath.Join(dir, "phrase")
	for path, content := range map[string]string{key: "-----BEGIN KEY-----\nx\n", phrase: "open sesame\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		want  string
	}{
		{"a key with its passphrase", "", []string{"--private-key", key, "--passphrase-file", phrase}, `{"kind":"private_key","name":"c","passphrase":"open sesame","private_key":"-----BEGIN KEY-----\nx\n","username":"u"}`},
		{"a password of a file loses its line break", "", []string{"--password-file", phrase}, `{"kind":"password","name":"c","password":"open sesame","username":"u"}`},
		{"a password of standard input", "s3cret\r\n", []string{"--password-stdin", "--site", "eu", "--site", "us"}, `{"kind":"password","name":"c","password":"s3cret","sites":["eu","us"],"username":"u"}`},
	} {
		r := u.run(t.Context(), test.stdin, append([]string{"credentials", "add", "c", "-u", "u"}, test.args...)...).must(t, 0, "Added c")
		if text, err := json.Marshal(got); err != nil || string(text) != test.want {
			t.Errorf("%s: sent %s, want %s", test.name, text, test.want)
		}
		if strings.Contains(r.stdout+r.stderr, "sesame") || strings.Contains(r.stdout+r.stderr, "s3cret") {
			t.Errorf("%s: it shows the secret: %s", test.name, r.stdout+r.stderr)
		}
	}
	u.run(t.Context(), "", "credentials", "add", "c", "-u", "u").must(t, 2, "there is no secret")
	u.run(t.Context(), "", "credentials", "add", "c", "-u", "u", "--password-stdin").must(t, 1, "empty")
	u.run(t.Context(), "", "credentials", "add", "c", "-u", "u", "--passphrase-file", phrase).must(t, 2, "--private-key")
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"status":"down","checks":{"redis":{"status":"down","latency_ms":1000,"reason":"no answer within 1s"},"database":{"status":"ok","latency_ms":1}}}`))
		case "/openapi.json":
			w.Header().Set("Date", "Mon, 05 Jan 2026 10:00:00 GMT")
			answer(w, 200, `{"info":{"version":"v9"}}`)
		default:
			answer(w, 401, `{"detail":"the API token is not valid","code":"token_invalid"}`)
		}
	})
	u.run(t.Context(), "", "doctor").must(t, 1,
		"PROBLEM   redis is down (1000.0 ms): no answer within 1s.", "ok        database is ok", "note    The server is of version v9",
		"clock is", "The server does not know who you are: the API token is not valid", "problems that need attention: 4")
}

func TestCompletionOfBash(t *testing.T) {
	t.Parallel()
	script := newUser(t).run(t.Context(), "", "completion", "bash").must(t, 0).stdout
	path := filepath.Join(t.TempDir(), "rollcall.bash")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ typed, want string }{
		{"host", "hosts host-keys"},
		{"hosts ", "ls show add rm import --help -h"},
		{"hosts ls --s", "--site --status"},
		{"hosts ls --status f", "fresh failing"},
		{"hosts ls -o ", "table json ndjson csv"},
		{"completion ", "bash zsh fish --help -h"},
		{"collect env=prod --priority b", "bulk"},
		{"changes --f", "--follow"},
		{"reports ", "ls show history metrics --help -h"},
		{"diff web-1 os -o ", "table json ndjson csv"},
		{"que", "query"},
		{"query os kernel.release --as", "--as-of"},
		{"query os -o ", "table json ndjson csv"},
	} {
		words := strings.Split("rollcall "+test.typed, " ")
		call := fmt.Sprintf(`source %s; COMP_WORDS=("$@"); COMP_CWORD=%d; _rollcall; echo "${COMPREPLY[*]}"`, path, len(words)-1)
		out, err := exec.CommandContext(t.Context(), "bash", append([]string{"-c", call, "bash"}, words...)...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("after %q: got %q, %v; want %q", test.typed, got, err, test.want)
		}
	}
}

func TestCompletionOfOtherShells(t *testing.T) {
	t.Parallel()
	newUser(t).run(t.Context(), "", "completion", "zsh").must(t, 0, "#compdef rollcall", "'/hosts/ls') words_here='", "'/hosts/ls -o') words_here='table json ndjson csv'")
	newUser(t).run(t.Context(), "", "completion", "fish").must(t, 0, `complete -c rollcall -n '__rollcall_at "/hosts"' -f -a ls`, `-x -a 'table json ndjson csv'`)
}
