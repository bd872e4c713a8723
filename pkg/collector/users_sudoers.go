package collector

import (
	"strings"
)

// sudoersFacts are the rules of sudo and doas.
type sudoersFacts struct {
	Files map[string]sudoersFile   `json:"files"` // by path
	Rules map[string]sudoRuleFacts `json:"rules"` // by who, hosts, runas and command, after doas if it is one of that
	// NoAuthenticate names those of whom sudo asks no password whatever the rules say; "" stands for everybody. Sorted.
	NoAuthenticate []string `json:"no_authenticate"`
}

type sudoersFile struct {
	Path   string  `json:"path"`
	SHA256 *string `json:"sha256"`
}

type sudoRuleFacts struct {
	Tool     string   `json:"tool"`    // sudo or doas
	Who      string   `json:"who"`     // a user, a %group, a #uid
	Hosts    string   `json:"hosts"`   // joined by commas
	RunAs    string   `json:"runas"`   // users, a colon and groups
	Command  string   `json:"command"` // ALL, a path; *** stands for arguments
	Tags     []string `json:"tags"`    // sorted
	NoPasswd bool     `json:"nopasswd"`
}

const (
	maxRules      = 10_000 // that a report lists
	maxAliasDepth = 8
)

// readSudoers reads the rules, which only root may see; nil if they are not known.
func readSudoers(r *reader) *sudoersFacts {
	out := r.section("sudoers", "sudoers")
	switch {
	case !r.run.Root():
		r.lack(ReasonNoPermission, "sudoers")
		return nil
	case strings.HasPrefix(out, "#awk"):
		r.lack(ReasonToolMissing, "sudoers")
		return nil
	case r.reasonFor("sudoers") != "":
		return nil // section has said why
	}
	s := sudoersReader{
		r: r, aliases: map[string]string{},
		facts: sudoersFacts{Files: map[string]sudoersFile{}, Rules: map[string]sudoRuleFacts{}, NoAuthenticate: []string{}},
	}
	var rules [][]string
	tool, begun, through := "sudo", 0, 0
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		switch {
		case f[0] == "file" && len(f) == 3 && strings.HasPrefix(f[1], "/"):
			begun++ // a file may come more than once
			sum, _, _ := strings.Cut(f[2], " ")
			if !isDigest(sum) {
				sum = ""
				r.lack(ReasonToolMissing, "sudoers.files.*.sha256")
			}
			if tool = "sudo"; strings.Contains(f[1], "/doas.") {
				tool = "doas"
			}
			s.facts.Files[f[1]] = sudoersFile{Path: f[1], SHA256: text(sum)}
		case f[0] == "alias" && len(f) == 4:
			s.aliases[f[1]+" "+f[2]] = f[3]
		case f[0] == "rule" && len(f) == 4:
			rules = append(rules, append(f[1:], tool))
		case f[0] == "done":
			through++
		case f[0] == "open" && len(f) == 2:
			s.facts.NoAuthenticate = append(s.facts.NoAuthenticate, strings.TrimPrefix(f[1], ":"))
		case f[0] != "":
			s.bad++
		}
	}
	if through != begun { // awk has failed on one of them
		r.keep(ReasonDenied, "sudoers")
		return nil
	}
	for _, rule := range rules { // an alias may be declared after its use
		s.add(rule[0], rule[1], rule[2], rule[3])
	}
	s.facts.NoAuthenticate = sortedSet(s.facts.NoAuthenticate)
	if s.bad > 0 {
		r.warn("section sudoers: lines that are none")
	}
	return &s.facts
}

// A sudoersReader collects rules.
type sudoersReader struct {
	r       *reader
	aliases map[string]string // by kind and name
	facts   sudoersFacts
	bad     int
}

// add adds the rules that one line makes: one for each who and each command.
func (s *sudoersReader) add(who, hosts, commands, tool string) {
	whos := s.expand(who, 0, "User")
	hosts = strings.Join(s.expand(hosts, 0, "Host"), ",")
	runAs, tags := "root", map[string]bool{}
	for item := range strings.SplitSeq(commands, ",") {
		item = strings.TrimSpace(item)
		for {
			word, rest, more := strings.Cut(item, " ")
			if inside, found := strings.CutPrefix(word, "("); found && more {
				runAs = s.runAs(strings.TrimSuffix(inside, ")"))
			} else if tag, found := strings.CutSuffix(word, ":"); found && more {
				setTag(tags, tag)
			} else {
				break
			}
			item = rest
		}
		for _, command := range s.expand(item, 0, "Cmnd", "Cmd") {
			for _, name := range whos {
				s.put(sudoRuleFacts{
					Tool: tool, Who: name, Hosts: hosts, RunAs: runAs, Command: command, Tags: sortedSet(sortedNames(tags)), NoPasswd: tags["NOPASSWD"],
				})
			}
		}
	}
}

// put adds a rule. Of two about the same the later one counts, as for sudo.
func (s *sudoersReader) put(rule sudoRuleFacts) {
	key := strings.Join([]string{rule.Who, rule.Hosts, rule.RunAs, rule.Command}, ":")
	if rule.Tool != "sudo" {
		key = rule.Tool + ":" + key
	}
	if _, known := s.facts.Rules[key]; !known && len(s.facts.Rules) >= maxRules {
		s.r.lose(ReasonTruncated, "sudoers")
		return
	}
	s.facts.Rules[key] = rule
}

// setTag notes a tag, which takes away its opposite.
func setTag(tags map[string]bool, tag string) {
	opposite := "NO" + tag
	if positive, found := strings.CutPrefix(tag, "NO"); found && tag != "NOTIFY" {
		opposite = positive
	}
	delete(tags, opposite)
	tags[tag] = true
}

// runAs tidies whom a command may run as: users, a colon, groups, each separated by commas.
func (s *sudoersReader) runAs(list string) string {
	users, groups, both := strings.Cut(strings.ReplaceAll(list, ";", ","), ":")
	users = strings.Join(s.expand(users, 0, "Runas"), ",")
	if !both {
		return users
	}
	return users + ":" + strings.Join(s.expand(groups, 0, "Runas"), ",")
}

// expand returns the members of a list, with aliases of the kinds replaced by what they stand for. One that is negated
// stays as it is.
func (s *sudoersReader) expand(list string, depth int, kinds ...string) []string {
	var out []string
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		found := false
		for _, kind := range kinds {
			if members, known := s.aliases[kind+" "+item]; known && depth < maxAliasDepth && len(out) < maxRules {
				out = append(out, s.expand(members, depth+1, kinds...)...)
				found = true
				break
			}
		}
		if !found && item != "" && len(out) < maxRules {
			out = append(out, item)
		}
	}
	return out
}

// setAdmin tells which users may become root and by what: their user ID, or a rule that lets them run everything. Where
// the rules may not be read, the groups that distributions make such a rule for are taken for it, and nobody else is
// known to be none.
func setAdmin(r *reader, users map[string]userFacts, sudoers *sudoersFacts) {
	granted := map[string]bool{}
	if sudoers == nil {
		granted = map[string]bool{"%sudo": true, "%wheel": true, "%admin": true}
		r.keep(r.unavailable["sudoers"], "users.*.admin", "users.*.admin_via")
	} else {
		for _, rule := range sudoers.Rules {
			if rule.Command == "ALL" {
				granted[rule.Who] = true
			}
		}
	}
	for name, user := range users {
		var via []string
		if user.UID == 0 {
			via = append(via, "uid:0")
		}
		for _, subject := range append([]string{"ALL", name, "#" + itoa(user.UID)}, prefixed("%", user.Groups)...) {
			if granted[subject] {
				via = append(via, subject)
			}
		}
		if len(via) > 0 || sudoers != nil {
			user.Admin, user.AdminVia = new(len(via) > 0), sortedSet(via)
		}
		users[name] = user
	}
}

// prefixed returns the names with a prefix.
func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = prefix + name
	}
	return out
}
