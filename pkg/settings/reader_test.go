package settings_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// worker reads a configuration such as the worker's.
func worker(environ map[string]string) (*settings.Reader, error) {
	r := settings.NewReader(environ)
	r.PostgresURL("DATABASE_URL", true, "PostgreSQL DSN")
	r.RedisURL("REDIS_URL", true, "Redis")
	r.Int("ROLLCALL_WORKER_CONCURRENCY", 200, 1, 20000, "hosts one worker talks to at once")
	r.KeyList("ROLLCALL_OPEN_KEYS", true, "the private keys of its sites")
	r.SigningKey("ROLLCALL_SIGNING_KEY", false, "signs access tokens")
	r.Known("ROLLCALL_HTTP_ADDR")
	return r, r.Err()
}

// good is an environment that worker accepts.
func good() map[string]string {
	return map[string]string{
		"DATABASE_URL": "postgres://u:hunter2@db/rollcall", "REDIS_URL": "redis://:hunter2@cache",
		"ROLLCALL_OPEN_KEYS": "eu/a:hunter2", "PATH": "/bin",
	}
}

func TestErrNamesVariableReasonAndExample(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]string
		want   string // "" for none
	}{
		{"a good environment has no problems", nil, ""},
		{
			"a number that is a word",
			map[string]string{"ROLLCALL_WORKER_CONCURRENCY": "abc"},
			`ROLLCALL_WORKER_CONCURRENCY: "abc" is not a whole number between 1 and 20000; for example ROLLCALL_WORKER_CONCURRENCY=200`,
		},
		{
			"a required value that is missing",
			map[string]string{"DATABASE_URL": ""},
			"DATABASE_URL: is required; for example DATABASE_URL=postgres://rollcall:PASSWORD@127.0.0.1:5432/rollcall",
		},
		{
			"a URL is not shown",
			map[string]string{"REDIS_URL": "http://:hunter2@cache"},
			"REDIS_URL: the value has a scheme that is none of redis, rediss, redis-sentinel, redis-cluster, unix; for example REDIS_URL=redis://127.0.0.1:6379/0",
		},
		{
			"a key is not shown and not given by example",
			map[string]string{"ROLLCALL_SIGNING_KEY": "hunter2"},
			"ROLLCALL_SIGNING_KEY: the value has 7 bytes instead of at least 32 bytes without white space or comma; `rollcall keygen` prints a fresh one",
		},
		{
			"a misspelt variable",
			map[string]string{"ROLLCALL_WORKER_CONCURENCY": "hunter2"},
			"ROLLCALL_WORKER_CONCURENCY: is not a variable that Rollcall knows; did you mean ROLLCALL_WORKER_CONCURRENCY?",
		},
		{
			"a variable like no other",
			map[string]string{"ROLLCALL_BANANA": "hunter2"},
			"ROLLCALL_BANANA: is not a variable that Rollcall knows",
		},
		{
			"a misspelt file variable",
			map[string]string{"ROLLCALL_SIGNING_KYE_FILE": "/x"},
			"ROLLCALL_SIGNING_KYE_FILE: is not a variable that Rollcall knows; did you mean ROLLCALL_SIGNING_KEY_FILE?",
		},
		{"a variable of another process", map[string]string{"ROLLCALL_HTTP_ADDR": ":80"}, ""},
		{"a variable of another process from a file", map[string]string{"ROLLCALL_HTTP_ADDR_FILE": "/x"}, ""},
		{"what Kubernetes injects for a service called rollcall-api", map[string]string{
			"ROLLCALL_API_SERVICE_HOST": "10.0.0.1", "ROLLCALL_API_SERVICE_PORT": "80", "ROLLCALL_API_SERVICE_PORT_HTTP": "80",
			"ROLLCALL_API_PORT": "tcp://10.0.0.1:80", "ROLLCALL_API_PORT_80_TCP": "tcp://10.0.0.1:80",
			"ROLLCALL_API_PORT_80_TCP_PROTO": "tcp", "ROLLCALL_API_PORT_80_TCP_PORT": "80", "ROLLCALL_API_PORT_80_TCP_ADDR": "10.0.0.1",
		}, ""},
		{
			"a port of our own invention",
			map[string]string{"ROLLCALL_API_PORT": "80"},
			"ROLLCALL_API_PORT: is not a variable that Rollcall knows",
		},
		{
			"several problems at once",
			map[string]string{"DATABASE_URL": "", "ROLLCALL_WORKER_CONCURRENCY": "0", "ROLLCALL_BANANA": "1"},
			"DATABASE_URL: is required; for example DATABASE_URL=postgres://rollcall:PASSWORD@127.0.0.1:5432/rollcall\n" +
				`ROLLCALL_WORKER_CONCURRENCY: "0" is not a whole number between 1 and 20000; for example ROLLCALL_WORKER_CONCURRENCY=200` + "\n" +
				"ROLLCALL_BANANA: is not a variable that Rollcall knows",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := good()
			maps.Copy(environ, tt.change)
			_, err := worker(environ)
			got := ""
			if err != nil {
				got = err.Error()
				if fleet.KindOf(err) != fleet.Invalid {
					t.Errorf("kind = %d, want Invalid", fleet.KindOf(err))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Err (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("the error shows a secret: %s", got)
			}
		})
	}
}

func TestLongValuesAreCutInMessages(t *testing.T) {
	t.Parallel()
	r := settings.NewReader(map[string]string{"N": strings.Repeat("9", 10_000)})
	r.Int("N", 1, 1, 2, "a number")
	if err := r.Err(); err == nil || len(err.Error()) > 300 {
		t.Errorf("Err = %v", err)
	}
}

func TestValuesFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		environ map[string]string
		want    string
		problem string
	}{
		{"the file's content is the value", map[string]string{"N_FILE": write("plain", "value")}, "value", ""},
		{"its last line break is dropped", map[string]string{"N_FILE": write("line", "value\n")}, "value", ""},
		{"so is that of another system", map[string]string{"N_FILE": write("crlf", "value\r\n")}, "value", ""},
		{"all else is kept", map[string]string{"N_FILE": write("two", " a\nb \n\n")}, " a\nb \n", ""},
		{"an empty NAME beside it does not count", map[string]string{"N": "", "N_FILE": write("beside", "value")}, "value", ""},
		{"both are one too many", map[string]string{"N": "hunter2", "N_FILE": write("both", "hunter2")}, "def", "N: is set, and so is N_FILE"},
		{"a missing file", map[string]string{"N_FILE": filepath.Join(dir, "nope")}, "def", "N_FILE: cannot be read"},
		{"an empty file", map[string]string{"N_FILE": write("empty", "\n")}, "def", "which is empty"},
		{"a directory", map[string]string{"N_FILE": dir}, "def", "which is not a file"},
		{"a named pipe does not hang", map[string]string{"N_FILE": pipe}, "def", "which is not a file"},
		{"a file of more than a mebibyte", map[string]string{"N_FILE": write("large", strings.Repeat("x", 1<<20+1))}, "def", "more than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := settings.NewReader(tt.environ)
			got := r.String("N", "def", "x", "a value")
			err := r.Err()
			if got != tt.want || (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("String = %q, %v, want %q and %q", got, err, tt.want, tt.problem)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
	r := settings.NewReader(map[string]string{"N_FILE": write("secret", "hunter2")})
	r.Int("N", 1, 1, 9, "a number")
	if err := r.Err(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "N_FILE") {
		t.Errorf("a wrong value from a file = %v, want it named and not shown", err)
	}
}

func TestDocumented(t *testing.T) {
	t.Parallel()
	r, err := worker(nil)
	if err == nil {
		t.Fatal("an empty environment is accepted")
	}
	r.Duration("ROLLCALL_DRAIN", 90*time.Second, 0, time.Hour, "how long a stopping worker waits")
	r.Int("ROLLCALL_WORKER_CONCURRENCY", 200, 1, 20000, "read a second time") // stays as it was
	want := []settings.Variable{
		{Name: "DATABASE_URL", Meaning: "PostgreSQL DSN", Example: "postgres://rollcall:PASSWORD@127.0.0.1:5432/rollcall", Required: true, Secret: true},
		{Name: "REDIS_URL", Meaning: "Redis", Example: "redis://127.0.0.1:6379/0", Required: true, Secret: true},
		{Name: "ROLLCALL_WORKER_CONCURRENCY", Default: "200", Meaning: "hosts one worker talks to at once", Example: "200"},
		{
			Name:     "ROLLCALL_OPEN_KEYS",
			Meaning:  "the private keys of its sites (site/id:base64, separated by commas; `rollcall keygen` prints them)",
			Example:  "eu/hk-0123456789abcdef:BASE64",
			Required: true, Secret: true,
		},
		{Name: "ROLLCALL_SIGNING_KEY", Meaning: "signs access tokens", Secret: true},
		{Name: "ROLLCALL_DRAIN", Default: "1m30s", Meaning: "how long a stopping worker waits", Example: "1m30s"},
	}
	if diff := cmp.Diff(want, r.Documented()); diff != "" {
		t.Errorf("Documented (-want +got):\n%s", diff)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	r := settings.NewReader(nil)
	r.Refuse("ROLLCALL_OPEN_KEYS", errors.New("entry 2: is empty"))
	if err := r.Err(); err == nil || err.Error() != "ROLLCALL_OPEN_KEYS: entry 2: is empty" || fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("Err = %v", err)
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	got := settings.Environ([]string{"A=1", "B=x=y", "EMPTY=", "=C:=C:\\", "NOTHING", "A=2"})
	if diff := cmp.Diff(map[string]string{"A": "2", "B": "x=y", "EMPTY": ""}, got); diff != "" {
		t.Errorf("Environ (-want +got):\n%s", diff)
	}
}
