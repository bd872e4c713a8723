//go:build unix

package doctor

import (
	"os"
	"syscall"
)

// openFiles returns how many files this process has open, negative where the system does not tell, and how many it may.
func openFiles() (used int, limit uint64, known bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, 0, false
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1, uint64(r.Cur), true //nolint:unconvert // it is signed on some systems
	}
	return len(entries), uint64(r.Cur), true //nolint:unconvert // it is signed on some systems
}
