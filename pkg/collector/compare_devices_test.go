package collector_test

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// fileSystems compares those that Ansible lists.
func (c *comparison) fileSystems(ansible document) {
	const moved = 4 << 30
	for _, m := range list(at(ansible, "mounts")) {
		mount := object(m)
		point, size := word(mount["mount"]), mount["block_size"]
		options := slices.DeleteFunc(strings.Split(word(mount["options"]), ","), func(o string) bool { return o == "relatime" || o == "bind" })
		slices.Sort(options)
		row := func(field, theirs string, want any, r rule) {
			c.hold("disks.filesystems.*."+field, "ansible mounts."+theirs, want, r, point)
		}
		row("mountpoint", "mount", point, rule{})
		row("device", "device", told(mount["device"]), rule{})
		row("fstype", "fstype", told(mount["fstype"]), rule{})
		row("options", "options", any(options), rule{how: "a sorted list without relatime, the default, and Ansible's own bind", convert: texts})
		row("readonly", "options ro", slices.Contains(options, "ro"), rule{how: "the option ro"})
		row("uuid", "uuid", told(mount["uuid"]), rule{how: "N/A is null"})
		row("size", "size_total", mount["size_total"], rule{tolerance: 1024})
		row("avail", "size_available", mount["size_available"], rule{tolerance: moved})
		row("used", "block_used, block_size", minus(times(mount["block_total"], size), times(mount["block_available"], size)), rule{
			how: "blocks to bytes", tolerance: moved, reason: "it counts what is reserved for root as used",
			purpose: func(got, want any) bool { return number64(got) < number64(want) },
		})
		row("inodes_total", "inode_total", mount["inode_total"], rule{})
		row("inodes_used", "inode_used", mount["inode_used"], rule{tolerance: 200_000})
	}
}

// texts returns a list of texts as one.
func texts(v any) any {
	out := []string{}
	for _, e := range list(v) {
		out = append(out, word(e))
	}
	return out
}

// blockDevices compares disks and their partitions.
func (c *comparison) blockDevices(facter, ansible document) {
	vendor := rule{
		reason:  "the number of a bus is no vendor's name",
		purpose: func(got, want any) bool { return got == nil && strings.HasPrefix(word(want), "0x") },
	}
	for name, d := range object(at(ansible, "devices")) {
		device := object(d)
		if strings.HasPrefix(name, "dm-") || device["sectors"] == "0" {
			continue // ours have the name that the device mapper gives them; what holds nothing is none
		}
		row := func(field, theirs string, want any, r rule) {
			c.hold("disks.block.*."+field, "ansible devices."+theirs, want, r, name)
		}
		row("size", "sectors", numberIn(device["sectors"], 512), rule{how: sectorBytes})
		row("removable", "removable", device["removable"] == "1", rule{how: "1 is true"})
		row("rotational", "rotational", device["rotational"] == "1", rule{how: "1 is true"})
		row("logical_sector", "sectorsize", numberIn(device["sectorsize"], 1), rule{how: "text to number"})
		row("model", "model", trimmed(device["model"]), rule{})
		row("vendor", "vendor", trimmed(device["vendor"]), vendor)
		row("serial", "serial", trimmed(device["serial"]), rule{})
		for part, p := range object(device["partitions"]) {
			partition := object(p)
			c.hold("disks.block.*.size", "ansible devices.partitions.sectors", numberIn(partition["sectors"], 512), rule{how: sectorBytes}, part)
			c.hold("disks.block.*.start", "ansible devices.partitions.start", numberIn(partition["start"], 512), rule{how: sectorBytes}, part)
			c.hold("disks.block.*.uuid", "ansible devices.partitions.uuid", told(partition["uuid"]), rule{}, part)
		}
	}
	for name, d := range object(at(facter, "disks")) {
		device := object(d)
		if strings.HasPrefix(name, "dm-") || device["size_bytes"] == 0.0 {
			continue
		}
		row := func(field, theirs string, want any, r rule) {
			c.hold("disks.block.*."+field, "facter disks."+theirs, want, r, name)
		}
		row("size", "size_bytes", device["size_bytes"], rule{})
		row("rotational", "type", device["type"] == "hdd", rule{how: "hdd is true"})
		row("model", "model", trimmed(device["model"]), rule{})
		row("vendor", "vendor", trimmed(device["vendor"]), vendor)
		row("serial", "serial", trimmed(device["serial"]), rule{})
		row("wwn", "wwn", trimmed(device["wwn"]), rule{})
	}
}

func trimmed(v any) any { return told(strings.TrimSpace(word(v))) }

// interfaces compares network interfaces and their addresses.
func (c *comparison) interfaces(facter, ansible document) {
	pci := regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:`)
	for _, n := range list(at(ansible, "interfaces")) {
		name := word(n)
		link := object(at(ansible, strings.NewReplacer("-", "_", ":", "_").Replace(name)))
		if len(link) == 0 || strings.Contains(name, ":") || strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "br-") {
			continue // an alias is an address of ours; the rest is passing
		}
		row := func(field, theirs string, want any, r rule, names ...string) {
			c.hold("network.interfaces.*."+field, "ansible INTERFACE."+theirs, want, r, append([]string{name}, names...)...)
		}
		row("name", "device", link["device"], rule{})
		row("mac", "macaddress", told(link["macaddress"]), rule{})
		row("mtu", "mtu", link["mtu"], rule{})
		row("type", "type", kindOf(link["type"]), rule{
			how: "ether is ethernet", reason: "we tell the kinds of software interfaces apart",
			purpose: func(got, want any) bool { return want == "ethernet" && got != nil },
		})
		row("oper_state", "active", link["active"], rule{how: "all but down is active", convert: active})
		row("speed_mbps", "speed", positive(link["speed"]), rule{how: "-1 is null"})
		row("driver", "module", told(link["module"]), rule{})
		row("pci", "pciid", told(link["pciid"]), rule{
			reason: "the name on another bus is no PCI address", purpose: func(got, want any) bool { return got == nil && !pci.MatchString(word(want)) },
		})
		four := append(slices.Clone(list(link["ipv4_secondaries"])), link["ipv4"])
		for _, a := range slices.Concat(four, list(link["ipv6"])) {
			address := object(a)
			if len(address) == 0 {
				continue
			}
			key := word(address["address"]) + "/" + word(address["prefix"])
			row("addresses.*.address", "ipv4, ipv6 address", address["address"], rule{}, key)
			row("addresses.*.prefixlen", "ipv4, ipv6 prefix", numberIn(address["prefix"], 1), rule{how: "text to number"}, key)
			row("addresses.*.prefixlen", "ipv4.netmask", bits(address["netmask"]), rule{how: "a mask to its length"}, key)
			row("addresses.*.broadcast", "ipv4.broadcast", told(address["broadcast"]), rule{}, key)
			row("addresses.*.scope", "ipv6.scope", told(address["scope"]), rule{}, key)
		}
	}
	for name, l := range object(at(facter, "networking", "interfaces")) {
		if strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "br-") || strings.Contains(name, ":") {
			continue
		}
		link := object(l)
		c.hold("network.interfaces.*.mac", "facter networking.interfaces.mac", told(link["mac"]), rule{}, name)
		c.hold("network.interfaces.*.mtu", "facter networking.interfaces.mtu", link["mtu"], rule{}, name)
		for _, b := range slices.Concat(list(link["bindings"]), list(link["bindings6"])) {
			c.binding(name, object(b))
		}
	}
}

// binding compares one of facter's addresses.
func (c *comparison) binding(name string, binding document) {
	length := bits(binding["netmask"])
	prefix, err := netip.ParsePrefix(word(binding["address"]) + "/" + textOf(length))
	if err != nil {
		return
	}
	row := func(field, theirs string, want any, r rule) {
		c.hold("network.interfaces.*.addresses.*."+field, "facter networking.interfaces.bindings."+theirs, want, r, name, prefix.String())
	}
	family, temporary := "inet", any(nil)
	if prefix.Addr().Is6() {
		family = "inet6"
		if flags := list(binding["flags"]); len(flags) > 0 {
			temporary = slices.Contains(flags, any("temporary"))
		}
	}
	row("family", "address", family, rule{how: "by its form"})
	row("prefixlen", "netmask", length, rule{how: "a mask to its length"})
	row("scope", "scope6", told(binding["scope6"]), rule{})
	row("temporary", "flags", temporary, rule{how: "one of its flags"})
}

// bits returns how long the prefix of a netmask is; nil if it is none.
func bits(v any) any {
	a, err := netip.ParseAddr(word(v))
	if err != nil {
		return nil
	}
	ones, _ := net.IPMask(a.AsSlice()).Size()
	return float64(ones)
}

func number64(v any) float64 {
	n, _ := v.(float64)
	return n
}

func kindOf(v any) any {
	if v == "ether" {
		return "ethernet"
	}
	return told(v)
}

func active(v any) any { return v != "down" }

func positive(v any) any {
	if n, ok := v.(float64); ok && n > 0 {
		return v
	}
	return nil
}
