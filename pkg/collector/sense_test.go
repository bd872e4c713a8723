package collector_test

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// A sense knows what a report of one type may say, whatever it was made of: no host can make it say anything else.
type sense struct {
	typ    string
	schema *jsonschema.Schema
	fields []collector.Field
	words  map[string][]string // the values of those fields that have only a few, by path
	mode   *regexp.Regexp
	finger *regexp.Regexp
	digest *regexp.Regexp
}

func newSense(tb testing.TB, reportType string) sense {
	tb.Helper()
	typ, ok := collector.Lookup(reportType)
	fields, err := typ.Fields()
	if err != nil || !ok {
		tb.Fatalf("%s: %v", reportType, err)
	}
	states := []string{"running", "stopped", "failed", "on_demand", "unknown"}
	enabled := []string{"yes", "no", "static", "masked", "generated", "unknown"}
	families := []string{"inet", "inet6"}
	return sense{
		typ: reportType, schema: compiled(tb)[reportType], fields: fields,
		mode: regexp.MustCompile(`^[0-7]{4}$`), finger: regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}(:\d+)?$`), digest: regexp.MustCompile(`^[0-9a-f]{64}$`),
		words: map[string][]string{
			"os virt.role":                            {"guest", "host", "none"},
			"os security.selinux.mode":                {"enforcing", "permissive", "disabled"},
			"os security.lockdown":                    {"none", "integrity", "confidentiality"},
			"cpu virt_ext":                            {"vmx", "svm"},
			"disks filesystems.*.state":               {"ok", "denied"},
			"network interfaces.*.addresses.*.family": families, "network routes.*.family": families,
			"network firewall.backend":   {"nftables", "iptables"},
			"packages packages.*.status": {"installed", "held", "config", "half"},
			"services services.*.state":  append(states, "activating"), "services timers.*.state": states,
			"services services.*.enabled": enabled, "services timers.*.enabled": enabled,
			"users users.*.password_state": {"set", "locked", "none"}, "users sudoers.rules.*.tool": {"sudo", "doas"},
			"ports listening.*.proto": {"tcp", "udp"}, "ports listening.*.family": families,
			"ports listening.*.exposure": {"loopback", "link", "private", "public", "any"},
		},
	}
}

// check fails the test for each thing that is wrong with a report.
func (s sense) check(t *testing.T, report collector.Report) {
	t.Helper()
	if report.Status == collector.StatusFailed || report.Unavailable["*"] == collector.ReasonOSUnsupported {
		return // of another kernel nothing is known that moves
	}
	for _, problem := range s.problems(decode(t, report.Facts), decode(t, report.Metrics)) {
		t.Error(problem)
	}
}

// problems holds a report to its schema, its keys to be keys, its numbers to be within what they count, its words to be
// among those that there are, and what names itself to be filed under its name.
func (s sense) problems(stable, volatile document) (out []string) {
	parts := document{"facts": stable, "metrics": volatile}
	if err := s.schema.Validate(parts); err != nil {
		out = append(out, err.Error())
	}
	everyKey(parts, func(key string) {
		if strings.TrimSpace(key) == "" || !utf8.ValidString(key) || strings.Contains(key, "\x00") {
			out = append(out, fmt.Sprintf("the key %q is none", key))
		}
	})
	for _, f := range s.fields {
		each(parts[f.Part], strings.Split(f.Path, "."), nil, func(path facts.Path, value any) {
			out = append(out, s.field(f, path, value)...)
		})
	}
	for path, name := range map[string]func(document) string{
		"users": fieldNamed("name"), "groups": fieldNamed("name"), "timers": fieldNamed("name"), "interfaces": fieldNamed("name"),
		"block": fieldNamed("name"), "md": fieldNamed("name"), "zfs_pools": fieldNamed("name"), "filesystems": fieldNamed("mountpoint"),
		"services": func(d document) string { return word(d["manager"]) + ":" + word(d["name"]) }, "listening": portKey,
	} {
		list, _ := stable[path].(document)
		for key, member := range list {
			if m, ok := member.(document); ok && name(m) != key {
				out = append(out, fmt.Sprintf("%s %q names itself %q", path, key, name(m)))
			}
		}
	}
	if s.typ == "ports" {
		listed, _ := stable["listening"].(document)
		moving, _ := volatile["listening"].(document)
		if !slices.Equal(slices.Sorted(mapKeys(listed)), slices.Sorted(mapKeys(moving))) {
			out = append(out, "facts and metrics are about other sockets")
		}
	}
	return out
}

// field holds one value to what is declared of its field.
func (s sense) field(f collector.Field, path facts.Path, value any) (out []string) {
	if text, ok := value.(string); ok {
		if allowed := s.words[s.typ+" "+f.Path]; allowed != nil && !slices.Contains(allowed, text) {
			out = append(out, fmt.Sprintf("%s is %q, which is none of %q", path, text, allowed))
		}
		switch last := path[len(path)-1]; {
		case last == "home_mode" && !s.mode.MatchString(text),
			last == "fingerprint_sha256" && !s.finger.MatchString(text),
			(last == "sha256" || strings.HasSuffix(last, "_sha256") && last != "fingerprint_sha256") && !s.digest.MatchString(text):
			out = append(out, fmt.Sprintf("%s is %q", path, text))
		}
	}
	number, ok := value.(float64)
	if !ok {
		return out
	}
	if low, high := bounds(f); number < low || number > high {
		out = append(out, fmt.Sprintf("%s is %v, which is not from %v to %v %s", path, number, low, high, f.Unit))
	}
	return out
}

// bounds returns what the number of a field can be.
func bounds(f collector.Field) (low, high float64) {
	const exact, endOfTime = 1 << 53, 253402300799 // the end of the year 9999
	switch last := f.Path[strings.LastIndexByte(f.Path, '.')+1:]; {
	case f.Unit == "percent":
		return 0, 100
	case last == "expires_at" || last == "password_changed_at":
		return 0, endOfTime
	case f.Unit == "Unix seconds":
		return 0, endOfTime
	case f.Path == "utc_offset_s":
		return -26 * 3600, 26 * 3600
	case last == "port":
		return 1, math.MaxUint16
	case last == "uid", last == "gid":
		return 0, math.MaxUint32
	case last == "vlan_id":
		return 0, 4095
	case last == "prefixlen":
		return 0, 128
	case last == "priority":
		return math.MinInt32, math.MaxInt32
	case last == "metric":
		return 0, math.MaxUint32
	}
	return 0, exact
}

// each calls visit for everything that a field's path leads to.
func each(value any, path []string, at facts.Path, visit func(facts.Path, any)) {
	if len(path) == 0 {
		visit(at, value)
		return
	}
	d, ok := value.(document)
	if !ok {
		return
	}
	for key, member := range d {
		if path[0] == "*" || path[0] == key {
			each(member, path[1:], append(slices.Clone(at), key), visit)
		}
	}
}

// everyKey calls visit for the keys of all objects.
func everyKey(value any, visit func(string)) {
	switch v := value.(type) {
	case document:
		for key, member := range v {
			visit(key)
			everyKey(member, visit)
		}
	case []any:
		for _, member := range v {
			everyKey(member, visit)
		}
	}
}

func fieldNamed(name string) func(document) string {
	return func(d document) string { return word(d[name]) }
}

// portKey returns what a socket is filed under, by what it says of itself.
func portKey(d document) string {
	address, err := netip.ParseAddr(word(d["address"]))
	port, ok := d["port"].(float64)
	if err != nil || !ok || address.Is6() != (d["family"] == "inet6") {
		return fmt.Sprintf("%v %v", d["address"], err)
	}
	return word(d["proto"]) + ":" + netip.AddrPortFrom(address, uint16(port)).String()
}

func TestRecordedReportsMakeSense(t *testing.T) {
	t.Parallel()
	for name, stdout := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{Nonce: recordedNonce}, typesOf(t, name)...)
			r, err := p.Read(stdout)
			if err != nil {
				t.Fatal(err)
			}
			for _, report := range p.Reports(r) {
				newSense(t, report.Type).check(t, report)
			}
		})
	}
}

// What lets everything through finds nothing.
func TestSenseRefusesNonsense(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce})
	r, err := p.Read(recordings(t)[vm])
	if err != nil {
		t.Fatal(err)
	}
	reports := map[string]collector.Report{}
	for _, report := range p.Reports(r) {
		reports[report.Type] = report
	}
	for _, tt := range []struct {
		name, typ, want string
		spoil           func(stable, volatile document)
	}{
		{"an account without a name", "users", `the key "" is none`, func(f, _ document) { object(f["users"])[""] = document{"name": ""} }},
		{"an account under another's name", "users", `users "root" names itself "daemon"`, func(f, _ document) {
			object(object(f["users"])["root"])["name"] = "daemon"
		}},
		{"a user ID that no kernel has", "users", "users.root.uid is 1e+12", func(f, _ document) { object(object(f["users"])["root"])["uid"] = 1e12 }},
		{"a state that there is not", "users", "which is none of", func(f, _ document) { object(object(f["users"])["root"])["password_state"] = "maybe" }},
		{"a mode that is none", "users", `users.root.home_mode is "99"`, func(f, _ document) { object(object(f["users"])["root"])["home_mode"] = "99" }},
		{"a port of which nothing moves", "ports", "other sockets", func(_, m document) { m["listening"] = document{} }},
		{"a field that nobody declared", "cpu", "additional properties", func(f, _ document) { f["planted"] = 1.0 }},
		{"a time after all times", "os", "is not from 0 to", func(_, m document) { m["boot_time"] = 1e15 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stable, volatile := decode(t, reports[tt.typ].Facts), decode(t, reports[tt.typ].Metrics)
			s := newSense(t, tt.typ)
			if found := s.problems(stable, volatile); len(found) > 0 {
				t.Fatalf("before it: %q", found)
			}
			tt.spoil(stable, volatile)
			if found := s.problems(stable, volatile); !strings.Contains(strings.Join(found, "\n"), tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}

// TestWhatCannotBeIsNotAccepted plants values that are well formed and that no system has.
func TestWhatCannotBeIsNotAccepted(t *testing.T) {
	t.Parallel()
	const accounts = "#passwd\nroot:shadow:0:0:root:/root:/bin/sh\n"
	for _, tt := range []struct {
		name, typ, section, contents string
		path                         []string
	}{
		{"a user ID beyond 32 bits", "users", "accounts", accounts + "big:shadow:4294967296:0::/:/bin/sh\n", []string{"users", "big"}},
		{"an account of blanks", "users", "accounts", accounts + " :shadow:7:0::/:/bin/sh\n", []string{"users", " "}},
		{"a day after the year 9999", "users", "accounts", accounts + "#shadow\nroot:set:2932897:0:1:7:::\n", []string{"users", "root", "password_changed_at"}},
		{"a mode of strange letters", "users", "homes", "d%%%%%%%%% 2 0 0 4096 Jan  1 00:00 /root\nd%%%%%%%%% 2 0 0 4096 Jan  1 00:00 /\ndone\n", []string{"users", "root", "home_mode"}},
		{"pressure of more than all", "memory", "mem", "MemTotal: 1000 kB\n/proc/pressure/memory:some avg10=101.00 avg60=0.00\n", []string{"pressure", "some"}},
		{"a mode of lockdown that there is not", "os", "os", "/proc/uptime:1 1\n/sys/kernel/security/lockdown:none [most] integrity\n", []string{"security", "lockdown"}},
		{"a zone four days ahead", "os", "os", "/proc/uptime:1 1\n=offset +9959\n", []string{"utc_offset_s"}},
		{"a boot after all times", "os", "os", "/proc/uptime:1 1\nbtime 253402300800\n", []string{"boot_time"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sections := map[string]string{"id": linuxIdentity, "accounts": accounts, tt.section: tt.contents}
			p := plan(t, collector.Options{Nonce: recordedNonce}, tt.typ)
			r, err := p.Read(answer(sections, p.Sections()))
			if err != nil {
				t.Fatal(err)
			}
			report := p.Reports(r)[0]
			if report.Status == collector.StatusFailed {
				t.Fatalf("the report failed: %v", report.Failure)
			}
			for _, part := range []document{decode(t, report.Facts), decode(t, report.Metrics)} {
				if got := at(part, tt.path...); got != nil {
					t.Errorf("%q is %v", tt.path, got)
				}
			}
			newSense(t, tt.typ).check(t, report)
		})
	}
}

// TestWhatIsKeptFromEverybodyIsDenied holds that a host which hides parts of /proc is not said to want root.
func TestWhatIsKeptFromEverybodyIsDenied(t *testing.T) {
	t.Parallel()
	for _, id := range []string{linuxIdentity, plainIdentity} {
		p := plan(t, collector.Options{Nonce: recordedNonce}, "os", "cpu")
		r, err := p.Read(answer(map[string]string{"id": id, "os": "/proc/1/comm:init\n", "cpu": "present:0\nonline:0\n"}, p.Sections()))
		if err != nil {
			t.Fatal(err)
		}
		reports := p.Reports(r)
		for _, path := range []string{"uptime_seconds", "boot_time", "boot_id"} {
			equal(t, path, reports[0].Unavailable[path], collector.ReasonDenied)
		}
		for _, path := range []string{"load1", "load5", "load15", "procs_running", "procs_total"} {
			equal(t, path, reports[1].Unavailable[path], collector.ReasonDenied)
		}
		for _, path := range []string{"security.fips", "security.lockdown", "security.secure_boot"} {
			equal(t, path, reports[0].Unavailable[path], collector.ReasonNotApplicable)
		}
	}
}

func TestLVMThatCannotBeAskedIsNotEmpty(t *testing.T) {
	t.Parallel()
	const none = `{"report":[{"pv":[]}]}`
	for _, tt := range []struct{ name, lvm, reason, status string }{
		{"there are no tools", "", collector.ReasonToolMissing, collector.StatusOK},
		{"the tools refuse", "#pvs\n#vgs\n#lvs\n", collector.ReasonDenied, collector.StatusPartial},
		{"they babble", "#pvs\nno\n#vgs\n" + none + "\n#lvs\n" + none + "\n", collector.ReasonParseFailed, collector.StatusPartial},
		{"there is nothing", "#pvs\n" + none + "\n#vgs\n" + none + "\n#lvs\n" + none + "\n", "", collector.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report := reportOf(t, "disks", map[string]string{"lvm": tt.lvm})
			equal(t, "reason", report.Unavailable["lvm"], tt.reason)
			equal(t, "status", report.Status, tt.status)
			if tt.reason == collector.ReasonToolMissing {
				equal(t, "volumes", at(decode(t, report.Facts), "lvm", "pvs"), nil)
			}
			if tt.reason == "" {
				equal(t, "volumes", at(decode(t, report.Facts), "lvm", "pvs"), any(document{}))
			}
		})
	}
}
