package remote

import (
	"bytes"
	"io"
	"time"
)

// A Lead goes to a command's standard input before the rest, for somebody who stands before the command, such as sudo,
// which asks for a password. Nothing more is sent until it was taken: sudo would try what follows as further passwords,
// and lock the account. The zero value is none.
type Lead struct {
	Bytes   []byte // secret
	Taken   string // appears on standard output when the rest may follow
	Refused string // appears on standard error when it never may
}

// leadPatience is how long somebody may take over a lead. A directory that does not answer is given up before sshd's
// own bound of two minutes.
const leadPatience = 20 * time.Second

// stdin returns what is to be sent in all, watching the sinks for what becomes of the lead. It ends before the rest when
// the lead was refused, when nobody took it in time, or when over is closed.
func (l Lead) stdin(rest []byte, stdout, stderr *sink, over <-chan struct{}) io.Reader {
	if len(l.Bytes) == 0 {
		return bytes.NewReader(rest)
	}
	r := &leadReader{over: over, taken: stdout.watch(l.Taken), refused: stderr.watch(l.Refused)}
	return io.MultiReader(bytes.NewReader(l.Bytes), r, &afterLead{lead: r, rest: bytes.NewReader(rest)})
}

// A leadReader reads as empty once it is known what has become of a lead.
type leadReader struct {
	over, taken, refused <-chan struct{}
	ok                   bool
}

// Read waits, and returns io.EOF.
func (r *leadReader) Read([]byte) (int, error) {
	patience := time.NewTimer(leadPatience)
	defer patience.Stop()
	select {
	case <-r.taken:
		r.ok = true
	case <-r.refused:
	case <-r.over:
	case <-patience.C:
	}
	return 0, io.EOF
}

// afterLead reads as what follows on a lead that was taken.
type afterLead struct {
	lead *leadReader
	rest io.Reader
}

// Read reads the rest, if the lead was taken.
func (a *afterLead) Read(p []byte) (int, error) {
	if !a.lead.ok {
		return 0, io.EOF
	}
	return a.rest.Read(p)
}
