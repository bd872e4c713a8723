package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

type dnsFacts struct {
	Servers []string `json:"servers"` // in the order they are asked
	Search  []string `json:"search"`
	Options []string `json:"options"`
	Source  *string  `json:"source"` // resolv.conf, or systemd-resolved whose own upstream servers are told then
}

type firewallFacts struct {
	Backend     *string `json:"backend"` // nftables or iptables
	Active      *bool   `json:"active"`  // there is at least one rule
	RulesSHA256 *string `json:"rules_sha256"`
	Count       *int64  `json:"count"` // of rules
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
	if len(sum) != 2*sha256.Size {
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
	return f
}

// readFirewall tells whether there are rules and whether they have changed. The rules themselves are not kept.
func readFirewall(r *reader) firewallFacts {
	const path = "firewall"
	out := r.section("firewall", path)
	switch {
	case r.reasonFor("firewall") != "":
		return firewallFacts{} // half the rules have another hash
	case !r.run.Root():
		r.lack(ReasonNoPermission, path)
		return firewallFacts{}
	case strings.TrimSpace(out) == "":
		r.lack(ReasonToolMissing, path)
		return firewallFacts{}
	}
	parts := splitParts(out, "nft", "iptables")
	backend, rules := "nftables", tidyRules(parts["nft"])
	if older := tidyRules(parts["iptables"]); len(rules) == 0 && len(older) > 0 {
		backend, rules = "iptables", older
	} else {
		rules = append(rules, older...)
	}
	sum := sha256.Sum256([]byte(strings.Join(rules, "\n")))
	count := countRules(rules)
	return firewallFacts{
		Backend: &backend, Active: new(count > 0), RulesSHA256: new(hex.EncodeToString(sum[:])), Count: &count,
	}
}

// tidyRules returns the lines of a rule set without what moves by itself: comments with the time, counters, and the
// members of sets that expire.
func tidyRules(out string) []string {
	moving := regexp.MustCompile(`\s*(counter packets \d+ bytes \d+|expires \w+|\[\d+:\d+\])`)
	var lines []string
	passing, inElements := false, false
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(moving.ReplaceAllString(line, ""))
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "set ") || strings.HasPrefix(line, "map "):
			passing = false
		case strings.HasPrefix(line, "flags ") && (strings.Contains(line, "timeout") || strings.Contains(line, "dynamic")):
			passing = true
		case passing && strings.HasPrefix(line, "elements = {"):
			inElements = true
		}
		if inElements {
			inElements = !strings.HasSuffix(line, "}")
			continue
		}
		if line == "}" {
			passing = false
		}
		lines = append(lines, line)
	}
	return lines
}

// countRules counts the rules among the lines of a rule set of either kind.
func countRules(lines []string) int64 {
	var n int64
	inChain := false
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "-A "):
			n++
		case strings.HasSuffix(line, "{") && !strings.Contains(line, "= {"):
			inChain = strings.HasPrefix(line, "chain ")
		case line == "}":
			inChain = false
		case inChain && !strings.HasPrefix(line, "type ") && !strings.HasPrefix(line, "policy "):
			n++
		}
	}
	return n
}
