//go:build unix && !linux

package embedded

import "syscall"

// childAttr makes a child that lives in a process group of its own. These systems cannot tie it to the life of its
// parent: a killed parent leaves its servers running, and the next start in the same directory is refused or ends them.
func childAttr(id identity, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if id.account != "" {
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	}
	return attr
}

// haveNamespaces says whether a server can be moved into a user namespace on this system.
func haveNamespaces() bool { return false }

// worksIn says whether the process works in dir, which cannot be found out here.
func worksIn(int, string) (yes, known bool) { return false, false }

// anyWorksIn says whether any process works in dir, which cannot be found out here.
func anyWorksIn(string) bool { return false }
