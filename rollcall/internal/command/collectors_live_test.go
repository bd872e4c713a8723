package command_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// tryExample runs one of the examples on this machine as a worker would on a host, by a shell of its own session. The
// shell is /bin/sh, or what is given, which is to run its further arguments with one.
func tryExample(t *testing.T, name string, shell ...string) collector.Report {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs/examples/collectors", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	definition, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	d, err := collector.ParseDefinition(definition)
	if err != nil {
		t.Fatal(err)
	}
	d.Version = 1
	custom, err := collector.Custom(d)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := collector.NewPlan([]string{name}, collector.Options{Custom: []collector.Type{custom}})
	if err != nil {
		t.Fatal(err)
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh"}
	}
	cmd := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "-c", plan.Command())...)
	cmd.Stdin = bytes.NewReader(plan.Script())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	run, err := plan.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Reports(run)[0]
}

// within returns a shell that sees a directory in the place of another one, which the machine has.
func within(t *testing.T, dir, place string) []string {
	t.Helper()
	needs.Root(t, "mounting over "+place)
	unshare := needs.Program(t, "unshare", "util-linux")
	if _, err := os.Stat(place); err != nil {
		needs.Lacking(t, "there is no place to mount over: %v", err)
	}
	return []string{unshare, "-m", "/bin/sh", "-c", `mount --bind "$0" "$1" && shift && exec /bin/sh "$@"`, dir, place}
}

func TestTheExampleForKernelParametersTellsWhatTheKernelHas(t *testing.T) {
	t.Parallel()
	report := tryExample(t, "kernel_parameters")
	var got map[string]any
	if err := json.Unmarshal(report.Facts, &got); err != nil || report.Status != collector.StatusOK {
		t.Fatalf("%s: %s, %v, %v", report.Status, report.Facts, report.Failure, err)
	}
	for _, name := range []string{"kernel.randomize_va_space", "fs.suid_dumpable", "vm.swappiness"} {
		if _, told := got[name]; !told {
			t.Errorf("%s is not among %v", name, slices.Sorted(maps.Keys(got)))
		}
	}
	for name, value := range got {
		raw, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			t.Error(err)
			continue
		}
		want, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
		if err != nil || value != want {
			t.Errorf("%s is %v, want %s", name, value, raw)
		}
	}
}

func TestTheExampleForCertificatesTellsWhatIsInThem(t *testing.T) {
	t.Parallel()
	needs.Program(t, "openssl", "openssl")
	dir := t.TempDir()
	shell := within(t, dir, "/etc/ssl/certs")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stable, volatile := map[string]any{}, map[string]any{}
	for name, tt := range map[string]struct {
		left  time.Duration
		names []string
	}{
		"good.pem": {100*24*time.Hour + time.Hour, []string{"www.example.org", "example.org"}},
		"over.pem": {-3*24*time.Hour - time.Hour, nil},
		"leap.pem": {time.Until(time.Date(2048, 2, 29, 23, 59, 59, 0, time.UTC)), []string{"leap.example.org"}},
	} {
		template := x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, DNSNames: tt.names,
			NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(tt.left),
		}
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		names := ""
		for i, n := range tt.names {
			names += []string{"", ", "}[min(i, 1)] + "DNS:" + n
		}
		path := "/etc/ssl/certs/" + name
		stable[path] = map[string]any{
			"path": path, "subject": "CN=" + name + ",O=Example", "names": names, "not_after": parsed.NotAfter.UTC().Format("Jan _2 15:04:05 2006 GMT"),
		}
		volatile[path] = map[string]any{"days_left": float64(int(time.Until(parsed.NotAfter) / (24 * time.Hour)))}
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := tryExample(t, "certificates", shell...)
	var got, metrics map[string]map[string]any
	if err := json.Unmarshal(report.Facts, &got); err != nil {
		t.Fatalf("%s: %s, %v", report.Status, report.Facts, report.Failure)
	}
	if err := json.Unmarshal(report.Metrics, &metrics); err != nil {
		t.Fatal(err)
	}
	for _, all := range []map[string]map[string]any{got, metrics} {
		maps.DeleteFunc(all["items"], func(path string, _ any) bool { return !strings.HasPrefix(path, "/etc/ssl/certs/") })
	}
	if diff := cmp.Diff(map[string]map[string]any{"items": stable}, got); diff != "" {
		t.Errorf("facts, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]map[string]any{"items": volatile}, metrics); diff != "" {
		t.Errorf("metrics, -want +got:\n%s", diff)
	}
}

func TestTheExampleForCronTellsWhatIsRunWithoutSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shell := within(t, dir, "/etc/cron.d")
	const table = "# a comment\nSHELL=/bin/sh\nMAILTO = root\n\n*/5 * * * *\tbackup\tcurl  -u x --token=hunter2 https://h/\t&& true\n" +
		"@reboot root /usr/bin/start --now\n30 3 1,15 * 1-5 www-data /bin/clean %a %b\n"
	if err := os.WriteFile(filepath.Join(dir, "planted"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	report := tryExample(t, "cron", shell...)
	if report.Status != collector.StatusOK || bytes.Contains(report.Facts, []byte("hunter2")) {
		t.Fatalf("%s: %s, %v", report.Status, report.Facts, report.Failure)
	}
	var got struct {
		Items map[string]map[string]string `json:"items"`
	}
	if err := json.Unmarshal(report.Facts, &got); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, item := range got.Items {
		if item["file"] == "/etc/cron.d/planted" {
			told = append(told, item["schedule"]+"|"+item["user"]+"|"+item["command"])
		}
	}
	slices.Sort(told)
	want := []string{
		"*/5 * * * *|backup|curl  -u x --token=[redacted] https://h/ && true", "30 3 1,15 * 1-5|www-data|/bin/clean %a %b", "@reboot|root|/usr/bin/start --now",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheExampleForSSHDTellsWhatSSHDSays(t *testing.T) {
	t.Parallel()
	needs.Root(t, "asking sshd for its settings")
	sshd := needs.Program(t, "sshd", "openssh-server")
	out, err := exec.CommandContext(t.Context(), sshd, "-T").Output()
	if err != nil {
		needs.Lacking(t, "sshd -T fails here: %v", err)
	}
	said := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[name] = append(said[name], strings.TrimSpace(value))
	}
	report := tryExample(t, "sshd_settings")
	var got map[string]any
	if err := json.Unmarshal(report.Facts, &got); err != nil || report.Status != collector.StatusOK {
		t.Fatalf("%s: %s, %v", report.Status, report.Facts, report.Failure)
	}
	if len(got) != len(said) || len(said) < 50 {
		t.Errorf("%d settings, want %d", len(got), len(said))
	}
	for name, values := range said {
		told, isList := got[name].([]any)
		if !isList {
			told = []any{got[name]}
		}
		for i, value := range values {
			if number, err := strconv.ParseFloat(value, 64); len(told) != len(values) || told[i] != any(value) && (err != nil || told[i] != any(number)) {
				t.Errorf("%s is %v, want %q", name, got[name], values)
			}
		}
	}
	if _, isList := got["port"].([]any); !isList {
		t.Errorf("port is %v, want a list", got["port"])
	}
}
