package collector

// A section is one part of the script and of its answer.
type section struct {
	name string
	cap  int64  // bytes kept of its output; 0 means Options.SectionCap
	body string // POSIX sh, run in a subshell with nothing on standard input
}

const mib = 1 << 20

// allSections returns every section in the order in which they are sent. The order is part of the answer's frame,
// and puts what is cheap first, so that a slow tool at the end costs the least.
func allSections() []section {
	return []section{
		{name: sectionID, cap: 64 << 10, body: bodyID},
		{name: "os", cap: 256 << 10, body: bodyOS},
		{name: "dmi", cap: 64 << 10, body: bodyDMI},
		{name: "cpu", body: bodyCPU},
		{name: "mem", cap: 256 << 10, body: bodyMem},
		{name: "mounts", cap: 16 * mib, body: bodyMounts},
		{name: "blk", cap: 4 * mib, body: bodyBlk},
		{name: "md", cap: 256 << 10, body: bodyMD},
		{name: "btrfs", cap: 256 << 10, body: bodyBtrfs},
		{name: "net", cap: 4 * mib, body: bodyNet},
		{name: "dns", cap: 256 << 10, body: bodyDNS},
		{name: "ip_link", cap: 4 * mib, body: bodyIPLink},
		{name: "ip_addr", cap: 4 * mib, body: bodyIPAddr},
		{name: "ip_route", body: bodyIPRoute},
		{name: "accounts", cap: 16 * mib, body: bodyAccounts},
		{name: "sudoers", cap: mib, body: bodySudoers},
		{name: "sockets", cap: 8 * mib, body: bodySockets},
		{name: "holders", cap: 8 * mib, body: bodyHolders},
		{name: "svc", cap: mib, body: bodySvc},
		{name: "virt", cap: 64 << 10, body: bodyVirt},
		{name: "df", cap: 2 * mib, body: bodyDF},
		{name: "lsblk", cap: 4 * mib, body: bodyLsblk},
		{name: "lvm", cap: 2 * mib, body: bodyLVM},
		{name: "zfs", cap: 256 << 10, body: bodyZFS},
		{name: "firewall", cap: 4 * mib, body: bodyFirewall},
		{name: "timesync", cap: 64 << 10, body: bodyTimeSync},
		{name: "kernels", cap: 64 << 10, body: bodyKernels},
		{name: "fqdn", cap: 4 << 10, body: bodyFQDN},
		{name: "logins", cap: 256 << 10, body: bodyLogins},
		{name: "homes", cap: 8 * mib, body: bodyHomes()},
		{name: "keys", cap: 8 * mib, body: bodyKeys()},
		{name: "pkg_dbs", cap: 256 << 10, body: bodyPkgDBs},
		{name: "dpkg", cap: 8 * mib, body: bodyDpkg},
		{name: "apk", cap: 8 * mib, body: bodyAPK},
		{name: "pacman", cap: 16 * mib, body: bodyPacman},
		{name: "opkg", cap: 4 * mib, body: bodyOpkg},
		{name: "svc_tools", cap: mib, body: bodySvcTools},
		{name: "systemd", cap: 8 * mib, body: bodySystemd},
		{name: "snap", cap: mib, body: bodySnap},
		{name: "flatpak", cap: mib, body: bodyFlatpak},
		{name: "rpm", cap: 8 * mib, body: bodyRPM},
	}
}

// sectionsOf returns the sections that the types need, each once, in the order of allSections.
func sectionsOf(types []Type, defaultCap int64) []section {
	wanted := map[string]bool{sectionID: true}
	for _, t := range types {
		for _, name := range t.Sections {
			wanted[name] = true
		}
	}
	var out []section
	for _, s := range allSections() {
		if !wanted[s.name] {
			continue
		}
		if s.cap == 0 {
			s.cap = defaultCap
		}
		out = append(out, s)
	}
	return out
}
