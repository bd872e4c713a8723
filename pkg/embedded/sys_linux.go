package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// childAttr makes a child that lives in a process group of its own, so that Ctrl-C does not reach it before we
// stop it in order, and that receives death when the thread that started it ends.
func childAttr(id identity, death syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
	switch {
	case id.namespace:
		// Inside, the server is nobody and holds no capability outside of its namespace.
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobodyID, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobodyID, HostID: os.Getegid(), Size: 1}}
	case id.account != "":
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)} //nolint:gosec // from the account data base, not negative
	}
	return attr
}

// haveNamespaces says whether a server can be moved into a user namespace on this system.
func haveNamespaces() bool { return true }

// worksIn says whether the process works in dir, as servers do in their data. A process that has ended, even if
// nobody has noticed yet, works nowhere. known is false where that cannot be found out.
func worksIn(pid int, dir string) (yes, known bool) {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, true
	}
	return cwd == dir, err == nil
}

// anyWorksIn says whether any process that we can see works in dir.
func anyWorksIn(dir string) bool {
	found, _ := filepath.Glob("/proc/[0-9]*/cwd") // the one error is a bad pattern
	for _, link := range found {
		if cwd, err := os.Readlink(link); err == nil && cwd == dir {
			return true
		}
	}
	return false
}
