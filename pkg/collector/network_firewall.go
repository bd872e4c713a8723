package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

type firewallFacts struct {
	Backend     *string `json:"backend"` // nftables or iptables
	Active      *bool   `json:"active"`  // there is at least one rule
	RulesSHA256 *string `json:"rules_sha256"`
	Count       *int64  `json:"count"` // of rules, without those that programs add and remove on their own
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
	older := tidyRules(parts["iptables"])
	switch {
	case strings.HasSuffix(parts["nft"], "#failed\n") && len(older) == 0:
		// No rules because nobody told them, as in a container that may not ask, are not the same as no rules.
		r.keep(ReasonDenied, path)
		return firewallFacts{}
	case strings.HasSuffix(parts["nft"], "#failed\n"), len(rules) == 0 && len(older) > 0:
		backend, rules = "iptables", older
	default:
		rules = append(rules, older...)
	}
	sum := sha256.Sum256([]byte(strings.Join(rules, "\n")))
	count := countRules(rules)
	return firewallFacts{
		Backend: &backend, Active: new(count > 0), RulesSHA256: new(hex.EncodeToString(sum[:])), Count: &count,
	}
}

// passingChain matches the chains, and passingTable the tables, that belong to programs which add and remove rules with
// every container, service or attack.
const (
	passingChain = `^(f2b-|fail2ban-|KUBE-|cali-|CNI-|FLANNEL|DOCKER|NETAVARK|CILIUM_|OLD_CILIUM_|CROWDSEC|crowdsec|sshguard)`
	passingTable = `^(f2b-table|crowdsec6?|sshguard|kube-proxy)$`
)

// hairpin matches the rule by which a container of Docker reaches itself.
const hairpin = `^(-A POSTROUTING -s (\S+)/32 -d (\S+)/32 .*-j MASQUERADE|ip saddr (\S+) ip daddr (\S+) .*masquerade)`

// A ruleReader reads the lines of a rule set of either kind, and leaves out what moves by itself.
type ruleReader struct {
	moving, chain, table, hairpin *regexp.Regexp

	skipping   int  // blocks that were opened since the one that is left out
	expiring   bool // in a set whose members expire
	inElements bool // in the members of such a set
}

// tidyRules returns the lines of a rule set without what moves by itself: comments with the time, counters, the members
// of sets that expire, and the rules of programs that follow containers, services and attackers.
func tidyRules(out string) []string {
	r := ruleReader{
		moving: regexp.MustCompile(`\s*(counter packets \d+ bytes \d+|expires \w+|\[\d+:\d+\])`),
		chain:  regexp.MustCompile(passingChain), table: regexp.MustCompile(passingTable), hairpin: regexp.MustCompile(hairpin),
	}
	var lines []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(r.moving.ReplaceAllString(line, ""))
		if line != "" && !strings.HasPrefix(line, "#") && !r.passes(line) && !r.expires(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// passes reports whether the line belongs to a program that changes its rules on its own.
func (r *ruleReader) passes(line string) bool {
	opens := strings.HasSuffix(line, "{")
	switch {
	case r.skipping > 0 && opens:
		r.skipping++
		return true
	case r.skipping > 0 && line == "}":
		r.skipping--
		return true
	case r.skipping > 0:
		return true
	}
	words := strings.Fields(line)
	switch {
	case len(words) > 1 && words[0] == "-A":
		ends := r.hairpin.FindStringSubmatch(line)
		return r.passingChain(words[1]) || ends != nil && ends[2] == ends[3]
	case strings.HasPrefix(words[0], ":"):
		return r.passingChain(words[0][1:])
	case opens && words[0] == "chain" && r.passingChain(words[1]), opens && len(words) == 4 && words[0] == "table" && r.table.MatchString(words[2]):
		r.skipping = 1
		return true
	}
	ends := r.hairpin.FindStringSubmatch(line)
	return ends != nil && ends[4] == ends[5]
}

// passingChain reports whether a chain is one of a program, rather than the one that Docker leaves to people.
func (r *ruleReader) passingChain(name string) bool {
	return name != "DOCKER-USER" && r.chain.MatchString(name)
}

// expires reports whether the line lists members of a set that expire.
func (r *ruleReader) expires(line string) bool {
	switch {
	case strings.HasPrefix(line, "set ") || strings.HasPrefix(line, "map "):
		r.expiring = false
	case strings.HasPrefix(line, "flags ") && (strings.Contains(line, "timeout") || strings.Contains(line, "dynamic")):
		r.expiring = true
	case r.expiring && strings.HasPrefix(line, "elements = {"):
		r.inElements = true
	}
	if r.inElements {
		r.inElements = !strings.HasSuffix(line, "}")
		return true
	}
	if line == "}" {
		r.expiring = false
	}
	return false
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
