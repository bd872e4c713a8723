package collector_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// A document is decoded facts or metrics, for tests that look at them as a stranger would.
type document = map[string]any

// live collects this machine and returns the report of one type, decoded.
func live(t *testing.T, name string) (facts, metrics document) {
	t.Helper()
	p := plan(t, collector.Options{}, name)
	r := run(t, p)
	if !r.Complete || r.PGID == 0 || r.ClockAt.IsZero() {
		t.Fatalf("run is complete %v with group %d and clock %v", r.Complete, r.PGID, r.ClockAt)
	}
	reports := p.Reports(r)
	if len(reports) != 1 || reports[0].Status != collector.StatusOK {
		t.Fatalf("reports = %+v, want one that is ok", reports)
	}
	return decode(t, reports[0].Facts), decode(t, reports[0].Metrics)
}

func decode(t *testing.T, raw []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	return d
}

// at follows a path of names into a document.
func at(d document, path ...string) any {
	var v any = d
	for _, name := range path {
		m, _ := v.(document)
		v = m[name]
	}
	return v
}

// tool returns what a command of this machine prints, without white space around it.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTheOSReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, metrics := live(t, "os")
	equal(t, "kernel.name", at(facts, "kernel", "name"), any(tool(t, "uname", "-s")))
	equal(t, "kernel.release", at(facts, "kernel", "release"), any(tool(t, "uname", "-r")))
	equal(t, "kernel.version", at(facts, "kernel", "version"), any(tool(t, "uname", "-v")))
	equal(t, "hostname", at(facts, "hostname"), any(tool(t, "uname", "-n")))
	equal(t, "arch", at(facts, "arch"), any(tool(t, "uname", "-m")))
	equal(t, "machine_id", at(facts, "machine_id"), any(strings.TrimSpace(readFile(t, "/etc/machine-id"))))
	equal(t, "id", at(facts, "id"), any(tool(t, "sh", "-c", ". /etc/os-release; echo $ID")))
	equal(t, "boot_id", at(metrics, "boot_id"), any(strings.TrimSpace(readFile(t, "/proc/sys/kernel/random/boot_id"))))
	up, _, _ := strings.Cut(readFile(t, "/proc/uptime"), " ")
	within(t, "uptime_seconds", at(metrics, "uptime_seconds"), up, 60)
}

// within tells whether two numbers that move are as close as they must be.
func within(t *testing.T, what string, got any, want string, tolerance float64) {
	t.Helper()
	w, err := strconv.ParseFloat(want, 64)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	g, ok := got.(float64)
	if !ok || g < w-tolerance || g > w+tolerance {
		t.Errorf("%s = %v, want %v within %v", what, got, w, tolerance)
	}
}

func TestTheCPUReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, metrics := live(t, "cpu")
	// nproc minds the affinity of its caller; the report does not.
	within(t, "online", at(facts, "online"), tool(t, "nproc", "--all"), 0)
	within(t, "threads", at(facts, "threads"), tool(t, "nproc", "--all"), 0)
	load := strings.Fields(readFile(t, "/proc/loadavg"))
	within(t, "load15", at(metrics, "load15"), load[2], 3)
	for _, name := range []string{"load1", "load5", "procs_running", "procs_total"} {
		if _, ok := at(metrics, name).(float64); !ok {
			t.Errorf("%s = %v, want a number", name, at(metrics, name))
		}
	}
}

func TestTheMemoryReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, metrics := live(t, "memory")
	info := map[string]float64{}
	for line := range strings.Lines(readFile(t, "/proc/meminfo")) {
		name, rest, _ := strings.Cut(line, ":")
		kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		info[name] = kb * 1024
	}
	equal(t, "total", at(facts, "total"), any(info["MemTotal"]))
	equal(t, "swap.total", at(facts, "swap", "total"), any(info["SwapTotal"]))
	const moved = 4 << 30 // others use this machine while the test runs
	for name, field := range map[string]string{"available": "MemAvailable", "free": "MemFree"} {
		within(t, name, at(metrics, name), strconv.FormatFloat(info[field], 'f', 0, 64), moved)
	}
}

func TestTheDisksReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, metrics := live(t, "disks")
	compared := 0
	for line := range strings.Lines(readFile(t, "/proc/mounts")) {
		f := strings.Fields(line)
		fs, listed := at(facts, "filesystems", f[1]).(document)
		if f[2] != "ext4" && f[2] != "tmpfs" && f[2] != "overlay" && f[2] != "xfs" || !listed || fs["device"] != f[0] {
			continue
		}
		compared++
		equal(t, f[1]+" fstype", fs["fstype"], any(f[2]))
		equal(t, f[1]+" readonly", fs["readonly"], any(slices.Contains(strings.Split(f[3], ","), "ro")))
		var st syscall.Statfs_t
		if err := syscall.Statfs(f[1], &st); err != nil {
			t.Fatal(err)
		}
		size := strconv.FormatUint(st.Blocks*uint64(st.Bsize), 10)
		m, _ := at(metrics, "filesystems", f[1]).(document)
		within(t, f[1]+" size", m["size"], size, 1024)
		within(t, f[1]+" free", m["free"], strconv.FormatUint(st.Bfree*uint64(st.Bsize), 10), 8<<30)
		within(t, f[1]+" inodes_total", m["inodes_total"], strconv.FormatUint(st.Files, 10), 0)
		if f[2] == "ext4" {
			within(t, f[1]+" size as a fact", fs["size"], size, 1024)
		}
	}
	if _, ok := at(facts, "filesystems", "/").(document); !ok || compared == 0 {
		t.Errorf("the root file system is listed: %v; %d compared", ok, compared)
	}
	disks, err := filepath.Glob("/sys/block/[vsn][dv][am]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range disks {
		sectors, err := strconv.ParseFloat(strings.TrimSpace(readFile(t, dir+"/size")), 64)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, dir, at(facts, "block", filepath.Base(dir), "size"), any(sectors*512))
	}
}

func TestTheNetworkReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, metrics := live(t, "network")
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, l := range links {
		f, ok := at(facts, "interfaces", l.Name).(document)
		if !ok {
			continue // of a container that another user of this machine runs
		}
		compared++
		equal(t, l.Name+" mtu", f["mtu"], any(float64(l.MTU)))
		equal(t, l.Name+" admin_up", f["admin_up"], any(l.Flags&net.FlagUp != 0))
		equal(t, l.Name+" oper_state", at(metrics, "interfaces", l.Name, "oper_state"), any(strings.TrimSpace(readFile(t, "/sys/class/net/"+l.Name+"/operstate"))))
		if len(l.HardwareAddr) > 0 {
			equal(t, l.Name+" mac", f["mac"], any(l.HardwareAddr.String()))
		}
		addresses, err := l.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, a := range addresses {
			want = append(want, a.String())
		}
		listed, ok := f["addresses"].(document)
		if !ok {
			t.Fatalf("the addresses are %T", f["addresses"])
		}
		for key := range listed {
			got = append(got, key)
		}
		slices.Sort(want)
		slices.Sort(got)
		equal(t, l.Name+" addresses", got, want)
	}
	equal(t, "oper_state of lo as a fact", at(facts, "interfaces", "lo", "oper_state"), at(metrics, "interfaces", "lo", "oper_state"))
	if _, ok := at(facts, "interfaces", "lo").(document); !ok || compared == 0 {
		t.Errorf("lo is listed: %v; %d compared", ok, compared)
	}
	sameAsIP(t, facts, metrics)
}

// sameAsIP compares with ip, where this machine has it.
func sameAsIP(t *testing.T, facts, metrics document) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Log("this machine has no ip to compare with")
		return
	}
	var links []struct {
		Name    string `json:"ifname"`
		State   string `json:"operstate"`
		Address string `json:"address"`
	}
	if err := json.Unmarshal([]byte(tool(t, "ip", "-j", "addr")), &links); err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if f, ok := at(facts, "interfaces", l.Name).(document); ok {
			equal(t, l.Name+" oper_state", at(metrics, "interfaces", l.Name, "oper_state"), any(strings.ToLower(l.State)))
			equal(t, l.Name+" mac", f["mac"], any(l.Address))
		}
	}
	var routes []struct{ Gateway, Dev string }
	if err := json.Unmarshal([]byte(tool(t, "ip", "-j", "-4", "route", "show", "default")), &routes); err != nil {
		t.Fatal(err)
	}
	if len(routes) == 1 {
		equal(t, "default gateway", at(facts, "default", "v4", "gw"), any(routes[0].Gateway))
		equal(t, "default device", at(facts, "default", "v4", "dev"), any(routes[0].Dev))
	}
}
