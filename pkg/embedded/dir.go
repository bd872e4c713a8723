package embedded

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultDir returns the directory in which "rollcall up" keeps everything when it is not told where: for root
// /var/lib/rollcall, which the servers' own accounts can reach, and for anybody else the user's state directory
// ($XDG_STATE_HOME/rollcall, or ~/.local/state/rollcall). It does not create it. An error means that the user has
// no home directory.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/rollcall", nil
	}
	// The XDG specification: a relative path is to be ignored.
	if state, ok := os.LookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(state) {
		return filepath.Join(state, "rollcall"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the state directory: %w", err)
	}
	return filepath.Join(home, ".local", "state", "rollcall"), nil
}

// ensureDir creates dir, for its owner alone, where it does not exist yet, and returns its absolute path free of
// symbolic links, so that what is compared with /proc and handed to servers is always the same text.
func ensureDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil { //nolint:gosec // a directory of the caller's choice
		return "", fmt.Errorf("creating the data directory: %w", err)
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", abs, err)
	}
	return resolved, nil
}

// readSmall returns the first limit bytes of a file.
func readSmall(path string, limit int) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // a file of ours, or one that we look at before we trust it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readAtMost(f, limit)
}

// writeWhole replaces the file at path with data, readable by its owner alone: other processes and a crash see the
// old content or the new one, never a part.
func writeWhole(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
