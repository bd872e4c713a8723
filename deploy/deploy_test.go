// Package deploy_test holds what is deployed against the tools that read it and the code it speaks of.
package deploy_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// run fails the test unless the program ends well.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, said)
	}
}

func TestNginxAcceptsTheGatewaysConfiguration(t *testing.T) {
	t.Parallel()
	nginx := needs.Program(t, "nginx", "nginx-light")
	dir := t.TempDir()
	text, err := os.ReadFile("nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	const upstreams = "upstream api { server 127.0.0.1:9; } upstream api_auth { server 127.0.0.1:9; } upstream api_grpc { server 127.0.0.1:9; }"
	conf := filepath.Join(dir, "nginx.conf")
	for path, text := range map[string]string{
		conf: strings.ReplaceAll(string(text), "/run/gateway", dir), filepath.Join(dir, "upstreams.conf"): upstreams,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, nginx, "-e", "stderr", "-t", "-q", "-c", conf)
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
