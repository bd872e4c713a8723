package collector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// packagesFacts are what is installed by every manager that has a database on the host.
type packagesFacts struct {
	Managers      map[string]*int64       `json:"managers"`               // how many packages each lists; null where it could not be asked
	Packages      map[string]packageFacts `json:"packages"`               // by manager, name, architecture and, where several versions live side by side, the version
	Kernels       []string                `json:"kernels"`                // keys of packages, sorted
	RunningKernel *string                 `json:"running_kernel_package"` // key of a package; null if it is none
}

// packageFacts are one package. null means that its manager does not keep it.
type packageFacts struct {
	Manager       string  `json:"manager"`
	Name          string  `json:"name"`
	Version       string  `json:"version"` // in full, as the manager compares it
	Epoch         *int64  `json:"epoch"`   // null if the version names none
	Release       *string `json:"release"` // of the packaging: Debian's revision, rpm's release, a snap's revision
	Arch          *string `json:"arch"`
	SourceName    *string `json:"source_name"`
	SourceVersion *string `json:"source_version"`
	Status        string  `json:"status"` // installed, held, config (removed but for its configuration) or half
	Vendor        *string `json:"vendor"` // who made or maintains the package
	Origin        *string `json:"origin"` // the remote or the channel that it came from
	Size          *int64  `json:"size"`   // bytes, once installed
	InstalledAt   *int64  `json:"installed_at"`
	Auto          *bool   `json:"auto"` // it came as a dependency
	License       *string `json:"license"`
}

// The statuses of a package.
const (
	pkgInstalled = "installed"
	pkgHeld      = "held"
	pkgConfig    = "config"
	pkgHalf      = "half"
)

// packagesMetrics are what moves without a change to what is installed.
type packagesMetrics struct {
	Managers map[string]managerMetrics `json:"managers"`
}

type managerMetrics struct {
	DBTime      *int64 `json:"db_mtime"`     // Unix seconds
	LastRefresh *int64 `json:"last_refresh"` // when the lists of what could be installed were read, in Unix seconds
}

// maxPackages bounds what a report lists.
const maxPackages = 50_000

// A packageManager is one kind of package database.
type packageManager struct {
	name  string
	found []string // one of them exists where the database does
	// read reads the list, and counts what cannot be read. Of a list that was cut the last record may be half.
	read func(out string, cut bool) (list []packageFacts, bad int)
}

// The managers. Their sections have the same names.
const (
	managerAPK     = "apk"
	managerDpkg    = "dpkg"
	managerFlatpak = "flatpak"
	managerOpkg    = "opkg"
	managerPacman  = "pacman"
	managerRPM     = "rpm"
	managerSnap    = "snap"
)

// packageManagers returns them by name.
func packageManagers() []packageManager {
	const rpm, image = "/var/lib/rpm/", "/usr/lib/sysimage/rpm/"
	const sqlite, bdb, ndb = "rpmdb.sqlite", "Packages", "Packages.db"
	return []packageManager{
		{managerAPK, []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"}, readAPK},
		{managerDpkg, []string{"/var/lib/dpkg/status"}, readDpkg},
		{managerFlatpak, []string{"/var/lib/flatpak/repo"}, readFlatpak},
		{managerOpkg, []string{"/usr/lib/opkg/status", "/lib/opkg/status", "/var/lib/opkg/status"}, readOpkg},
		{managerPacman, []string{"/var/lib/pacman/local/ALPM_DB_VERSION"}, readPacman},
		{managerRPM, []string{rpm + sqlite, rpm + bdb, rpm + ndb, image + sqlite, image + bdb, image + ndb}, readRPM},
		{managerSnap, []string{"/run/snapd.socket"}, readSnap},
	}
}

// readPackages makes the report of type packages. A host without a database that we know has none to tell of.
func readPackages(r *reader) (facts, metrics any) {
	if dbs, ok := r.run.Section("pkg_dbs"); !ok || dbs.Status < 0 {
		r.failWith("pkg_dbs", cmp.Or(r.reasonFor("pkg_dbs"), ReasonDenied))
		return nil, nil
	}
	b := readBag(r.section("pkg_dbs", "packages", "managers", "kernels", "running_kernel_package"))
	f := packagesFacts{Managers: map[string]*int64{}, Packages: map[string]packageFacts{}, Kernels: []string{}}
	m := packagesMetrics{Managers: map[string]managerMetrics{}}
	for _, manager := range packageManagers() {
		if !b.any(manager.found...) {
			continue
		}
		m.Managers[manager.name] = managerTimes(b, manager)
		list, count := readManager(r, manager)
		f.Managers[manager.name] = count
		f.add(r, list)
	}
	if len(f.Managers) == 0 {
		r.lack(ReasonNotApplicable, "packages", "running_kernel_package")
	}
	f.setWorld(b.files["/etc/apk/world"])
	f.setKernels(r.run.identity.release)
	if f.RunningKernel == nil {
		r.lack(ReasonNotApplicable, "running_kernel_package")
	}
	return f, m
}

// pathsOf returns what is not known of a host whose manager could not be asked.
func pathsOf(manager string) []string {
	return []string{`packages."` + manager + `:"*`, "managers." + manager, "kernels", "running_kernel_package"}
}

// readManager reads the list of one manager, and counts it if it is whole. It is empty where there is no list to trust: a
// program that was killed may have printed half a line.
func readManager(r *reader, manager packageManager) (list []packageFacts, count *int64) {
	paths := pathsOf(manager.name)
	out := r.section(manager.name, paths...)
	s, _ := r.run.Section(manager.name)
	switch {
	case s.TimedOut:
		return nil, nil
	case hasLine(out, "#missing"):
		r.note(ReasonToolMissing, paths...)
		return nil, nil
	case hasLine(out, "#failed"):
		r.lose(ReasonDenied, paths...)
		r.warn("section " + manager.name + ": " + ReasonDenied)
		return nil, nil
	}
	list, bad := manager.read(out, s.Truncated || s.Status < 0)
	list = slices.DeleteFunc(list, func(p packageFacts) bool {
		valid := isWord(p.Name) && isWord(p.Version) && (p.Arch == nil || isWord(*p.Arch))
		if !valid {
			bad++
		}
		return !valid
	})
	if bad > 0 {
		r.lose(ReasonParseFailed, paths...)
		r.warn(fmt.Sprintf("section %s: %d records are no packages", manager.name, bad))
		return list, nil
	}
	if r.reasonFor(manager.name) != "" {
		return list, nil
	}
	return list, new(int64(len(list)))
}

// hasLine reports whether one of the lines of text is that.
func hasLine(text, line string) bool {
	return strings.HasPrefix(text, line+"\n") || strings.Contains(text, "\n"+line+"\n")
}

// isWord reports whether s can be a name, a version or an architecture.
func isWord(s string) bool {
	const most = 256
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) })
}

// add lists packages under their keys.
func (f *packagesFacts) add(r *reader, list []packageFacts) {
	// Of several versions that should not be there side by side, the one that came last is the one that is used.
	slices.SortStableFunc(list, func(a, b packageFacts) int {
		return cmp.Or(-cmp.Compare(timeOf(a.InstalledAt), timeOf(b.InstalledAt)), -cmp.Compare(a.Version, b.Version))
	})
	for _, p := range list {
		if len(f.Packages) >= maxPackages {
			r.lose(ReasonTruncated, pathsOf(p.Manager)...)
			f.Managers[p.Manager] = nil
			return
		}
		key := p.key()
		if _, taken := f.Packages[key]; taken {
			key += ":" + p.Version
		}
		f.Packages[key] = p
	}
}

// key returns what identifies a package on its host: for those that are installed beside their former version, that too.
func (p packageFacts) key() string {
	key := p.Manager + ":" + p.Name
	if p.Arch != nil {
		key += ":" + *p.Arch
	}
	switch {
	case p.Manager == managerRPM && isRPMKernel(p.Name):
		key += ":" + p.Version
	case p.Manager == managerFlatpak:
		key += ":" + deref(p.Release)
	}
	return key
}

// setVersion takes a version apart, which is [epoch:]version[-release] with every manager that has epochs or releases.
func (p *packageFacts) setVersion(version string) {
	p.Version = version
	if epoch, _, found := strings.Cut(version, ":"); found {
		p.Epoch = number(epoch)
	}
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		p.Release = text(version[i+1:])
	}
}

// managerTimes returns when the database of a manager changed and its lists were read: the last of the times of all files
// that tell.
func managerTimes(b bag, manager packageManager) managerMetrics {
	var m managerMetrics
	files := manager.found
	if manager.name == managerPacman { // whose packages are directories
		files = []string{"/var/lib/pacman/local"}
	}
	for _, path := range files {
		m.DBTime = later(m.DBTime, b.values["db:"+path])
	}
	for name, value := range b.values {
		if strings.HasPrefix(name, "refresh:"+manager.name+":") {
			m.LastRefresh = later(m.LastRefresh, value)
		}
	}
	return m
}

// timeOf returns a time, and 0 if it is unknown.
func timeOf(t *int64) int64 {
	if t == nil {
		return 0
	}
	return *t
}

// later returns the later of two times in Unix seconds, of which each may be unknown.
func later(a *int64, text string) *int64 {
	b := instant(text)
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
