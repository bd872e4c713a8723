// Package deploy_test holds what is deployed against the tools that read it and the code it speaks of.
package deploy_test

import (
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// run fails the test unless the program ends well.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, said)
	}
}

// gatewayConf writes the gateway's configuration with upstreams that refuse, listening at ports of loopback.
func gatewayConf(t *testing.T, rest, rpc, alive string) (path string) {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	const upstreams = "upstream api { server 127.0.0.1:9; } upstream api_auth { server 127.0.0.1:9; } upstream api_grpc { server 127.0.0.1:9; }"
	path = filepath.Join(dir, "nginx.conf")
	ours := strings.NewReplacer("/run/gateway", dir, "worker_processes auto", "worker_processes 1",
		"listen 8080;", "listen "+rest+";", "listen 50051 ", "listen "+rpc+" ", "listen 127.0.0.1:8089;", "listen "+alive+";").Replace(string(text))
	for path, text := range map[string]string{path: ours, filepath.Join(dir, "upstreams.conf"): upstreams} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestNginxAcceptsTheGatewaysConfiguration(t *testing.T) {
	t.Parallel()
	nginx := needs.Program(t, "nginx", "nginx-light")
	run(t, nginx, "-e", "stderr", "-t", "-q", "-c", gatewayConf(t, "127.0.0.1:8080", "127.0.0.1:50051", "127.0.0.1:8089"))
}

// TestWithoutAnApiTheGatewaySaysWhenToComeAgain: what the clients repeat is 503 with Retry-After.
func TestWithoutAnApiTheGatewaySaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	nginx := needs.Program(t, "nginx", "nginx-light")
	rest := freeAddr(t)
	cmd := exec.CommandContext(t.Context(), nginx, "-e", "stderr", "-g", "daemon off; user root;", "-c", gatewayConf(t, rest, freeAddr(t), freeAddr(t)))
	if os.Getuid() != 0 {
		cmd.Args[4] = "daemon off;"
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the master takes its workers with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status int
	var header http.Header
	var problem struct {
		Status int
		Code   string
	}
	await.Until(t, "nginx answers", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+rest+"/api/v1/hosts", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		status, header = answer.StatusCode, answer.Header
		if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil {
			t.Fatal(err)
		}
		return true
	})
	if status != http.StatusServiceUnavailable || problem.Status != status || problem.Code != "no_api" ||
		header.Get("Retry-After") != "1" || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the answer is %d, %v, %+v", status, header, problem)
	}
}

// freeAddr is an address of loopback that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestPrometheusAcceptsTheRulesAndTheyFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool := needs.Program(t, "promtool", "prometheus")
	run(t, promtool, "check", "rules", "prometheus/rules.yml")
	run(t, promtool, "test", "rules", "prometheus/rules_test.yml")
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), "/etc/prometheus/rules.yml", rules)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, promtool, "check", "config", config)
}

// source returns all Go code of ours that is not a test.
func source(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"../api", "../worker", "../scheduler", "../pkg"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestRulesSpeakOfMetricsAndRunbooksThatExist(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("prometheus/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	code := source(t)
	metrics := regexp.MustCompile(`\brollcall_[a-z_0-9]+`).FindAllString(string(rules), -1)
	slices.Sort(metrics)
	if len(metrics) < 20 {
		t.Fatalf("only %d metrics were found in the rules", len(metrics))
	}
	for _, metric := range slices.Compact(metrics) {
		name := metric
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			name = strings.TrimSuffix(name, suffix)
		}
		parts := strings.SplitN(name, "_", 3) // which is how a subsystem may be written
		inParts := `Subsystem: "` + parts[1] + `", Name: "` + strings.Join(parts[2:], "") + `"`
		if !strings.Contains(code, `"`+name+`"`) && !strings.Contains(code, inParts) {
			t.Errorf("the rules speak of %s, which nothing measures", metric)
		}
	}
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(runbook), "\n### "+m[1]+"\n") {
			t.Errorf("docs/operations.md does not say what to do for %s", m[1])
		}
		if !strings.Contains(string(tests), "alertname: "+m[1]) {
			t.Errorf("no test holds when %s fires", m[1])
		}
		if !strings.Contains(string(rules), "docs/operations.md#"+strings.ToLower(m[1])+"\n") {
			t.Errorf("%s does not lead to its runbook", m[1])
		}
	}
}
