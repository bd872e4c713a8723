package embedded

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

const (
	maxLogFile = 8 << 20 // bytes of a log file before it is put aside; one old file is kept
	maxLogTail = 4 << 10 // bytes kept in memory for error texts
)

// A serverLog takes what a server writes: the newest bytes stay in memory, and all of it goes to a file of bounded
// size if there is one. Writing never fails, so that a full disk cannot block the server behind its pipe.
type serverLog struct {
	mu   sync.Mutex
	tail []byte
	path string // empty: no file
	file *os.File
	size int64
	max  int64
}

// openLog returns a log that appends to the file at path, or keeps no file if path is empty.
func openLog(path string) (*serverLog, error) {
	l := &serverLog{path: path, max: maxLogFile}
	if path == "" {
		return l, nil
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *serverLog) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the server's log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("opening the server's log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write implements io.Writer and always succeeds.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if cut := len(l.tail) - maxLogTail; cut > 0 {
		l.tail = append(l.tail[:0], l.tail[cut:]...)
	}
	if l.file == nil {
		return len(p), nil
	}
	if l.size+int64(len(p)) > l.max {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p) // what cannot be written is lost; the server goes on
		l.size += int64(n)
	}
	return len(p), nil
}

// rotate puts the full file aside. Where that fails the file is emptied, because bounded matters more than whole.
func (l *serverLog) rotate() {
	_ = l.file.Close()
	l.file = nil
	if os.Rename(l.path, l.path+".1") != nil {
		_ = os.Truncate(l.path, 0)
	}
	_ = l.open() // on failure the log goes on in memory alone
}

// Tail returns the last lines that the server wrote, at most a dozen.
func (l *serverLog) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return lastLines(string(l.tail), 12)
}

// forget drops what is in memory, so that Tail speaks of the next attempt only.
func (l *serverLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.tail[:0]
}

// Close closes the file. Later writes go to memory alone.
func (l *serverLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// lastLines returns the last n lines of text as valid UTF-8, without empty ones.
func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
