// Command inside runs a program in the namespaces that it was itself started in, and lets a test outside of them reach
// it through a Unix socket, which unlike a port is not a namespace's own:
//
//	inside SOCKET SETUP URL COMMAND…
//
// The shell script SETUP is run first, then COMMAND. Requests to /run run their body as a shell script and answer 200
// or, if it fails, 422, with what it printed; all others are passed on to URL. It ends with the command, by SIGTERM, and when its
// standard input ends, which it does with the test.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 4 {
		return errors.New("usage: inside SOCKET SETUP URL COMMAND…")
	}
	upstream, err := url.Parse(args[2])
	if err != nil {
		return fmt.Errorf("reading the URL: %w", err)
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if out, err := shell(ctx, args[1]); err != nil {
		return fmt.Errorf("setting up: %w\n%s", err, out)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", args[0])
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run", serveShell)
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) }, FlushInterval: -1, // events pass at once
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until it is closed
	defer func() { _ = server.Close() }()
	command := exec.CommandContext(ctx, args[3], args[4:]...) //nolint:gosec // a test names it
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	if err := command.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("running %s: %w", args[3], err)
	}
	return nil
}

// serveShell runs the body of the request.
func serveShell(w http.ResponseWriter, r *http.Request) {
	script, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := shell(r.Context(), string(script))
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprintf(w, "%v\n", err)
	}
	_, _ = w.Write(out)
}

func shell(ctx context.Context, script string) ([]byte, error) {
	return exec.CommandContext(ctx, "sh", "-euc", script).CombinedOutput() //nolint:gosec // a test wrote it
}
