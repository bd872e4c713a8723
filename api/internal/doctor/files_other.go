//go:build !unix

package doctor

// openFiles tells nothing on systems without such a limit.
func openFiles() (used int, limit uint64, known bool) { return 0, 0, false }
