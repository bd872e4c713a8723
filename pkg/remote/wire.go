package remote

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// maxPreamble bounds what a server may say before its SSH version line. RFC 4253 sets no limit, and a server that
// talks for ever would otherwise keep us busy until the handshake deadline.
const maxPreamble = 8 << 10

var errPreamble = errors.New("too much text before the SSH version line")

// A wire is the connection below SSH. It notes whether the server has introduced itself as SSH, what it said
// before, and when it was last heard of.
type wire struct {
	net.Conn
	greeted  atomic.Bool  // the SSH version line has arrived
	greeting time.Time    // when; to be read only once greeted
	broken   atomic.Bool  // reading has failed, so nothing more will come
	heard    atomic.Int64 // of the last byte, nanoseconds since the epoch of began
	began    time.Time
	preamble []byte // read and written by the handshake's goroutine only, until greeted
	line     int    // where in preamble the current line begins
}

func newWire(conn net.Conn) *wire {
	return &wire{Conn: conn, began: time.Now()}
}

// Read reads from the connection. It fails when the server says too much before its version line.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.broken.Store(true)
	}
	if n > 0 {
		w.heard.Store(int64(time.Since(w.began)))
		if !w.greeted.Load() && !w.note(p[:n]) {
			return n, errPreamble
		}
	}
	return n, err
}

// note looks for the version line and reports whether the server kept within the limit.
func (w *wire) note(p []byte) bool {
	w.preamble = append(w.preamble, p[:min(len(p), maxPreamble+1-len(w.preamble))]...)
	for {
		end := bytes.IndexByte(w.preamble[w.line:], '\n')
		if end < 0 {
			break
		}
		if bytes.HasPrefix(w.preamble[w.line:], []byte("SSH-")) {
			w.greeting = time.Now()
			w.greeted.Store(true)
			return true
		}
		w.line += end + 1
	}
	return len(w.preamble) <= maxPreamble
}

// silence returns how long the server has not been heard of.
func (w *wire) silence() time.Duration {
	return time.Since(w.began) - time.Duration(w.heard.Load())
}
