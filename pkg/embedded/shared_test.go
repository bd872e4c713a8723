//go:build unix

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/needs"
)

// tempBase makes dir, for the programs that are given env, what /tmp is, so that a test does not meet the shared
// server of the other tests.
func tempBase(t *testing.T) (dir string, env string) {
	t.Helper()
	dir = scratch(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, "TMPDIR=" + dir
}

// sharedPID returns the number of the server at the only running cluster below dir.
func sharedPID(t *testing.T, dir string) int {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "rollcall-tests-*", "servers", "server-*", "pg[0-9]*", "postmaster.pid"))
	if len(found) != 1 {
		t.Fatalf("servers below %s: %v, want one", dir, found)
	}
	pm, err := readPostmaster(filepath.Dir(found[0]))
	if err != nil {
		t.Fatal(err)
	}
	return pm.pid
}

// nothingLeft says that neither a server nor a file of one is left below dir.
func nothingLeft(dir string, pid int) func() bool {
	return func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "rollcall-tests-*", "servers", "server-*"))
		return gone(pid) && len(found) == 0
	}
}

func TestServersSharedByProcessesThatStartAtOnce(t *testing.T) {
	t.Parallel()
	dir, env := tempBase(t)
	users := make([]*program, 4)
	var starting sync.WaitGroup
	for i := range users {
		starting.Go(func() { users[i] = launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=") })
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	for _, u := range users[1:] {
		if u.URL != users[0].URL {
			t.Errorf("two servers: %s and %s", users[0].URL, u.URL)
		}
	}
	pid := sharedPID(t, dir)
	query(t, users[0].URL, "CREATE TABLE shared AS SELECT 1 AS one")
	for _, u := range users[:3] {
		u.kill()
	}
	// Longer than the server would outlive its last user.
	last := users[3]
	late := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	late.leave(t)
	if got := query(t, last.URL, "SELECT one FROM shared"); got != "1" {
		t.Errorf("after the others were killed the table holds %q", got)
	}
	last.kill()
	eventually(t, 20*time.Second, "the server ends after its last user", nothingLeft(dir, pid))

	again := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	if got := query(t, again.URL, "SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 = %s", got)
	}
	pid = sharedPID(t, dir)
	again.leave(t)
	eventually(t, 20*time.Second, "the second server ends, too", nothingLeft(dir, pid))
}

func TestSharedServerSurvivesAGapBetweenItsUsers(t *testing.T) {
	t.Parallel()
	dir, env := tempBase(t)
	first := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	first.leave(t)
	second := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	if first.URL != second.URL {
		t.Errorf("the second user got %s after %s", second.URL, first.URL)
	}
	pid := sharedPID(t, dir)
	second.kill()
	eventually(t, 20*time.Second, "the server ends after its last user", nothingLeft(dir, pid))
}

func TestSharedServerThatWasKilledIsReplaced(t *testing.T) {
	t.Parallel()
	dir, env := tempBase(t)
	first := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	_ = syscall.Kill(sharedPID(t, dir), syscall.SIGKILL)
	second := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	if got := query(t, second.URL, "SELECT 1"); got != "1" || second.URL == first.URL {
		t.Errorf("SELECT 1 = %s at %s, want 1 and another server than %s", got, second.URL, first.URL)
	}
	first.kill()
	second.kill()
	eventually(t, 20*time.Second, "everything ends", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "rollcall-tests-*", "servers", "server-*"))
		return len(found) == 0
	})
}

func TestSharedServerOfAKilledKeeperIsSweptAway(t *testing.T) {
	t.Parallel()
	dir, env := tempBase(t)
	first := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	server := sharedPID(t, dir)
	keeper := parentOf(t, parentOf(t, server))
	_ = syscall.Kill(keeper, syscall.SIGKILL)
	eventually(t, time.Minute, "the keeper is gone", func() bool { return gone(keeper) })
	second := launch(t, "shared", "", env, "ROLLCALL_TEST_DATABASE_URL=")
	eventually(t, time.Minute, "the server without a keeper is gone", func() bool { return gone(server) })
	if got := query(t, second.URL, "SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 = %s", got)
	}
	pid := sharedPID(t, dir)
	first.kill()
	second.kill()
	eventually(t, time.Minute, "the second server ends", nothingLeft(dir, pid))
}

func TestSharedServerIsNotStartedWhereOneIsGiven(t *testing.T) {
	t.Setenv("ROLLCALL_TEST_DATABASE_URL", "postgres://given")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "not there"))
	if got, err := SharedForTests(t.Context()); got != "postgres://given" || err != nil {
		t.Errorf("SharedForTests = %q, %v, want what the environment says", got, err)
	}
}

func TestSharedDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	t.Setenv("ROLLCALL_TEST_DATABASE_URL", "")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	theirs := filepath.Join(tmp, "rollcall-tests-v1-"+strconv.Itoa(os.Geteuid()))
	if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chmod(theirs, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := SharedForTests(t.Context()); err == nil || !strings.Contains(err.Error(), "not a directory of our own") {
		t.Errorf("SharedForTests = %v, want a refusal", err)
	}
}

// parentOf returns the number of a process's parent.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		needs.Lacking(t, "no /proc here: %v", err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		t.Fatalf("stat of %d: %s", pid, text)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}
