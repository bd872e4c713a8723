package collector

import (
	"slices"
	"strings"
)

// An identity is what every run is asked, whatever it is for.
type identity struct {
	kernel, release, version, arch, hostname, machineID string
	root                                                bool
}

// readIdentity reads the section id.
func readIdentity(s Section) identity {
	b := readBag(clean(wholeLines(s)))
	id := identity{
		kernel: b.values["kernel"], arch: b.values["arch"], root: b.values["uid"] == "0",
		release: b.first("/proc/sys/kernel/osrelease"), version: b.first("/proc/sys/kernel/version"),
		hostname:  b.first("/proc/sys/kernel/hostname"),
		machineID: strings.ToLower(b.first("/etc/machine-id", "/var/lib/dbus/machine-id")),
	}
	if id.kernel != linux {
		id.release, id.version, id.hostname = b.values["release"], b.values["version"], b.values["hostname"]
	}
	if id.machineID == "uninitialized" {
		id.machineID = ""
	}
	return id
}

const linux = "Linux"

// wholeLines returns the data of s without a last line that may have been cut.
func wholeLines(s Section) []byte {
	if !s.Truncated {
		return s.Data
	}
	for i, v := range slices.Backward(s.Data) {
		if v == '\n' {
			return s.Data[:i+1]
		}
	}
	return nil
}
