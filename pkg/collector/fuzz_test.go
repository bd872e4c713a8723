package collector_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// fuzzOne feeds one section to the type that reads it, beside what the others say: a whole recording, where one is named,
// and the sections that are given. Whatever comes in, the report must be one that makes sense.
func fuzzOne(f *testing.F, reportType, section, recording string, others map[string]string) {
	f.Helper()
	for _, stdout := range recordings(f) {
		if data, ok := sectionsIn(f, stdout)[section]; ok {
			f.Add([]byte(data))
		}
	}
	beside := map[string]string{"id": linuxIdentity}
	if recording != "" {
		maps.Copy(beside, sectionsIn(f, recordings(f)[recording]))
	}
	maps.Copy(beside, others)
	p := plan(f, collector.Options{Nonce: recordedNonce}, reportType)
	if !slices.Contains(p.Sections(), section) {
		f.Fatalf("%s does not ask for %s", reportType, section)
	}
	s := newSense(f, reportType)
	f.Fuzz(func(t *testing.T, data []byte) {
		all := maps.Clone(beside)
		all[section] = string(data)
		stdout := answer(all, p.Sections())
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatal(err)
		}
		checkReports(t, p, r)
		first, again := p.Reports(r)[0], p.Reports(r)[0]
		if !bytes.Equal(first.Facts, again.Facts) || !bytes.Equal(first.Metrics, again.Metrics) {
			t.Errorf("the same answer is read in two ways:\n%s\n%s", first.Facts, again.Facts)
		}
		s.check(t, first)
	})
}

// sectionsIn returns the sections of an answer by their names.
func sectionsIn(tb testing.TB, stdout []byte) map[string]string {
	tb.Helper()
	r, err := plan(tb, collector.Options{Nonce: recordedNonce}).Read(stdout)
	if err != nil {
		tb.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range r.Sections {
		if s.Status >= 0 {
			sections[s.Name] = string(s.Data)
		}
	}
	return sections
}

// What stands beside a fuzzed section where the recordings do not have it.
const (
	vm    = "debian-12-vm"
	s6Svc = "/proc/1/comm:s6-svscan\n/run/service/web\n/run/service/db\n/etc/sv/idle\n"
)

func FuzzIdentity(f *testing.F) { fuzzOne(f, "os", "id", vm, nil) }
func FuzzOS(f *testing.F)       { fuzzOne(f, "os", "os", vm, nil) }
func FuzzDMI(f *testing.F)      { fuzzOne(f, "os", "dmi", vm, nil) }
func FuzzVirt(f *testing.F)     { fuzzOne(f, "os", "virt", vm, nil) }
func FuzzTimeSync(f *testing.F) { fuzzOne(f, "os", "timesync", vm, nil) }
func FuzzKernels(f *testing.F)  { fuzzOne(f, "os", "kernels", "synthetic-rhel-9", nil) }
func FuzzFQDN(f *testing.F)     { fuzzOne(f, "os", "fqdn", vm, nil) }
func FuzzCPU(f *testing.F)      { fuzzOne(f, "cpu", "cpu", "", nil) }
func FuzzMemory(f *testing.F)   { fuzzOne(f, "memory", "mem", "", nil) }
func FuzzMounts(f *testing.F)   { fuzzOne(f, "disks", "mounts", vm, nil) }
func FuzzDF(f *testing.F)       { fuzzOne(f, "disks", "df", vm, nil) }
func FuzzBlock(f *testing.F)    { fuzzOne(f, "disks", "blk", vm, nil) }
func FuzzLsblk(f *testing.F)    { fuzzOne(f, "disks", "lsblk", vm, nil) }
func FuzzMD(f *testing.F)       { fuzzOne(f, "disks", "md", vm, nil) }
func FuzzBtrfs(f *testing.F)    { fuzzOne(f, "disks", "btrfs", vm, nil) }
func FuzzLVM(f *testing.F)      { fuzzOne(f, "disks", "lvm", vm, nil) }
func FuzzZFS(f *testing.F)      { fuzzOne(f, "disks", "zfs", vm, nil) }
func FuzzNet(f *testing.F)      { fuzzOne(f, "network", "net", vm, nil) }
func FuzzDNS(f *testing.F)      { fuzzOne(f, "network", "dns", vm, nil) }
func FuzzIPLink(f *testing.F)   { fuzzOne(f, "network", "ip_link", vm, nil) }
func FuzzIPAddr(f *testing.F)   { fuzzOne(f, "network", "ip_addr", vm, nil) }
func FuzzIPRoute(f *testing.F)  { fuzzOne(f, "network", "ip_route", vm, nil) }
func FuzzFirewall(f *testing.F) { fuzzOne(f, "network", "firewall", vm, nil) }

func FuzzPkgDBs(f *testing.F) {
	fuzzOne(f, "packages", "pkg_dbs", "", map[string]string{"dpkg": "#query\na\t1-1\tall\tii \ta\t1-1\t7\tm\n#auto\n#lists\n", "apk": "P:a\nV:1\nA:x\n\n"})
}

func FuzzDpkg(f *testing.F) {
	fuzzOne(f, "packages", "dpkg", "", map[string]string{"pkg_dbs": "/var/lib/dpkg/status\n"})
}

func FuzzRPM(f *testing.F) {
	fuzzOne(f, "packages", "rpm", "", map[string]string{"pkg_dbs": "/var/lib/rpm/Packages\n"})
}

func FuzzAPK(f *testing.F) {
	fuzzOne(f, "packages", "apk", "", map[string]string{"pkg_dbs": "/lib/apk/db/installed\n"})
}

func FuzzPacman(f *testing.F) {
	fuzzOne(f, "packages", "pacman", "", map[string]string{"pkg_dbs": "/var/lib/pacman/local/ALPM_DB_VERSION\n"})
}

func FuzzOpkg(f *testing.F) {
	fuzzOne(f, "packages", "opkg", "", map[string]string{"pkg_dbs": "/usr/lib/opkg/status\n"})
}

func FuzzSnap(f *testing.F) {
	f.Add([]byte("Name  Version  Rev  Tracking  Publisher  Notes\ncore22  20240111  1122  latest/stable  canonical✓  base\nlxd  5.0  27  -  canonical**  held,disabled\n"))
	fuzzOne(f, "packages", "snap", "", map[string]string{"pkg_dbs": "/run/snapd.socket\n"})
}

func FuzzFlatpak(f *testing.F) {
	f.Add([]byte("org.gnome.Maps\t45.3\tx86_64\tstable\tflathub\norg.gnome.Platform\t\tx86_64\t45\tflathub\n"))
	fuzzOne(f, "packages", "flatpak", "", map[string]string{"pkg_dbs": "/var/lib/flatpak/repo\n"})
}

// FuzzScripts is about the scripts of SysV, and what every other init leaves in the file system.
func FuzzScripts(f *testing.F) { fuzzOne(f, "services", "svc", "", nil) }

func FuzzSystemd(f *testing.F) {
	fuzzOne(f, "services", "systemd", "", map[string]string{"svc": "/run/systemd/system\n"})
}

func FuzzOpenRC(f *testing.F) {
	f.Add([]byte("#openrc\n sshd                              [  started 00:12:34 (0)  ]\n crond   [  crashed  ]\n"))
	fuzzOne(f, "services", "svc_tools", "", map[string]string{
		"svc": "/run/openrc\n=script:sshd /etc/init.d/sshd\n=script:crond /etc/init.d/crond\n/etc/runlevels/default/sshd\n/run/openrc/started/crond\n",
	})
}

func FuzzProcd(f *testing.F) {
	f.Add([]byte("#procd\n\t\"sshd\": {\n\t\t\t\t\"running\": true,\n\t\t\t\t\"pid\": 4711,\n"))
	fuzzOne(f, "services", "svc_tools", "", map[string]string{
		"svc": "/proc/1/comm:procd\n/sbin/procd\n=script:sshd /etc/init.d/sshd\n=script:cron /etc/init.d/cron\n/etc/rc.d/S50sshd\n",
	})
}

func FuzzS6(f *testing.F) {
	f.Add([]byte("#s6\nweb\tup (pid 12) 7 seconds\ndb\tdown (exitcode 1) 5 seconds\n"))
	fuzzOne(f, "services", "svc_tools", "", map[string]string{"svc": s6Svc})
}

// FuzzRunit is about the files of runit's supervisors, which are in the same section as its services.
func FuzzRunit(f *testing.F) {
	f.Add([]byte("/proc/1/comm:runit\n/etc/sv/ssh\n/etc/service/ssh\n/etc/service/ssh/supervise/stat:run\n/etc/service/ssh/supervise/pid:77\n/etc/service/web\n/etc/service/web/down\n"))
	fuzzOne(f, "services", "svc", "", nil)
}

func FuzzSockets(f *testing.F) { fuzzOne(f, "ports", "sockets", vm, nil) }
func FuzzHolders(f *testing.F) { fuzzOne(f, "ports", "holders", vm, nil) }

func FuzzAccounts(f *testing.F) {
	f.Add([]byte("#passwd\nroot:shadow:0:0:root:/root:/bin/sh\nanna:locked:1000:1000:Anna:/home/anna:/bin/bash\nold:set:7:7::/:\n+::::::\n?\n#group\nroot:0:\nsudo:27:anna,ben\n#defs\nUID_MIN 1000\n#shadow\nroot:set:19000:0:99999:7::\nanna:locked:19000::::20000:30000\n"))
	fuzzOne(f, "users", "accounts", vm, nil)
}

func FuzzHomes(f *testing.F) { fuzzOne(f, "users", "homes", vm, nil) }

func FuzzKeys(f *testing.F) {
	f.Add([]byte("patterns\t.ssh/authorized_keys\nfile\troot\t/root/.ssh/authorized_keys\nkey\t,from={\"192.0.2.1\"},command={}\tssh-ed25519\tAAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\tanna@laptop\nbad\nend\t0\ndone\n"))
	fuzzOne(f, "users", "keys", vm, nil)
}

func FuzzSudoers(f *testing.F) {
	f.Add([]byte("file\t/etc/sudoers\tabc -\nalias\tUser\tADMINS\tanna,ben\nrule\tADMINS\tALL\t(ALL:ALL) NOPASSWD: ALL,!/bin/sh ***\nopen\t:anna\ndone\nfile\t/etc/doas.conf\tx\nrule\t%wheel\tALL\t(root) ALL\ndone\n"))
	fuzzOne(f, "users", "sudoers", vm, nil)
}

func FuzzLogins(f *testing.F) {
	f.Add([]byte("#who\nanna     pts/0        2026-01-10 12:00 (192.0.2.1)\nben tty1 00:07 Jan 10 12:00:11\n#last\nanna     pts/0        192.0.2.1        Sat Jan 10 12:00:00 2026   still logged in\n"))
	fuzzOne(f, "users", "logins", vm, nil)
}

// TestEveryParserHasAFuzzTarget holds that each section that a type reads is fed to it by a target of its own.
func TestEveryParserHasAFuzzTarget(t *testing.T) {
	t.Parallel()
	fuzzed := map[string]bool{}
	for _, pair := range fuzzTargets(t) {
		fuzzed[pair] = true
	}
	for _, typ := range collector.Builtin() {
		for _, section := range typ.Sections {
			if !fuzzed[typ.Name+" "+section] {
				t.Errorf("nothing fuzzes %s as %s reads it", section, typ.Name)
			}
		}
	}
	if !fuzzed["os id"] {
		t.Error("nothing fuzzes the identity")
	}
}

// fuzzTargets returns the type and the section of each call of fuzzOne in the tests of this package.
func fuzzTargets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			target, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(target.Name.Name, "Fuzz") {
				continue
			}
			ast.Inspect(target, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 5 {
					targets = append(targets, unquoted(call.Args[1])+" "+unquoted(call.Args[2]))
				}
				return true
			})
		}
	}
	return targets
}

// unquoted returns the value of a string literal; "" if it is none.
func unquoted(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return s
}
