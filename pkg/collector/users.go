package collector

import (
	"maps"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// usersFacts are the accounts that the machine itself keeps, never those of a directory. Times are in Unix seconds; null
// means unknown.
type usersFacts struct {
	Users               map[string]userFacts  `json:"users"`  // by name
	Groups              map[string]groupFacts `json:"groups"` // by name
	Sudoers             *sudoersFacts         `json:"sudoers"`
	AuthorizedKeysFiles []string              `json:"authorized_keys_files"` // where sshd looks for keys, in its own words, sorted
}

type userFacts struct {
	Name              string                 `json:"name"`
	UID               int64                  `json:"uid"`
	GID               int64                  `json:"gid"`
	GECOS             *string                `json:"gecos"`
	Home              *string                `json:"home"`
	HomeMode          *string                `json:"home_mode"` // octal, as in 0750; null if there is no such directory
	Shell             *string                `json:"shell"`
	System            bool                   `json:"system"`         // made for a service rather than for somebody
	LoginAllowed      bool                   `json:"login_allowed"`  // its shell lets people in
	PasswordState     *string                `json:"password_state"` // set, locked or none
	PasswordChangedAt *int64                 `json:"password_changed_at"`
	PasswordMinDays   *int64                 `json:"password_min_days"`
	PasswordMaxDays   *int64                 `json:"password_max_days"`
	PasswordWarnDays  *int64                 `json:"password_warn_days"`
	InactiveDays      *int64                 `json:"inactive_days"` // that an expired password still lets in
	ExpiresAt         *int64                 `json:"expires_at"`    // null: never
	Groups            []string               `json:"groups"`        // sorted, with the primary one
	Admin             *bool                  `json:"admin"`         // may become root
	AdminVia          []string               `json:"admin_via"`     // sorted: uid:0, the names in the rules of sudo and doas
	SSHKeys           map[string]sshKeyFacts `json:"ssh_keys"`      // by fingerprint
}

type groupFacts struct {
	Name    string   `json:"name"`
	GID     int64    `json:"gid"`
	Members []string `json:"members"` // sorted, without those whose primary group it is
}

// usersMetrics are what always changes.
type usersMetrics struct {
	Sessions  map[string]sessionMetrics `json:"sessions"` // by terminal
	LastLogin map[string]loginMetrics   `json:"last_login"`
}

type sessionMetrics struct {
	User  string  `json:"user"`
	TTY   string  `json:"tty"`
	From  *string `json:"from"`
	Since *int64  `json:"since"`
}

type loginMetrics struct {
	At   *int64  `json:"at"`
	From *string `json:"from"`
	TTY  *string `json:"tty"`
}

// few is how many things are named one by one before a pattern stands for all of them.
const few = 20

// readUsers makes the report of type users.
func readUsers(r *reader) (facts, metrics any) {
	content, ok := r.needs("accounts", "users", "groups")
	if !ok {
		return nil, nil
	}
	parts := splitParts(content, "passwd", "group", "defs", "shadow", "denied")
	f := usersFacts{Users: readPasswd(r, parts["passwd"], parts["defs"]), Groups: readGroups(r, parts["group"])}
	if len(f.Users) == 0 {
		r.failWith("accounts", ReasonParseFailed)
		return nil, nil
	}
	primary := map[int64]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Groups)) {
		if _, known := primary[f.Groups[name].GID]; !known {
			primary[f.Groups[name].GID] = name
		}
	}
	setGroups(f.Users, f.Groups, primary)
	_, denied := parts["denied"]
	setShadow(r, f.Users, parts["shadow"], denied)
	f.Sudoers = readSudoers(r)
	setAdmin(r, f.Users, f.Sudoers)
	setHomes(r, f.Users)
	f.AuthorizedKeysFiles = setKeys(r, f.Users)
	return f, readLogins(r)
}

// setGroups fills in the groups of the users, by the members of the groups and the primary groups.
func setGroups(users map[string]userFacts, groups map[string]groupFacts, primary map[int64]string) {
	of := map[string][]string{}
	for name, group := range groups {
		for _, member := range group.Members {
			of[member] = append(of[member], name)
		}
	}
	for name, user := range users {
		list := of[name]
		if group, known := primary[user.GID]; known {
			list = append(list, group)
		}
		user.Groups = sortedSet(list)
		users[name] = user
	}
}

// setHomes fills in the modes of the homes.
func setHomes(r *reader, users map[string]userFacts) {
	const field = "home_mode"
	out := r.exact("homes", "users.*."+field)
	modes, reasons := map[string]string{}, map[string]string{}
	rest := ReasonDenied // until it says that it is through
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		word, path, marked := strings.Cut(line, "\t")
		switch {
		case line == "#awk":
			rest = ReasonToolMissing
		case line == "left":
			rest = ReasonTimedOut
		case line == "done":
			rest = ""
		case marked && word == "far":
			reasons[path] = ReasonNotAsked
		case marked && word == "denied":
			reasons[path] = ReasonNoPermission
		default:
			if at := strings.Index(line, " /"); at > 0 {
				modes[trimSlash(line[at+1:])] = octalMode(line)
			}
		}
	}
	if _, answered := modes["/"]; !answered && rest == "" {
		rest = ReasonDenied
	}
	unknown := map[string]string{}
	for name, user := range users {
		home := trimSlash(deref(user.Home))
		mode, known := modes[home]
		user.HomeMode = text(mode)
		users[name] = user
		switch {
		case known:
		case reasons[home] != "":
			unknown[name] = reasons[home]
		case rest != "":
			unknown[name] = rest
		}
	}
	lackEach(r, unknown, field)
}

// lackEach notes for each of the users why a field is not known, with one pattern for all of them if they are many.
func lackEach(r *reader, reasons map[string]string, field string) {
	names := slices.Sorted(maps.Keys(reasons))
	if len(names) > few {
		r.lack(reasons[names[0]], "users.*."+field)
		return
	}
	for _, name := range names {
		r.lack(reasons[name], facts.Path{"users", name, field}.String())
	}
}

// trimSlash returns a path without a slash at its end.
func trimSlash(path string) string {
	if path = strings.TrimRight(path, "/"); path == "" {
		return "/"
	}
	return path
}

// octalMode reads the mode at the beginning of a line of ls -l; "" if it is not of a directory.
func octalMode(line string) string {
	if len(line) < 10 || line[0] != 'd' || strings.Trim(line[1:10], "-rwxsStT") != "" {
		return ""
	}
	special, mode := byte('0'), []byte{'0', '0', '0'}
	for i := range 3 {
		for j, bit := range []byte{4, 2, 1} {
			c := line[1+3*i+j]
			if j == 2 && strings.IndexByte("sStT", c) >= 0 {
				special += []byte{4, 2, 1}[i]
			}
			if c != '-' && c != 'S' && c != 'T' {
				mode[i] += bit
			}
		}
	}
	return string(special) + string(mode)
}
