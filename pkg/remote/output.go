package remote

import (
	"errors"
	"sync/atomic"
	"time"
)

// RunOptions bound what a command may send. The zero value takes the defaults.
type RunOptions struct {
	MaxStdout int64 // bytes kept of standard output; default 16 MiB. A command that sends more is ended
	MaxStderr int64 // bytes kept of standard error; default 64 KiB, the rest is dropped
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

// How a command ended that was not let run to its end.
const (
	TerminationConfirmed   = "confirmed"   // the host reported the end of the command
	TerminationUnconfirmed = "unconfirmed" // it may still be running; what runs there must end by itself
)

// An Output is what a command sent and how it ended. It is filled as far as things came even when Run fails:
// partial data is data.
type Output struct {
	Stdout          []byte
	Stderr          []byte
	ExitStatus      int    // -1 if the host did not report one
	Signal          string // that ended the command, without SIG, such as KILL; mostly empty
	Truncated       bool   // Stdout reached its limit, and the command was ended
	StderrTruncated bool   // Stderr reached its limit
	Termination     string // empty, or how the command ended that was not let run to its end
	Duration        time.Duration
}

// errFull ends the reading of a stream that reached its limit.
var errFull = errors.New("output limit reached")

// A sink keeps the first limit bytes written to it. Past stop bytes it fails and calls full once.
type sink struct {
	kept  []byte
	limit int64
	stop  int64
	full  func()
	total atomic.Int64
}

// Write keeps what fits. It is called by one goroutine.
func (s *sink) Write(p []byte) (int, error) {
	total := s.total.Add(int64(len(p)))
	if room := s.limit - int64(len(s.kept)); room > 0 {
		s.kept = append(s.kept, p[:min(int64(len(p)), room)]...)
	}
	if total > s.stop {
		if s.full != nil {
			s.full()
			s.full = nil
		}
		return 0, errFull
	}
	return len(p), nil
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
