package needs

import (
	"os"
	"os/user"
	"strings"
	"testing"
)

// PlainUser returns the name of an account that is not root and can log in to a sshd that the test starts: that of whoever
// runs the test, or, for root, any with a shell that is not locked.
func PlainUser(tb testing.TB) string {
	tb.Helper()
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			tb.Fatal(err)
		}
		return me.Username
	}
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil {
		tb.Fatal(err)
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(passwd)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		locked := strings.Contains("\n"+string(shadow), "\n"+fields[0]+":!") // which sshd refuses without PAM
		if len(fields) == 7 && fields[2] != "0" && !locked && (fields[6] == "/bin/bash" || fields[6] == "/bin/sh") {
			return fields[0]
		}
	}
	Lacking(tb, "no account but root's can log in here: useradd --create-home --shell /bin/bash --password '*' NAME")
	return ""
}
