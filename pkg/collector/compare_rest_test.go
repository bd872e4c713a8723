package collector_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func textOf(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// reach compares where packets go and who is asked for names.
func (c *comparison) reach(facter, ansible document) {
	for _, family := range []string{"4", "6"} {
		theirs := "default_ipv" + family
		c.hold("network.default.v"+family+".gw", "ansible "+theirs+".gateway", told(at(ansible, theirs, "gateway")), rule{})
		c.hold("network.default.v"+family+".dev", "ansible "+theirs+".interface", told(at(ansible, theirs, "interface")), rule{})
	}
	c.hold("network.primary_ip", "ansible default_ipv4.address", told(at(ansible, "default_ipv4", "address")), rule{})
	c.hold("network.primary_mac", "ansible default_ipv4.macaddress", told(at(ansible, "default_ipv4", "macaddress")), rule{})
	c.hold("network.primary_ip", "facter networking.ip", told(at(facter, "networking", "ip")), rule{})
	c.hold("network.primary_mac", "facter networking.mac", told(at(facter, "networking", "mac")), rule{})
	c.hold("network.default.v4.dev", "facter networking.primary", told(at(facter, "networking", "primary")), rule{})
	dns := object(at(ansible, "dns"))
	for ours, theirs := range map[string]string{"servers": "nameservers", "search": "search"} {
		if dns[theirs] != nil {
			c.hold("network.dns."+ours, "ansible dns."+theirs, dns[theirs], rule{})
		}
	}
	if options := object(dns["options"]); len(options) > 0 {
		var want []string
		for name, value := range options {
			if value != true {
				name += ":" + textOf(value)
			}
			want = append(want, name)
		}
		slices.Sort(want)
		c.hold("network.dns.options", "ansible dns.options", want, rule{how: "name:value, sorted", convert: texts})
	}
}

// software compares packages and services.
func (c *comparison) software(ansible document) {
	installed := map[string]int{}
	for name, versions := range object(at(ansible, "packages")) {
		for _, v := range list(versions) {
			p := object(v)
			manager := word(managerOf(p["source"]))
			installed[manager]++
			key := manager + ":" + name + ":" + word(p["arch"])
			if manager != "dpkg" {
				continue // several versions of one package have keys of their own there, and versions have other parts
			}
			row := func(field string, want any) {
				c.hold("packages.packages.*."+field, "ansible packages."+field, want, rule{}, key)
			}
			row("name", p["name"])
			row("version", p["version"])
			row("arch", p["arch"])
		}
	}
	if n := installed["dpkg"]; n > 0 {
		c.hold("packages.managers.dpkg", "ansible packages", float64(n), rule{how: "how many there are"})
	}
	for name, s := range object(at(ansible, "services")) {
		service := object(s)
		manager := map[string]string{"systemd": "systemd", "sysv": "sysv", "openrc": "openrc"}[word(service["source"])]
		kind := name[strings.LastIndexByte(name, '.')+1:]
		if manager == "" || c.value(0, "services.manager", nil) != manager || manager == "systemd" && kind != "service" {
			continue
		}
		key := manager + ":" + name
		row := func(field, theirs string, want any, r rule) {
			c.hold("services.services.*."+field, "ansible services."+theirs, want, r, key)
		}
		row("name", "name", name, rule{
			reason: "it lists what others name and is not there", purpose: func(any, any) bool { return service["status"] == "not-found" },
		})
		row("state", "state", told(service["state"]), rule{
			reason: "it runs every init script to ask, we run none", purpose: func(got, _ any) bool { return got == "unknown" && manager == "sysv" },
		})
		row("enabled", "status", enabledOf(service["status"]), rule{how: "enabled is yes, disabled is no"})
	}
}

func enabledOf(v any) any {
	switch v {
	case "enabled":
		return "yes"
	case "disabled":
		return "no"
	case "static", "masked", "generated":
		return v
	}
	return nil // an alias, a link, or not there at all
}

// people compares accounts and groups.
func (c *comparison) people(ansible document) {
	local := object(c.value(0, "users.users", nil))
	for name, e := range object(at(ansible, "getent_passwd")) {
		entry := list(e)
		if _, ours := local[name]; !ours || len(entry) < 6 {
			continue // of a directory
		}
		row := func(field string, want any, r rule) {
			c.hold("users.users.*."+field, "ansible getent_passwd."+field, want, r, name)
		}
		row("uid", numberIn(entry[1], 1), rule{how: "text to number"})
		row("gid", numberIn(entry[2], 1), rule{how: "text to number"})
		row("gecos", told(entry[3]), rule{})
		row("home", told(entry[4]), rule{})
		row("shell", told(entry[5]), rule{})
	}
	localGroups := object(c.value(0, "users.groups", nil))
	for name, e := range object(at(ansible, "getent_group")) {
		entry := list(e)
		if _, ours := localGroups[name]; !ours || len(entry) < 3 {
			continue
		}
		members := strings.FieldsFunc(word(entry[2]), func(r rune) bool { return r == ',' })
		slices.Sort(members)
		c.hold("users.groups.*.gid", "ansible getent_group.gid", numberIn(entry[1], 1), rule{how: "text to number"}, name)
		c.hold("users.groups.*.members", "ansible getent_group.members", append([]string{}, members...), rule{how: "sorted", convert: texts}, name)
	}
}
