package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of every HTTP listener.
const (
	readHeaderTimeout = 5 * time.Second // and of the handshake of TLS
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	closeTimeout      = 10 * time.Second

	maxStreams  = 250 // requests at once on one connection of HTTP/2
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// Bounds of a body on its way in: waiting for it may take bodyGrace and a second for each bodyRate bytes that have
// come, and bodyTimeout in all, which is more than what an import may take.
const (
	bodyGrace   = 5 * time.Second
	bodyRate    = 8 << 10
	bodyTimeout = 6 * time.Minute
)

// ServeHTTP serves h on l until ctx ends, and then waits a while for the requests under way.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	return ServeHTTPS(ctx, l, h, nil, log)
}

// ServeHTTPS is ServeHTTP over TLS, with HTTP/1.1 and HTTP/2; without certificates it is without TLS.
func ServeHTTPS(ctx context.Context, l net.Listener, h http.Handler, certificates *Certificates, log *slog.Logger) error {
	server := &http.Server{
		Handler: patient(h), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeStall,
		},
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err := server.Shutdown(closing)
		if errors.Is(err, context.DeadlineExceeded) { // streams that nobody ends
			err = server.Close()
		}
		stopped <- err
	})
	defer stop()
	if err := serve(server, l, certificates); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return <-stopped
}

func serve(server *http.Server, l net.Listener, certificates *Certificates) error {
	if certificates == nil {
		return server.Serve(l)
	}
	server.TLSConfig = certificates.Config()
	server.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
	return server.ServeTLS(l, "", "")
}

// patient bounds how long a client may take to send a body, and over HTTP/2, where a stream can stall while its
// connection goes on, to read an answer. Over HTTP/1 the connection bounds that.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		control, whole := http.NewResponseController(w), r.ProtoMajor < 2
		if r.Body != nil && r.Body != http.NoBody {
			if whole { // the server reads what a handler has left of a body, too
				_ = control.SetReadDeadline(time.Now().Add(bodyGrace)) // a writer that has none needs none
			}
			r.Body = &body{ReadCloser: r.Body, control: control, keep: whole}
		}
		if !whole {
			defer func() { _ = control.SetWriteDeadline(time.Now().Add(writeStall)) }() // for what is sent at the end
			w = &writer{ResponseWriter: w, control: control}
		}
		next.ServeHTTP(w, r)
	})
}

// A body gives up waiting for a client that sends too slowly. What its reader does between two reads does not count.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	keep    bool // whether a deadline stays after a read: over HTTP/2 one that passes ends the body for good

	got    int64
	waited time.Duration
}

// Read is as that of io.Reader; its error is a timeout if the client is too slow.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	allowed := min(bodyGrace+time.Duration(b.got)*time.Second/bodyRate, bodyTimeout)
	_ = b.control.SetReadDeadline(began.Add(allowed - b.waited)) // a writer that has none needs none
	n, err := b.ReadCloser.Read(p)
	b.got += int64(n)
	b.waited += time.Since(began)
	if err != nil && !isTimeout(err) || !b.keep {
		_ = b.control.SetReadDeadline(time.Time{}) // or it would end a request whose answer takes longer
	}
	return n, err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// A writer gives up a stream of HTTP/2 that its client does not read.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write is as that of http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	defer w.within()()
	return w.ResponseWriter.Write(p)
}

// Flush sends what is held back.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for an http.ResponseController.
func (w *writer) FlushError() error {
	defer w.within()()
	return w.control.Flush()
}

// Unwrap returns the writer for an http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// within sets the deadline of what is written, and returns what takes it away.
func (w *writer) within() func() {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeStall)) // a writer that has none needs none
	return func() { _ = w.control.SetWriteDeadline(time.Time{}) }
}

// modern restricts TLS 1.2, where it is still spoken, to suites with forward secrecy and authenticated encryption; those of
// TLS 1.3 are not chosen.
func modern() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
