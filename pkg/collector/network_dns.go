package collector

import (
	"slices"
	"strings"
)

type dnsFacts struct {
	Servers []string `json:"servers"` // in the order they are asked
	Search  []string `json:"search"`
	Options []string `json:"options"` // sorted
	Source  *string  `json:"source"`  // resolv.conf, or systemd-resolved whose own upstream servers are told then
}

// readDNS reads whom the host asks for names.
func readDNS(r *reader) (dnsFacts, *string) {
	b := readBag(r.section("dns", "dns", "hosts_file_sha256"))
	f := dnsFacts{Servers: []string{}, Search: []string{}, Options: []string{}}
	if b.has("/etc/resolv.conf") {
		f = readResolvConf(b.files["/etc/resolv.conf"])
		f.Source = new("resolv.conf")
	} else {
		r.lack(ReasonNotApplicable, "dns")
	}
	upstream := b.files["/run/systemd/resolve/resolv.conf"]
	if slices.Contains(f.Servers, "127.0.0.53") && len(upstream) > 0 {
		f.Servers = readResolvConf(upstream).Servers
		f.Source = new("systemd-resolved")
	}
	sum, _, _ := strings.Cut(b.values["hosts_sha256"], " ")
	if !isDigest(sum) {
		r.lack(ReasonToolMissing, "hosts_file_sha256")
		return f, nil
	}
	return f, text(sum)
}

// readResolvConf reads resolv.conf, in which the last search line holds.
func readResolvConf(lines []string) dnsFacts {
	f := dnsFacts{Servers: []string{}, Search: []string{}, Options: []string{}}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			f.Servers = append(f.Servers, words[1])
		case "search", "domain":
			f.Search = words[1:]
		case "options":
			f.Options = append(f.Options, words[1:]...)
		}
	}
	f.Options = sortedSet(f.Options)
	return f
}
