package collector_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTheUsersReportIsTrueForThisMachine(t *testing.T) {
	t.Parallel()
	facts, _ := live(t, "users")
	users, ok := at(facts, "users").(document)
	if !ok {
		t.Fatalf("the users are %v", at(facts, "users"))
	}
	var names, want []string
	for name := range users {
		names = append(names, name)
	}
	for line := range strings.Lines(tool(t, "getent", "passwd")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if !strings.Contains("\n"+readFile(t, "/etc/passwd"), "\n"+f[0]+":") {
			continue // of a directory
		}
		want = append(want, f[0])
		u := at(facts, "users", f[0])
		user, ok := u.(document)
		if !ok {
			t.Errorf("%s is not listed", f[0])
			continue
		}
		equal(t, f[0]+" uid", user["uid"], any(asNumber(t, f[2])))
		equal(t, f[0]+" gid", user["gid"], any(asNumber(t, f[3])))
		equal(t, f[0]+" home", user["home"], orNil(f[5]))
		equal(t, f[0]+" shell", user["shell"], orNil(f[6]))
		equal(t, f[0]+" groups", user["groups"], any(groupsOf(t, f[0], f[3])))
		if info, err := os.Stat(f[5]); err == nil && info.IsDir() {
			mode, _ := user["home_mode"].(string)
			equal(t, f[0]+" home_mode", any(strings.TrimLeft(mode, "0")), any(tool(t, "stat", "-L", "-c", "%a", f[5])))
		}
	}
	equalSets(t, "users", names, want)
	sameGroups(t, facts)
	samePasswords(t, facts)
	if files, ok := at(facts, "sudoers", "files").(document); ok && os.Geteuid() == 0 {
		found, err := filepath.Glob("/etc/sudoers")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			sum, _, _ := strings.Cut(tool(t, "sha256sum", path), " ")
			equal(t, path, at(files, path, "sha256"), any(sum))
		}
	}
}

func asNumber(t *testing.T, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// groupsOf returns the names of a user's groups as the machine itself has them, sorted.
func groupsOf(t *testing.T, name, gid string) []any {
	t.Helper()
	var groups []string
	for line := range strings.Lines(readFile(t, "/etc/group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if f[2] == gid || slices.Contains(strings.Split(f[3], ","), name) {
			groups = append(groups, f[0])
		}
	}
	slices.Sort(groups)
	out := []any{}
	for _, group := range slices.Compact(groups) {
		out = append(out, group)
	}
	return out
}

// sameGroups compares the groups with what getent says of them.
func sameGroups(t *testing.T, facts document) {
	t.Helper()
	groups, _ := at(facts, "groups").(document)
	for line := range strings.Lines(tool(t, "getent", "group")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		members := []any{}
		for member := range strings.SplitSeq(f[3], ",") {
			if member != "" {
				members = append(members, member)
			}
		}
		slices.SortFunc(members, func(a, b any) int { return strings.Compare(a.(string), b.(string)) }) //nolint:errcheck // they are strings
		equal(t, "group "+f[0], at(groups, f[0]), any(document{"name": f[0], "gid": asNumber(t, f[2]), "members": members}))
		delete(groups, f[0])
	}
	if len(groups) > 0 {
		t.Errorf("getent knows no groups %v", groups)
	}
}

// samePasswords compares the states with what passwd says of them, where we may ask.
func samePasswords(t *testing.T, facts document) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("running as a plain user, who may not ask")
		return
	}
	for line := range strings.Lines(tool(t, "passwd", "-S", "-a")) {
		f := strings.Fields(line)
		want := map[string]string{"P": "set", "L": "locked", "NP": "none"}[f[1]]
		equal(t, "password of "+f[0], at(facts, "users", f[0], "password_state"), any(want))
	}
}
