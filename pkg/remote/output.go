package remote

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// RunOptions bound what a command may send. The zero value takes the defaults.
type RunOptions struct {
	MaxStdout int64 // bytes kept of standard output; default 16 MiB. A command that sends more is ended
	MaxStderr int64 // bytes kept of standard error; default 64 KiB, the rest is dropped

	// Stop says how the host ends a command that must end, given what arrived of its standard output, which is not to
	// be changed. Nil leaves it to the signal of SSH, which many servers do not deliver and which reaches one process
	// group at best.
	Stop func(stdout []byte) Stop

	Lead Lead // what goes before the command's input
}

// A Stop ends on the host what another command has started, and looks whether it has ended.
type Stop struct {
	Command string // to run as the same user; it has to end by itself
	Stdin   []byte // of that command
	Lead    Lead   // what goes before it
	Gone    string // what it prints, among whatever else, when nothing is left; nobody else can know it
}

func (o RunOptions) withDefaults() RunOptions {
	if o.MaxStdout <= 0 {
		o.MaxStdout = 16 << 20
	}
	if o.MaxStderr <= 0 {
		o.MaxStderr = 64 << 10
	}
	return o
}

// How a command ended that was not let run to its end. Confirmed means that the host reported the end of the command
// and, where a Stop was given, that the Stop found nothing left of it.
const (
	TerminationConfirmed   = fleet.TerminationConfirmed
	TerminationUnconfirmed = fleet.TerminationUnconfirmed
)

// An Output is what a command sent and how it ended. It is filled as far as things came even when Run fails:
// partial data is data.
type Output struct {
	Stdout          []byte
	Stderr          []byte
	ExitStatus      int               // -1 if the host did not report one
	Signal          string            // that ended the command, without SIG, such as KILL; mostly empty
	Truncated       bool              // Stdout reached its limit, and the command was ended
	StderrTruncated bool              // Stderr reached its limit
	Termination     fleet.Termination // empty, or how the command ended that was not let run to its end
	Duration        time.Duration
}

// errFull ends the reading of a stream that reached its limit.
var errFull = errors.New("output limit reached")

// A sink keeps the first limit bytes written to it. Past stop bytes it fails and calls full once.
type sink struct {
	mu    sync.Mutex // for kept while the command runs
	kept  []byte
	limit int64
	stop  int64
	full  func()
	total atomic.Int64

	word []byte        // watched for; empty once it was seen
	seen chan struct{} // closed when word has appeared in what is kept
}

// Write keeps what fits. It is called by one goroutine.
func (s *sink) Write(p []byte) (int, error) {
	total := s.total.Add(int64(len(p)))
	s.keep(p)
	if total > s.stop {
		if s.full != nil {
			s.full()
			s.full = nil
		}
		return 0, errFull
	}
	return len(p), nil
}

func (s *sink) keep(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := s.limit - int64(len(s.kept)); room > 0 {
		s.kept = append(s.kept, p[:min(int64(len(p)), room)]...)
	}
	if len(s.word) > 0 && bytes.Contains(s.kept[max(0, len(s.kept)-len(p)-len(s.word)):], s.word) {
		s.word = nil
		close(s.seen)
	}
}

// watch returns a channel that is closed when the word appears in what is kept. It is called before anything is written,
// and once at most. An empty word never appears.
func (s *sink) watch(word string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.word, s.seen = []byte(word), make(chan struct{})
	return s.seen
}

// sofar returns what is kept up to now, while more may come: what was kept once stays as it is.
func (s *sink) sofar() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func (s *sink) truncated() bool { return s.total.Load() > s.limit }

// newSinks returns the sinks of a command. Too much output ends the command by full, and so does an error stream
// that goes on and on although nobody keeps it.
func newSinks(options RunOptions, full func()) (stdout, stderr *sink) {
	options = options.withDefaults()
	stdout = &sink{limit: options.MaxStdout, stop: options.MaxStdout, full: full}
	stderr = &sink{limit: options.MaxStderr, stop: options.MaxStderr + options.MaxStdout, full: full}
	return stdout, stderr
}
