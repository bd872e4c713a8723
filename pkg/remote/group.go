package remote

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// groupAlive reports whether any process of the group still runs. Zombies do not count: in a container whose first
// process collects no orphans they stay for good.
func groupAlive(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true // no /proc: the answer of kill stands
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name) //nolint:gosec // a file of /proc
		if err == nil && statInGroup(stat, group) {
			return true
		}
	}
	return false
}

// statInGroup reports whether a line of /proc/PID/stat is of a process of the group that is not a zombie. The name
// of the program, in parentheses, may hold anything, so the fields are counted from its end.
func statInGroup(stat []byte, group int) bool {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return false
	}
	fields := bytes.Fields(stat[end+1:]) // state, parent, group …
	return len(fields) > 2 && string(fields[2]) == strconv.Itoa(group) && !bytes.ContainsAny(fields[0], "ZX")
}
