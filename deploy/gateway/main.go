// Gateway runs nginx with upstreams that follow the replicas behind a name: those that say they are ready get requests,
// the others none, and a replica that is about to stop is left out before it stops listening. nginx itself looks a name
// up once, at its start, and finds out by failing requests that a replica is gone.
//
//	gateway -out FILE [-every 1s] -upstream NAME=HOST:PORT/READY [-upstream …] -- nginx …
//
// For each upstream FILE holds a block NAME with the addresses of HOST at PORT. READY is the path that says whether a
// replica is ready; one that listens elsewhere, as for gRPC, is written NAME=HOST:PORT/READY@ASKEDPORT. While no replica
// is ready all of them stay, so that their own answer reaches the caller; while the name cannot be looked up, those stay
// that were found last.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	lookupTimeout = 2 * time.Second
	askTimeout    = 1500 * time.Millisecond // a replica that takes longer to say that it is ready is not
	reloadTimeout = 5 * time.Second
	keepAlive     = 64 // idle connections of each nginx worker to the replicas of one upstream
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], log)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// run runs the program among args until it ends, or until ctx does, which ends it gracefully.
func run(ctx context.Context, args []string, log *slog.Logger) error {
	var upstreams list
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	out := flags.String("out", "", "the file of upstreams that nginx includes")
	every := flags.Duration("every", time.Second, "how often the replicas are asked")
	flags.Var(&upstreams, "upstream", "NAME=HOST:PORT/READY[@ASKEDPORT], any number of times")
	if err := flags.Parse(args); err != nil {
		return err
	}
	command := flags.Args()
	if *out == "" || len(upstreams) == 0 || len(command) == 0 || *every <= 0 {
		return errors.New("usage: gateway -out FILE -upstream NAME=HOST:PORT/READY -- nginx …")
	}
	w := &watch{
		upstreams: upstreams, out: *out, log: log, lookup: net.DefaultResolver.LookupHost,
		client: http.Client{Timeout: askTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}},
	}
	if _, err := w.update(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serve(ctx, command) })
	g.Go(func() error { return w.follow(ctx, *every, func() error { return reload(ctx, command) }) })
	if err := g.Wait(); !errors.Is(err, errEnded) {
		return err
	}
	return nil
}

var errEnded = errors.New("nginx has ended")

// serve runs nginx until it ends, or ends it when ctx does: it finishes what it is doing.
func serve(ctx context.Context, command []string) error {
	nginx := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the image's own command
	nginx.Stdout, nginx.Stderr = os.Stdout, os.Stderr
	nginx.Cancel = func() error { return nginx.Process.Signal(syscall.SIGQUIT) }
	err := nginx.Run()
	if ctx.Err() == nil {
		return fmt.Errorf("running %s: %w", command[0], cmpErr(err, errors.New("it ended by itself")))
	}
	return errEnded
}

// cmpErr returns err, or other if there is none.
func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// reload has the running nginx read its configuration again, which closes no connection that is in use.
func reload(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	args := append(slices.Clone(command[1:]), "-s", "reload")
	said, err := exec.CommandContext(ctx, command[0], args...).CombinedOutput() //nolint:gosec // the same
	if err != nil {
		return fmt.Errorf("reloading nginx: %w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}
