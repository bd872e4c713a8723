package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// maxHolder bounds the text in a lock file, which another program may have written.
const maxHolder = 4 << 10

// errHeld says that somebody else holds a lock.
var errHeld = errors.New("the lock is held")

// A Holder says who holds a data directory. Everything in it is for people to read.
type Holder struct {
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
	Command string    `json:"command"`       // program and arguments
	URL     string    `json:"url,omitempty"` // where it answers; empty until Announce
}

// String describes the holder in half a sentence.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	text := fmt.Sprintf("process %d (%s), since %s", h.PID, h.Command, h.Since.UTC().Format(time.RFC3339))
	if h.URL != "" {
		text += ", at " + h.URL
	}
	return text
}

// A DirLock is the claim of one process on a data directory. The kernel gives it up when the process ends, however
// that happens, so a lock left by a crash is no obstacle.
type DirLock struct {
	mu     sync.Mutex
	file   *os.File
	holder Holder
}

// Lock claims dir for this process, creating the directory if it does not exist. Where another process, or another
// caller in this one, holds it, the error is of kind Conflict and says who that is. The caller owes a Release.
func Lock(dir string) (*DirLock, error) {
	dir, err := ensureDir(dir)
	if err != nil {
		return nil, err
	}
	file, err := lockFile(filepath.Join(dir, "lock"))
	if errors.Is(err, errHeld) {
		return nil, fleet.Errorf(fleet.Conflict, "the data directory %s is in use by %s; stop it, or choose another directory with --data",
			dir, readHolder(filepath.Join(dir, "lock")))
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	l := &DirLock{file: file, holder: Holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second), Command: commandLine()}}
	if err := l.write(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return l, nil
}

// Announce adds the address at which this process answers to what others are told about it.
func (l *DirLock) Announce(url string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fleet.Errorf(fleet.Conflict, "the lock on the data directory was already released")
	}
	l.holder.URL = url
	return l.write()
}

// Release gives the directory up. Releasing twice is harmless.
func (l *DirLock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	// The file stays: removing it would let two processes lock two files of one name.
	err := errors.Join(l.file.Truncate(0), unlockFile(l.file))
	l.file = nil
	return err
}

func (l *DirLock) write() error {
	text, err := json.Marshal(l.holder)
	if err != nil {
		return fmt.Errorf("describing this process: %w", err)
	}
	// In place and not by rename: the lock belongs to this very file.
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("writing the lock file: %w", err)
	}
	if _, err := l.file.WriteAt(append(text, '\n'), 0); err != nil {
		return fmt.Errorf("writing the lock file: %w", err)
	}
	return nil
}

// readHolder reads who wrote the lock file; what cannot be read is the zero Holder.
func readHolder(path string) Holder {
	text, err := readSmall(path, maxHolder)
	if err != nil {
		return Holder{}
	}
	var h Holder
	if err := json.Unmarshal(text, &h); err != nil {
		return Holder{}
	}
	return h
}

// commandLine is the command that this process was started with, short enough for one line.
func commandLine() string {
	args := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	text := strings.ToValidUTF8(strings.Join(args, " "), "?")
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return text
}

// lockFile opens the file at path, creating it if needed, and locks it until the file is closed or the process
// ends. The error is errHeld where somebody else has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // in a directory of the caller's choice
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fleet.Wrap(err, fleet.Forbidden, "%s belongs to another user", filepath.Dir(path))
		}
		return nil, err
	}
	if err := flock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// unlockFile gives up the lock of a file and closes it. Closing alone would leave the lock to a child that is being
// started at this moment by another goroutine, until it executes its program.
func unlockFile(f *os.File) error {
	funlock(f)
	return f.Close()
}

// waitForLock is lockFile for a lock that is never held long.
func waitForLock(ctx context.Context, path string) (*os.File, error) {
	var file *os.File
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		f, err := lockFile(path)
		if errors.Is(err, errHeld) {
			return false, nil
		}
		file = f
		return err == nil, err
	})
	return file, err
}

// readAtMost reads up to limit bytes.
func readAtMost(r io.Reader, limit int) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, int64(limit)))
}
