//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// supported is nil where servers can be run as child processes.
func supported() error { return nil }

// funlock gives up a lock, whoever else has the file open by inheritance. Failing is no harm: closing does the same.
func funlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// flock takes an exclusive lock without waiting.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errHeld
		case err != nil:
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		return nil
	}
}

// ownerOf returns the user and the group that own a file.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

// alive says whether a process with that number exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// signal sends sig to a process that need not be a child.
func signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// killGroup ends a process group at once.
func killGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGKILL) }
