package collector

import (
	"fmt"
	"strings"
)

// ReasonNotAsked is why something is not known that lies where asking for it may never end, such as on the disks of
// another machine.
const ReasonNotAsked = "not_asked"

const (
	maxAccounts   = 50_000 // users and groups that a report lists, each
	secondsPerDay = 86400
)

// accountLines splits the lines of a part of the section accounts into their fields. Of lines that could not be sent as
// they are there is only a question mark.
func accountLines(r *reader, what, lines string, fields int, read func(f []string) bool) {
	bad := 0
	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '+' || line[0] == '-' || line[0] == '#' { // those name a directory, or say nothing
			continue
		}
		if f := strings.Split(line, ":"); len(f) < fields || strings.TrimSpace(f[0]) == "" || !read(f) {
			bad++
		}
	}
	if bad > 0 {
		r.warn(fmt.Sprintf("section accounts: %d lines of %s are none", bad, what))
	}
}

// readPasswd reads the accounts. Of two of the same name the first one counts, as for the machine itself.
func readPasswd(r *reader, lines, defs string) map[string]userFacts {
	users := map[string]userFacts{}
	lowest := int64(1000)
	if words := strings.Fields(defs); len(words) >= 2 && number(words[1]) != nil {
		lowest = *number(words[1])
	}
	accountLines(r, "passwd", lines, 7, func(f []string) bool {
		uid, gid := numberID(f[2]), numberID(f[3])
		if uid == nil || gid == nil {
			return false
		}
		if _, known := users[f[0]]; known {
			return true
		}
		if len(users) >= maxAccounts {
			r.lose(ReasonTruncated, "users")
			return true
		}
		u := userFacts{
			Name: f[0], UID: *uid, GID: *gid, GECOS: text(f[4]), Home: text(f[5]), Shell: text(strings.Join(f[6:], ":")),
			System: *uid < lowest || isNobody(*uid), SSHKeys: map[string]sshKeyFacts{},
		}
		u.LoginAllowed = letsIn(deref(u.Shell))
		switch f[1] {
		case "none", "locked", "set":
			u.PasswordState = new(f[1])
		}
		users[f[0]] = u
		return true
	})
	return users
}

// isNobody reports whether the user ID is the one that stands for nobody in particular.
func isNobody(uid int64) bool { return uid == 65534 || uid == 1<<32-2 }

// letsIn reports whether people can use the shell. None at all is /bin/sh.
func letsIn(shell string) bool {
	switch baseName(shell) {
	case "nologin", "false", "true", "sync", "shutdown", "halt", "reboot":
		return false
	}
	return shell != "/dev/null"
}

// readGroups reads the groups. Of two of the same name the first one counts.
func readGroups(r *reader, lines string) map[string]groupFacts {
	groups := map[string]groupFacts{}
	accountLines(r, "group", lines, 3, func(f []string) bool {
		gid := numberID(f[1])
		if gid == nil {
			return false
		}
		if _, known := groups[f[0]]; known {
			return true
		}
		if len(groups) >= maxAccounts {
			r.lose(ReasonTruncated, "groups")
			return true
		}
		var members []string
		for member := range strings.SplitSeq(f[2], ",") {
			if member = strings.TrimSpace(member); member != "" {
				members = append(members, member)
			}
		}
		groups[f[0]] = groupFacts{Name: f[0], GID: *gid, Members: sortedSet(members)}
		return true
	})
	return groups
}

// setShadow fills in what only root may read about passwords: a state and dates, counted in days since 1970.
func setShadow(r *reader, users map[string]userFacts, lines string, denied bool) {
	if denied {
		for _, field := range []string{
			"password_state", "password_changed_at", "password_min_days", "password_max_days", "password_warn_days", "inactive_days", "expires_at",
		} {
			r.lack(ReasonNoPermission, "users.*."+field)
		}
		return
	}
	seen := map[string]bool{}
	accountLines(r, "shadow", lines, 8, func(f []string) bool {
		u, known := users[f[0]]
		if !known || seen[f[0]] {
			return true
		}
		seen[f[0]] = true
		if u.PasswordState == nil { // an older system keeps it in the other file, and that is the one that counts
			u.PasswordState = text(f[1])
		}
		u.PasswordChangedAt, u.ExpiresAt = dayOf(f[2]), dayOf(f[7])
		u.PasswordMinDays, u.PasswordMaxDays = number(f[3]), number(f[4])
		u.PasswordWarnDays, u.InactiveDays = number(f[5]), number(f[6])
		users[f[0]] = u
		return true
	})
}

// dayOf reads a day, counted since 1970, as its beginning in Unix seconds; nil if there is none.
func dayOf(s string) *int64 {
	const lastDay = 2932896 // of the year 9999
	if day := atMost(number(s), lastDay); day != nil {
		return new(*day * secondsPerDay)
	}
	return nil
}
