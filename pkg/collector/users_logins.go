package collector

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxSessions = 2000
	// What who prints of one session: user, terminal, time, and from where in parentheses. BusyBox puts how long it has
	// been idle before the time, and nothing around the place.
	whoLine = `^(\S+)\s+(\S+)\s+(?:\S+\s+)?(\d{4}-\d\d-\d\d \d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d)(?::\d\d)?(?:\s+\(?([^()\s]+)\)?)?\s*$`
	// What last -F prints of one login: user, terminal, from where, the time, and how it ended.
	lastLine = `^(\S+)\s+(\S.*?)\s+(?:(\S+)\s+)?[A-Z][a-z]{2} ([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\b`
)

// readLogins reads who is there and who has been.
func readLogins(r *reader) usersMetrics {
	m := usersMetrics{Sessions: map[string]sessionMetrics{}, LastLogin: map[string]loginMetrics{}}
	parts := splitParts(r.peek("logins"), "who", "last")
	if reason := r.reasonFor("logins"); reason != "" {
		r.lack(reason, "sessions", "last_login")
	}
	for part, path := range map[string]string{"who": "sessions", "last": "last_login"} {
		if _, asked := parts[part]; !asked {
			r.lack(ReasonToolMissing, path)
		}
	}
	session, login := regexp.MustCompile(whoLine), regexp.MustCompile(lastLine)
	for line := range strings.Lines(parts["who"]) {
		f := session.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if f == nil || strings.TrimSpace(f[2]) == "" || len(m.Sessions) >= maxSessions {
			continue
		}
		m.Sessions[f[2]] = sessionMetrics{User: f[1], TTY: f[2], From: text(f[4]), Since: whoTime(f[3], r.run.ClockAt)}
	}
	for line := range strings.Lines(parts["last"]) {
		f := login.FindStringSubmatch(line)
		if f == nil || strings.TrimSpace(f[1]) == "" || f[1] == "reboot" || f[1] == "runlevel" || f[1] == "shutdown" {
			continue
		}
		if _, later := m.LastLogin[f[1]]; later || len(m.LastLogin) >= maxSessions {
			continue // the latest comes first
		}
		login := loginMetrics{From: text(f[3]), TTY: text(f[2])}
		if at, err := time.Parse("Jan _2 15:04:05 2006", f[4]); err == nil && at.Unix() > 0 {
			login.At = new(at.Unix())
		}
		m.LastLogin[f[1]] = login
	}
	return m
}

// whoTime reads the time of who, which may lack the year; then it is the last such day before now.
func whoTime(s string, now time.Time) *int64 {
	if at, err := time.Parse("2006-01-02 15:04", s); err == nil && at.Unix() > 0 {
		return new(at.Unix())
	}
	at, err := time.Parse("Jan _2 15:04 2006", s+" "+strconv.Itoa(now.Year()))
	if err != nil || now.IsZero() {
		return nil
	}
	if at.After(now.Add(24 * time.Hour)) {
		at = at.AddDate(-1, 0, 0)
	}
	return instant(itoa(at.Unix()))
}

// itoa writes a number in decimal.
func itoa(n int64) string { return strconv.FormatInt(n, 10) }
