package collector

// A Type is one kind of report and what it takes to make it.
type Type struct {
	Name          string
	Number        int16      // its number in the database; never reused
	SchemaVersion int        // raised whenever the meaning or the shape of the facts changes
	Sections      []string   // the sections its parser reads; the identity is always sent
	Revisions     []Revision // one for each version after the first, in their order

	// read makes the facts and the metrics out of the sections, or reports through the reader what is missing.
	// A nil facts value means that there is nothing to tell.
	read func(r *reader) (facts, metrics any)

	custom *custom // of a type that is not built in, in place of Sections and read
}

// Builtin returns the built-in types in the order of their numbers. The slice is the caller's.
func Builtin() []Type {
	return []Type{
		{
			Name: "os", Number: 1, SchemaVersion: 3, Revisions: []Revision{{2, []string{"utc_offset_s"}}, {3, []string{"pkg_managers"}}},
			Sections: []string{"os", "dmi", "virt", "timesync", "kernels", "fqdn"}, read: readOS,
		},
		{Name: "cpu", Number: 2, SchemaVersion: 1, Sections: []string{"cpu"}, read: readCPU},
		{
			Name: "memory", Number: 3, SchemaVersion: 2, Revisions: []Revision{{2, []string{"hugepages"}}},
			Sections: []string{"mem"}, read: readMemory,
		},
		{
			Name: "disks", Number: 4, SchemaVersion: 3,
			Revisions: []Revision{{2, []string{"filesystems", "block.*.kname", "zfs_pools.*.dedup"}}, {3, []string{"lvm", "zfs_pools"}}},
			Sections:  []string{"mounts", "df", "blk", "lsblk", "md", "btrfs", "lvm", "zfs"}, read: readDisks,
		},
		{
			Name: "network", Number: 5, SchemaVersion: 2,
			Revisions: []Revision{{2, []string{"interfaces", "routes", "default", "primary_ip", "primary_mac", "dns.options", "firewall"}}},
			Sections:  []string{"net", "dns", "ip_link", "ip_addr", "ip_route", "firewall"}, read: readNetwork,
		},
		{
			Name: "packages", Number: 6, SchemaVersion: 1,
			Sections: []string{"pkg_dbs", "dpkg", "apk", "pacman", "opkg", "snap", "flatpak", "rpm"}, read: readPackages,
		},
		{Name: "services", Number: 7, SchemaVersion: 1, Sections: []string{"svc", "svc_tools", "systemd"}, read: readServices},
		{
			Name: "users", Number: 8, SchemaVersion: 1,
			Sections: []string{"accounts", "homes", "keys", "sudoers", "logins"}, read: readUsers,
		},
		{
			Name: "ports", Number: 9, SchemaVersion: 2, Revisions: []Revision{{2, []string{"listening"}}},
			Sections: []string{"sockets", "holders"}, read: readPorts,
		},
	}
}

// Lookup returns the built-in type of that name.
func Lookup(name string) (Type, bool) {
	for _, t := range Builtin() {
		if t.Name == name {
			return t, true
		}
	}
	return Type{}, false
}
