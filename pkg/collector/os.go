package collector

import (
	"strings"
)

// osFacts are what seldom changes about an operating system and the machine it runs on. null means unknown.
type osFacts struct {
	Family       *string     `json:"family"` // debian, rhel, suse, arch, alpine …; the ID of a system without relatives
	ID           *string     `json:"id"`
	IDLike       []string    `json:"id_like"` // in the order of the system's own file
	Name         *string     `json:"name"`
	PrettyName   *string     `json:"pretty_name"`
	Version      *string     `json:"version"`    // as exact as the system tells, with Debian's point release
	VersionID    *string     `json:"version_id"` // null on rolling distributions
	VersionMajor *string     `json:"version_major"`
	Codename     *string     `json:"codename"`
	Variant      *string     `json:"variant"`
	Build        *string     `json:"build"`
	Kernel       kernelFacts `json:"kernel"`
	Arch         *string     `json:"arch"`
	Hostname     *string     `json:"hostname"`
	FQDN         *string     `json:"fqdn"`
	Domain       *string     `json:"domain"`
	MachineID    *string     `json:"machine_id"`
	Timezone     *string     `json:"timezone"`
	Init         *string     `json:"init"`
	PkgManagers  []string    `json:"pkg_managers"` // by database, sorted

	Virt     virtFacts     `json:"virt"`
	HW       hwFacts       `json:"hw"`
	BIOS     biosFacts     `json:"bios"`
	Board    boardFacts    `json:"board"`
	Chassis  chassisFacts  `json:"chassis"`
	Security securityFacts `json:"security"`

	RebootRequired rebootFacts   `json:"reboot_required"`
	TimeSync       timeSyncFacts `json:"time_sync"`
	InstalledAt    *int64        `json:"installed_at"` // Unix seconds; an estimate
}

type kernelFacts struct {
	Name    *string `json:"name"`
	Release *string `json:"release"`
	Version *string `json:"version"`
	Cmdline *string `json:"cmdline"` // values that look like secrets are masked on the host
}

type rebootFacts struct {
	Required *bool    `json:"required"`
	Reasons  []string `json:"reasons"` // sorted
}

type timeSyncFacts struct {
	Source *string `json:"source"`
}

// osMetrics are what always changes.
type osMetrics struct {
	BootID        *string  `json:"boot_id"`
	BootTime      *int64   `json:"boot_time"`      // Unix seconds; jitters by a second on some kernels
	UptimeSeconds *float64 `json:"uptime_seconds"` // to the hundredth
	TimeSynced    *bool    `json:"time_synced"`
	UTCOffset     *int64   `json:"utc_offset_s"` // moves twice a year where there is summer time
}

// readForeignOS tells what can be told of a system with another kernel than Linux.
func readForeignOS(r *reader) osFacts {
	f := osFacts{IDLike: []string{}, PkgManagers: []string{}, RebootRequired: rebootFacts{Reasons: []string{}}}
	f.setIdentity(r.run.identity)
	f.ID = text(strings.ToLower(r.run.Kernel()))
	f.Family = f.ID
	r.degraded = true
	r.lack(ReasonOSUnsupported, "*")
	return f
}

// readOS makes the report of type os.
func readOS(r *reader) (facts, metrics any) {
	content, ok := r.needs("os",
		"family", "id", "id_like", "name", "pretty_name", "version", "version_id", "version_major", "codename", "variant", "build",
		"kernel.cmdline", "timezone", "init", "pkg_managers", "security", "reboot_required", "time_sync",
		"installed_at")
	if !ok {
		return nil, nil
	}
	b := readBag(content)
	f := osFacts{}
	f.setIdentity(r.run.identity)
	f.setRelease(b)
	f.setNames(r, b)
	f.setTime(b)
	f.Init = text(initOf(b))
	f.PkgManagers = packageManagersOf(b)
	f.setHardware(r)
	f.Virt = readVirt(r)
	f.Security = readSecurity(r, b)
	f.RebootRequired = readReboot(r, b, f)
	m := osMetrics{BootID: text(b.first("/proc/sys/kernel/random/boot_id"))}
	m.setClock(r, b)
	f.TimeSync, m.TimeSynced = readTimeSync(r, b)
	return f, m
}

// setIdentity fills in what every run is asked.
func (f *osFacts) setIdentity(id identity) {
	f.Kernel.Name, f.Kernel.Release, f.Kernel.Version = text(id.kernel), text(id.release), text(id.version)
	f.Arch, f.Hostname, f.MachineID = text(id.arch), text(id.hostname), text(id.machineID)
}

// setNames fills in the command line of the kernel and the names that the host goes by.
func (f *osFacts) setNames(r *reader, b bag) {
	f.Kernel.Cmdline = text(b.values["cmdline"])
	name := strings.TrimSpace(r.peek("fqdn"))
	s, ok := r.run.Section("fqdn")
	switch {
	case ok && s.Status == 0 && !s.TimedOut && name == "":
		r.lack(ReasonToolMissing, "fqdn", "domain")
	case !ok || s.Status != 0 || s.TimedOut || strings.ContainsAny(name, " \t\n"):
		// A resolver that fails does not change the name, nor does it make the report partial.
		r.keep(ReasonNoAnswer, "fqdn", "domain")
	default:
		f.FQDN = text(name)
		if _, domain, found := strings.Cut(name, "."); found {
			f.Domain = text(strings.TrimSuffix(domain, "."))
		}
	}
}

// setTime fills in what the host knows of its place and age.
func (f *osFacts) setTime(b bag) {
	zone := b.first("/etc/timezone", "/etc/TZ")
	if target := b.links["/etc/localtime"]; target != "" {
		if _, name, found := strings.Cut(target, "zoneinfo/"); found {
			zone = name
		}
	}
	f.Timezone = text(zone)
	f.InstalledAt = installedAt(b)
}

// utcOffset reads the answer of date +%z, such as -0330, as seconds east of UTC.
func utcOffset(s string) *int64 {
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return nil
	}
	hours, minutes := number(s[1:3]), number(s[3:5])
	if hours == nil || minutes == nil || *hours > 25 || *minutes > 59 {
		return nil
	}
	seconds := *hours*3600 + *minutes*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return &seconds
}

// installedAt estimates when the system was installed: when the root file system was made, or the machine's ID was
// written. Images that carry a time from before they existed tell nothing.
func installedAt(b bag) *int64 {
	const earliest = 631152000 // 1990
	made, _, _ := strings.Cut(b.values["born:/lost+found"], "|")
	written, born, _ := strings.Cut(b.values["born:/etc/machine-id"], "|")
	for _, seconds := range []string{made, born, written} {
		if at := instant(seconds); at != nil && *at > earliest {
			return at
		}
	}
	return nil
}

// initOf names what runs as process 1.
func initOf(b bag) string {
	comm := b.first("/proc/1/comm")
	switch {
	case b.any("/run/systemd/system"):
		return "systemd"
	case b.any("/run/openrc"):
		return "openrc"
	case strings.HasPrefix(comm, "runit"), strings.HasPrefix(comm, "s6-svscan"), comm == "procd", comm == "dinit":
		return strings.TrimSuffix(comm, "-svscan")
	case b.any("/sbin/procd"):
		return "procd"
	case comm == "init":
		return "sysv"
	}
	return comm
}

// packageManagersOf names the package managers of which there is a database, those that the packages report lists.
func packageManagersOf(b bag) []string {
	managers := []string{}
	for _, m := range packageManagers() {
		if b.any(m.found...) {
			managers = append(managers, m.name)
		}
	}
	return managers
}

// setClock fills in uptime, boot time and what the clocks on the wall show.
func (m *osMetrics) setClock(r *reader, b bag) {
	m.UTCOffset = utcOffset(b.values["offset"])
	if m.UTCOffset == nil {
		r.lack(ReasonNotApplicable, "utc_offset_s")
	}
	if up, _, found := strings.Cut(strings.TrimSpace(b.first("/proc/uptime")), " "); found {
		m.UptimeSeconds = decimal(up)
	}
	for line := range b.exists {
		if at, found := strings.CutPrefix(line, "btime "); found {
			m.BootTime = instant(at)
		}
	}
	// Everybody may read these. Where nobody may, the machine keeps them from root as well, as a container does.
	if m.UptimeSeconds == nil {
		r.lack(ReasonDenied, "uptime_seconds")
	}
	if m.BootTime == nil {
		r.lack(ReasonDenied, "boot_time")
	}
	if m.BootID == nil {
		r.lack(ReasonDenied, "boot_id")
	}
}

// deref returns what p points at, and "" for nil.
func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
