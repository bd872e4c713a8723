package collector_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// unitOf is what systemctl show tells of a unit; properties are in pairs and replace the usual ones.
func unitOf(id string, properties ...string) string {
	all := []string{
		"Type", "simple", "RemainAfterExit", "no", "Id", id, "LoadState", "loaded", "ActiveState", "active", "SubState", "running",
		"UnitFileState", "enabled", "WantedBy", "multi-user.target", "MainPID", "7", "ExecStart", "{ path=/bin/x", "Transient", "no",
	}
	var out strings.Builder
	for i := 0; i < len(all); i += 2 {
		value := all[i+1]
		for j := 0; j < len(properties); j += 2 {
			if properties[j] == all[i] {
				value = properties[j+1]
			}
		}
		out.WriteString(all[i] + "=" + value + "\n")
	}
	for j := 0; j < len(properties); j += 2 {
		if !strings.Contains("\n"+out.String(), "\n"+properties[j]+"=") {
			out.WriteString(properties[j] + "=" + properties[j+1] + "\n")
		}
	}
	return out.String() + "\n"
}

func TestWhatServicesDoByThemselvesIsNoFactAndWhatSomebodyDidIs(t *testing.T) {
	t.Parallel()
	const inactive, dead = "inactive", "dead"
	web := unitOf("web.service")
	oneshot := []string{"Type", "oneshot", "UnitFileState", "static", "WantedBy", ""}
	bus := []string{"Type", "dbus", "UnitFileState", "static", "WantedBy", "", "BusName", "org.example.x"}
	with := func(list []string, more ...string) []string { return append(append([]string{}, list...), more...) }
	const state = `changed services."systemd:web.service".state`
	for _, tt := range []struct{ name, before, after, want string }{
		{"it starts again with another process", web, unitOf("web.service", "MainPID", "99", "NRestarts", "4", "MemoryCurrent", "77"), ``},
		{"it is on its way up again", web, unitOf("web.service", "ActiveState", "activating", "SubState", "auto-restart"), ``},
		{"it is on its way down", web, unitOf("web.service", "ActiveState", "deactivating", "SubState", "stop-sigterm"), ``},
		{"it reads its configuration", web, unitOf("web.service", "ActiveState", "reloading", "SubState", "reload"), ``},
		{"somebody stops it", web, unitOf("web.service", "ActiveState", inactive, "SubState", dead), state},
		{"it fails", web, unitOf("web.service", "ActiveState", "failed", "SubState", "failed"), state},
		{"somebody disables it", web, unitOf("web.service", "UnitFileState", "disabled", "WantedBy", ""), `changed services."systemd:web.service".enabled changed services."systemd:web.service".enabled_state`},
		{"it is removed", web, unitOf("other.service", "LoadState", "not-found", "ActiveState", inactive), `removed services."systemd:web.service"`},
		{"a timer's service runs", unitOf("job.service", with(oneshot, "ActiveState", inactive)...), unitOf("job.service", with(oneshot, "ActiveState", "activating", "SubState", "start")...), ``},
		{"a timer's service failed", unitOf("job.service", with(oneshot, "ActiveState", inactive)...), unitOf("job.service", with(oneshot, "ActiveState", "failed")...), `changed services."systemd:job.service".state`},
		{"a service on the bus ends", unitOf("x.service", bus...), unitOf("x.service", with(bus, "ActiveState", inactive)...), ``},
		{"somebody opens a session", web, web + unitOf("user@1000.service", "UnitFileState", "static") + unitOf("session-4.scope") + unitOf("sshd@3-192.0.2.1:22-192.0.2.9:4242.service", "UnitFileState", "static"), ``},
		{"somebody runs a transient service", web, web + unitOf("run-r0a1b.service", "Transient", "yes") + unitOf("backup-now.service", "UnitFileState", "transient"), ``},
		{"a unit that nobody has is named", web, web + unitOf("plymouth.service", "LoadState", "not-found", "ActiveState", inactive), ``},
		{"an instance is loaded", web, web + unitOf("modprobe@fuse.service", "UnitFileState", "static", "ActiveState", inactive), ``},
		{"an enabled instance is added", web, web + unitOf("getty@tty2.service"), `added services."systemd:getty@tty2.service"`},
		{"a socket is used", unitOf("a.socket", "SubState", "listening"), unitOf("a.socket", "SubState", "running"), ``},
		{
			"a timer waits for another time", web + unitOf("a.timer", "TimersCalendar", "{ OnCalendar=daily ; next_elapse=Sat 2026-01-10 00:00:00 UTC }"),
			web + unitOf("a.timer", "TimersCalendar", "{ OnCalendar=daily ; next_elapse=Sun 2026-01-11 00:00:00 UTC }", "LastTriggerUSec", "Sat 2026-01-10 00:00:00 UTC"), ``,
		},
		{
			"a timer has another schedule", web + unitOf("a.timer", "TimersCalendar", "{ OnCalendar=daily ; next_elapse=n/a }"),
			web + unitOf("a.timer", "TimersCalendar", "{ OnCalendar=weekly ; next_elapse=n/a }"), `changed timers."a.timer".schedule`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read := func(units string) collector.Report {
				return reportOf(t, "services", map[string]string{"svc": "/run/systemd/system\n", "systemd": units})
			}
			before := read(tt.before)
			after, err := read(tt.after).CarryOver(before.Facts)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths(t, before, after), " "); got != tt.want {
				t.Errorf("differs in %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatASystemdThatDoesNotAnswerHadStands(t *testing.T) {
	t.Parallel()
	read := func(units string) collector.Report {
		return reportOf(t, "services", map[string]string{"svc": "/run/systemd/system\n", "systemd": units})
	}
	before := read(unitOf("web.service") + unitOf("a.timer"))
	for what, units := range map[string]string{"nothing": "", "a failure": "#failed\n", "half a list": unitOf("web.service", "ActiveState", "inactive") + "#failed\n"} {
		silent := read(units)
		carried, err := silent.CarryOver(before.Facts)
		if err != nil || silent.Status != collector.StatusPartial || carried.ContentHash != before.ContentHash {
			t.Errorf("%s: status %s, %v, differs in %v", what, silent.Status, err, paths(t, before, carried))
		}
	}
}

func TestTheServicesReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		needs.Program(t, "systemctl", "systemd")
		facts, _ := live(t, "services")
		for line := range strings.Lines(tool(t, "systemctl", "list-unit-files", "--type=service", "--state=enabled,masked", "--no-legend", "--no-pager", "--full")) {
			fields := strings.Fields(line)
			if strings.Contains(fields[0], "@.") {
				continue
			}
			equal(t, fields[0], at(facts, "services", "systemd:"+fields[0], "enabled_state"), any(fields[1]))
		}
		return
	}
	scripts, err := filepath.Glob("/etc/init.d/*")
	if err != nil || len(scripts) == 0 {
		needs.Lacking(t, "this machine has neither systemd nor scripts of services")
	}
	facts, _ := live(t, "services")
	equal(t, "manager", at(facts, "manager"), any("sysv"))
	listed, _ := at(facts, "services").(document)
	count := 0
	for _, script := range scripts {
		name := filepath.Base(script)
		if info, err := os.Stat(script); err != nil || info.IsDir() || info.Mode()&0o111 == 0 || name == "skeleton" || name == "README" {
			continue
		}
		count++
		links, err := filepath.Glob("/etc/rc[2345S].d/S[0-9][0-9]" + name)
		if err != nil {
			t.Fatal(err)
		}
		want := "no"
		if len(links) > 0 {
			want = "yes"
		}
		equal(t, name+" enabled", at(facts, "services", "sysv:"+name, "enabled"), any(want))
	}
	equal(t, "how many are listed", len(listed), count)
}

func TestWhatCannotBeReadOfPackagesTakesNothingAway(t *testing.T) {
	t.Parallel()
	read := func(dpkg, rpm string) collector.Report {
		return reportOf(t, "packages", map[string]string{"pkg_dbs": "/var/lib/dpkg/status\n/var/lib/rpm/rpmdb.sqlite\n", "dpkg": dpkg, "rpm": rpm})
	}
	const dpkg = "#query\na\t1-1\tall\tii \ta\t1-1\t7\tm\nb\t2\tall\trc \tb\t2\t7\tm\nc\t\tall\tun \tc\t\t\t\n#auto\n#lists\n"
	const rpm = "x\t(none)\t1\t2\tnoarch\tx-1-2.src.rpm\t7\t1700000000\tv\tl\n"
	before := read(dpkg, rpm)
	for what, broken := range map[string]string{"rpm fails": "#failed\n", "rpm fails in the middle": rpm[:9] + "\n#failed\n", "rpm is gone": "#missing\n", "rpm babbles": "error: db5 error\n"} {
		after := read(dpkg, broken)
		if want := map[bool]string{true: collector.StatusOK, false: collector.StatusPartial}[what == "rpm is gone"]; after.Status != want {
			t.Errorf("%s: the report is %s, want %s", what, after.Status, want)
		}
		carried, err := after.CarryOver(before.Facts)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, what, paths(t, before, carried), []string{})
	}
	silent := read("#query\n#known\n2\n#auto\n#lists\n", rpm)
	carried, err := silent.CarryOver(before.Facts)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "dpkg-query says nothing", paths(t, before, carried), []string{})
	empty := decode(t, read("#query\n#known\n0\n#auto\n#lists\n", rpm).Facts)
	equal(t, "dpkg has nothing", at(empty, "managers", "dpkg"), any(0.0))
	after := read("#query\na\t2-1\tall\thi \ta\t2-1\t7\tm\n#auto\n#lists\n", "#failed\n")
	carried, err = after.CarryOver(before.Facts)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what dpkg tells beside a broken rpm", paths(t, before, carried), []string{
		`changed managers.dpkg`, `changed packages."dpkg:a:all".source_version`, `changed packages."dpkg:a:all".status`, `changed packages."dpkg:a:all".version`, `removed packages."dpkg:b:all"`,
	})
}

func TestAListThatWasCutHasNoHalfRecord(t *testing.T) {
	t.Parallel()
	const whole = "P:first\nV:1.0-r0\nA:x86_64\nP:second\nV:2.0-r0\nA:x86_64\nI:5\n"
	p := plan(t, collector.Options{Nonce: recordedNonce}, "packages")
	stdout := answer(map[string]string{"id": linuxIdentity, "pkg_dbs": "/lib/apk/db/installed\n", "apk": whole}, p.Sections())
	start := strings.Index(string(stdout), "P:second")
	for cut := start + len("P:second\nV:2.0-r0\n"); cut < start+len("P:second\nV:2.0-r0\nA:x86_64\nI:5"); cut++ {
		r, err := p.Read(stdout[:cut])
		if err != nil {
			t.Fatal(err)
		}
		report := p.Reports(r)[0]
		if strings.Contains(string(report.Facts), "second") || !strings.Contains(string(report.Facts), `"apk:first:x86_64"`) || report.Status != collector.StatusPartial {
			t.Errorf("cut at %d the report is %s: %s", cut, report.Status, report.Facts)
		}
	}
}
