package collector_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

func TestThePortsReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	own := listenEverywhere(t)
	before := socketsByTool(t)
	p := plan(t, collector.Options{}, "ports")
	r := run(t, p)
	report := p.Reports(r)[0]
	after := socketsByTool(t)
	sockets, _ := r.Section("sockets")
	if want := "#range\n" + readFile(t, "/proc/sys/net/ipv4/ip_local_port_range"); !strings.Contains(string(sockets.Data), want) {
		t.Errorf("the host does not tell %q", want)
	}
	facts, metrics := decode(t, report.Facts), decode(t, report.Metrics)
	if report.Status != collector.StatusOK {
		t.Fatalf("the report is %s: %v", report.Status, report.Warnings)
	}
	listening, _ := at(facts, "listening").(document)
	for key := range before {
		if _, listed := listening[key]; after[key] && !listed {
			t.Errorf("ss tells of %s, which is not listed", key)
		}
	}
	for key := range listening {
		if again := socketsByTool(t); !before[key] && !after[key] && !again[key] {
			t.Errorf("%s is listed, and ss does not know it", key)
		}
	}
	comm := strings.TrimSpace(readFile(t, "/proc/self/comm"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for key, exposure := range own {
		f, ok := listening[key].(document)
		if !ok {
			t.Errorf("%s is not listed", key)
			continue
		}
		equal(t, key+" process", f["process"], any(comm))
		equal(t, key+" exe", f["exe"], any(mustResolve(t, exe)))
		equal(t, key+" uid", f["uid"], any(float64(os.Geteuid())))
		equal(t, key+" exposure", f["exposure"], any(exposure))
		equal(t, key+" pid", at(metrics, "listening", key, "pid"), any(float64(os.Getpid())))
	}
	summary, _ := at(metrics, "summary").(document)
	if bound, _ := summary["udp_bound"].(float64); bound < 1 || summary["udp_ephemeral"].(float64) < 1 { //nolint:errcheck // the test ends if not
		t.Errorf("the summary is %v, want a UDP socket on a port that the kernel picked", summary)
	}
}

// listenEverywhere opens a port of each kind and returns their keys, and to whom they are exposed. A UDP port that the
// kernel picked is none of them.
func listenEverywhere(t *testing.T) map[string]string {
	t.Helper()
	config := net.ListenConfig{}
	own := map[string]string{}
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		l, err := config.Listen(t.Context(), network, address)
		if err != nil {
			t.Logf("%s: %v", address, err) // not every machine has IPv6
			continue
		}
		t.Cleanup(func() { _ = l.Close() })
		own["tcp:"+l.Addr().String()] = "loopback"
	}
	picked, err := config.ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = picked.Close() })
	low, _, _ := strings.Cut(strings.TrimSpace(readFile(t, "/proc/sys/net/ipv4/ip_local_port_range")), "\t")
	below, err := strconv.Atoi(low)
	if err != nil {
		t.Fatal(err)
	}
	for port := below - 1; port > 1024; port-- {
		udp, err := config.ListenPacket(t.Context(), "udp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			t.Cleanup(func() { _ = udp.Close() })
			own["udp:"+udp.LocalAddr().String()] = "loopback"
			return own
		}
	}
	t.Fatal("there is no port left")
	return nil
}

// socketsByTool returns the keys of the sockets that ss knows to wait for others, without UDP on ports that the kernel
// may have picked.
func socketsByTool(t *testing.T) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	scope := regexp.MustCompile(`%[^\]:]+`)
	bounds := strings.Fields(readFile(t, "/proc/sys/net/ipv4/ip_local_port_range"))
	low, high := asNumber(t, bounds[0]), asNumber(t, bounds[1])
	for line := range strings.Lines(tool(t, "ss", "-H", "-l", "-n", "-t", "-u")) {
		f := strings.Fields(line)
		local := scope.ReplaceAllString(f[4], "")
		if strings.HasPrefix(local, "*:") {
			local = "[::]" + local[1:]
		}
		a, err := netip.ParseAddrPort(local)
		if err != nil {
			t.Fatalf("ss says %q: %v", line, err)
		}
		if f[0] == "udp" && float64(a.Port()) >= low && float64(a.Port()) <= high {
			continue
		}
		keys[f[0]+":"+a.String()] = true
	}
	return keys
}

func mustResolve(t *testing.T, path string) string {
	t.Helper()
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}
