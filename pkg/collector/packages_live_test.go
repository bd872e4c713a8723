package collector_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

// inside returns a login shell that first runs a script of mounts in a namespace of its own. It skips the test where this
// account may not have one.
func inside(t *testing.T, script string) []string {
	t.Helper()
	unshare := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	if out, err := exec.CommandContext(t.Context(), unshare[0], append(unshare[1:], "mount", "--bind", "/tmp", "/tmp")...).CombinedOutput(); err != nil {
		needs.Lacking(t, "this account can make no namespace of mounts: %v: %s", err, out)
	}
	return append(unshare, "sh", "-ec", script+"\nexec sh \"$@\"", "sh")
}

// TestAManagerIsOneThatHasADatabase holds the two reports that name managers against each other.
func TestAManagerIsOneThatHasADatabase(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script string // in /var/lib, where there is nothing
		want         []any
	}{
		{"nothing at all", ``, []any{}},
		{"a directory that came with rpm", `mkdir rpm`, []any{}},
		{"a directory that rpm has locked", `mkdir rpm && touch rpm/.rpm.lock`, []any{}},
		{"the database of rpm", `mkdir rpm && touch rpm/rpmdb.sqlite`, []any{"rpm"}},
		{"the older database of rpm", `mkdir rpm && touch rpm/Packages`, []any{"rpm"}},
		{"a directory that came with pacman", `mkdir -p pacman/local`, []any{}},
		{"the database of pacman, without a package", `mkdir -p pacman/local && echo 9 >pacman/local/ALPM_DB_VERSION`, []any{"pacman"}},
		{"a directory of dpkg", `mkdir dpkg`, []any{}},
		{"two databases", `mkdir dpkg rpm && touch dpkg/status rpm/Packages.db`, []any{"dpkg", "rpm"}},
		{"the database of OpenWrt", `mkdir opkg && touch opkg/status`, []any{"opkg"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{}, "os", "packages")
			reports := p.Reports(run(t, p, inside(t, "mount -t tmpfs none /var/lib && cd /var/lib\n"+tt.script)...))
			equal(t, "os", at(decode(t, reports[0].Facts), "pkg_managers"), any(tt.want))
			managers, _ := at(decode(t, reports[1].Facts), "managers").(document)
			listed := []any{}
			for _, name := range slices.Sorted(maps.Keys(managers)) {
				listed = append(listed, name)
			}
			equal(t, "packages", listed, tt.want)
		})
	}
}

// packagesOf returns the packages report of this machine as it looks from inside.
func packagesOf(t *testing.T, shell ...string) collector.Report {
	t.Helper()
	p := plan(t, collector.Options{}, "packages")
	report := p.Reports(run(t, p, shell...))[0]
	if report.Status != collector.StatusOK {
		t.Fatalf("the report is %s: %v, %v", report.Status, report.Failure, report.Warnings)
	}
	return report
}

func TestThePackagesReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	needs.Program(t, "dpkg-query", "dpkg")
	var facts, metrics document
	var want string
	const query = "${Package}\t${Version}\t${Architecture}\t${Status}\t${source:Package}\t${source:Version}\t${Installed-Size}\n"
	for before := "-"; before != surroundings(t); { // others install packages too
		before = surroundings(t)
		facts, metrics = live(t, "packages")
		want = tool(t, "dpkg-query", "-W", "-f="+query)
		if before != surroundings(t) {
			before = "-"
		}
	}
	packages, _ := at(facts, "packages").(document)
	automatic := automaticOf(t)
	count := 0
	for line := range strings.Lines(want) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		words := strings.Fields(f[3])
		if words[2] == "not-installed" {
			continue
		}
		count++
		key := "dpkg:" + f[0] + ":" + f[2]
		p, ok := packages[key].(document)
		if !ok {
			t.Errorf("%s is not listed", key)
			continue
		}
		status := map[string]string{"installed": "installed", "config-files": "config"}[words[2]]
		if words[0] == "hold" && status == "installed" {
			status = "held"
		}
		equal(t, key+" version", p["version"], any(f[1]))
		equal(t, key+" status", p["status"], any(status))
		equal(t, key+" source", []any{p["source_name"], p["source_version"]}, []any{f[4], f[5]})
		if status == "config" {
			continue
		}
		kib, err := strconv.ParseFloat(f[6], 64)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, key+" size", p["size"], any(kib*1024))
		if automatic != nil {
			equal(t, key+" auto", p["auto"], any(automatic[f[0]]))
		}
		equal(t, key+" installed_at", p["installed_at"], listTime(f[0], f[2]))
	}
	equal(t, "managers.dpkg", at(facts, "managers", "dpkg"), any(float64(count)))
	dpkg := slices.DeleteFunc(slices.Collect(maps.Keys(packages)), func(key string) bool { return !strings.HasPrefix(key, "dpkg:") })
	equal(t, "how many are listed", len(dpkg), count)
	if info, err := os.Stat("/var/lib/dpkg/status"); err != nil || at(metrics, "managers", "dpkg", "db_mtime") != float64(info.ModTime().Unix()) {
		t.Errorf("db_mtime is %v: %v", at(metrics, "managers", "dpkg", "db_mtime"), err)
	}
}

// automaticOf returns which packages apt-mark shows as automatically installed; nil without apt.
func automaticOf(t *testing.T) map[string]bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "apt-mark", "showauto").Output()
	if err != nil {
		return nil
	}
	automatic := map[string]bool{}
	for name := range strings.FieldsSeq(string(out)) {
		name, _, _ = strings.Cut(name, ":")
		automatic[name] = true
	}
	return automatic
}

// listTime returns when dpkg wrote the list of files of a package.
func listTime(name, arch string) any {
	for _, file := range []string{name + ":" + arch, name} {
		if info, err := os.Stat("/var/lib/dpkg/info/" + file + ".list"); err == nil {
			return float64(info.ModTime().Unix())
		}
	}
	return nil
}

func TestWithoutDpkgQueryTheDatabaseTellsTheSame(t *testing.T) {
	t.Parallel()
	needs.Program(t, "dpkg-query", "dpkg")
	tool, err := exec.LookPath("dpkg-query")
	if err != nil {
		t.Fatal(err)
	}
	hidden := inside(t, "mount --bind /dev/null "+tool)
	for range 5 {
		before := surroundings(t)
		with, without := packagesOf(t), packagesOf(t, hidden...)
		if before == surroundings(t) {
			equal(t, "differences", paths(t, with, without), []string{})
			return
		}
	}
	t.Fatal("this machine changes all the time")
}

// TestPlantedPackagesOfDpkg lets dpkg itself work on a database of its own. In a copy of the machine's it would miss the files
// of the other packages.
func TestPlantedPackagesOfDpkg(t *testing.T) {
	t.Parallel()
	needs.Program(t, "dpkg-deb", "dpkg")
	dir := t.TempDir()
	db := filepath.Join(dir, "db")
	tool(t, "mkdir", "-p", db+"/info", db+"/updates", db+"/triggers")
	tool(t, "touch", db+"/status")
	build := func(name, version string) string {
		root := filepath.Join(dir, name+"-"+version)
		if err := os.MkdirAll(root+"/DEBIAN", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(root+"/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		control := "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nSource: planted-source (0.9)\nInstalled-Size: 17\nMaintainer: P <p@example.org>\nDescription: planted\n"
		for name, text := range map[string]string{"DEBIAN/control": control, "DEBIAN/conffiles": "/etc/" + name + "\n", "etc/" + name: "1\n"} {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tool(t, "dpkg-deb", "--root-owner-group", "-b", root, root+".deb")
		return root + ".deb"
	}
	target := filepath.Join(dir, "target")
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) {
		t.Helper()
		tool(t, "dpkg", append([]string{"--admindir=" + db, "--instdir=" + target, "--force-not-root", "--force-depends", "--log=/dev/null"}, args...)...)
	}
	standing, older, newer := build("standing", "1"), build("planted", "1.0-1"), build("planted", "2:1.1-2")
	look := func() collector.Report { return packagesOf(t, inside(t, "mount --bind '"+db+"' /var/lib/dpkg")...) }
	list := filepath.Join(db, "info", "planted.list")
	dpkg("-i", standing)
	before := look()
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"it is installed", func() { dpkg("-i", older); tool(t, "touch", "-d", "@1700000001", list) }, `changed managers.dpkg added packages."dpkg:planted:all"`},
		{"nothing happens", func() {}, ``},
		{"it is held", func() { tool(t, "sed", "-i", "/^Package: planted$/{n;s/install ok/hold ok/}", db+"/status") }, `changed packages."dpkg:planted:all".status`},
		{"it is let go", func() { tool(t, "sed", "-i", "/^Package: planted$/{n;s/hold ok/install ok/}", db+"/status") }, `changed packages."dpkg:planted:all".status`},
		{
			"it is upgraded", func() { dpkg("-i", newer); tool(t, "touch", "-d", "@1700000002", list) },
			`changed packages."dpkg:planted:all".epoch changed packages."dpkg:planted:all".installed_at changed packages."dpkg:planted:all".release changed packages."dpkg:planted:all".version`,
		},
		{"it is removed", func() { dpkg("-r", "planted") }, `changed packages."dpkg:planted:all".installed_at changed packages."dpkg:planted:all".status`},
		{"it is purged", func() { dpkg("-P", "planted") }, `changed managers.dpkg removed packages."dpkg:planted:all"`},
	} {
		step.do()
		after := look()
		if got := strings.Join(paths(t, before, after), " "); got != step.want {
			t.Errorf("%s: differs in %s, want %s", step.name, got, step.want)
		}
		before = after
	}
}

// TestPackagesOfRealDatabases lets rpm and pacman make databases, which are mounted where theirs would be.
func TestPackagesOfRealDatabases(t *testing.T) {
	t.Parallel()
	t.Run("rpm", func(t *testing.T) {
		t.Parallel()
		needs.Program(t, "rpmbuild", "rpm")
		dir := t.TempDir()
		db := filepath.Join(dir, ".rpmdb") // where Debian's rpm looks, below HOME
		for _, name := range []string{"planted", "kernel-core"} {
			for _, version := range []string{"1.5", "1.6"} {
				if name == "planted" && version == "1.6" {
					continue
				}
				spec := "Name: " + name + "\nEpoch: 2\nVersion: " + version + "\nRelease: 3.el9\nSummary: s\nLicense: MIT and BSD\nVendor: Planted <v@example.org>\nBuildArch: noarch\n%description\nd\n%files\n"
				path := filepath.Join(dir, name+version+".spec")
				if err := os.WriteFile(path, []byte(spec), 0o644); err != nil {
					t.Fatal(err)
				}
				tool(t, "rpmbuild", "--quiet", "--define", "_topdir "+dir, "-bb", path)
				tool(t, "rpm", "--force-debian", "--dbpath", db, "-i", "--justdb", "--nodeps", filepath.Join(dir, "RPMS/noarch", name+"-"+version+"-3.el9.noarch.rpm"))
			}
		}
		script := "mkdir -p /var/lib/rpm || true\nmount --bind '" + db + "' /var/lib/rpm\nexport HOME='" + dir + "'"
		if _, err := os.Stat("/var/lib/rpm"); err != nil {
			needs.Lacking(t, "there is no place to mount the database")
		}
		facts := decode(t, packagesOf(t, inside(t, script)...).Facts)
		equal(t, "managers.rpm", at(facts, "managers", "rpm"), any(3.0))
		equal(t, "kernels", at(facts, "kernels"), any([]any{"rpm:kernel-core:noarch:2:1.5-3.el9", "rpm:kernel-core:noarch:2:1.6-3.el9"}))
		p, _ := at(facts, "packages", "rpm:planted:noarch").(document)
		for name, want := range map[string]any{
			"version": "2:1.5-3.el9", "epoch": 2.0, "release": "3.el9", "source_name": "planted", "source_version": "1.5-3.el9",
			"status": "installed", "vendor": "Planted <v@example.org>", "license": "MIT and BSD", "auto": nil,
		} {
			equal(t, name, p[name], want)
		}
		within(t, "installed_at", p["installed_at"], tool(t, "date", "+%s"), 600)
	})
	t.Run("pacman", func(t *testing.T) {
		t.Parallel()
		needs.Program(t, "pacman", "pacman-package-manager")
		needs.Program(t, "bsdtar", "libarchive-tools")
		needs.Root(t, "run pacman")
		if _, err := os.Stat("/var/lib/pacman"); err != nil {
			needs.Lacking(t, "there is no place to mount the database")
		}
		dir := t.TempDir()
		info := "pkgname = planted\npkgbase = planted-base\npkgver = 1:2.3-4\npkgdesc = p\nbuilddate = 1700000000\npackager = P <p@example.org>\nsize = 12345\narch = any\nlicense = MIT\nlicense = BSD\n"
		if err := os.WriteFile(filepath.Join(dir, ".PKGINFO"), []byte(info), 0o644); err != nil {
			t.Fatal(err)
		}
		tool(t, "bsdtar", "-C", dir, "-czf", dir+"/planted-1:2.3-4-any.pkg.tar.gz", ".PKGINFO")
		tool(t, "mkdir", "-p", dir+"/db/local", dir+"/cache", dir+"/root")
		tool(t, "pacman", "--root", dir+"/root", "--dbpath", dir+"/db", "--cachedir", dir+"/cache", "--logfile", "/dev/null", "--config", "/dev/null",
			"--noconfirm", "--asdeps", "-U", dir+"/planted-1:2.3-4-any.pkg.tar.gz")
		facts := decode(t, packagesOf(t, inside(t, "mount --bind '"+dir+"/db' /var/lib/pacman")...).Facts)
		p, _ := at(facts, "packages", "pacman:planted:any").(document)
		for name, want := range map[string]any{
			"version": "1:2.3-4", "epoch": 1.0, "release": "4", "source_name": "planted-base", "source_version": "1:2.3-4",
			"status": "installed", "vendor": "P <p@example.org>", "license": "MIT, BSD", "auto": true, "size": 12345.0,
		} {
			equal(t, name, p[name], want)
		}
	})
}
