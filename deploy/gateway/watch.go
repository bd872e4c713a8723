package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A watch keeps a file of upstreams true.
type watch struct {
	upstreams []upstream
	out       string
	log       *slog.Logger
	lookup    func(ctx context.Context, host string) ([]string, error)
	client    http.Client

	last map[string][]string // the addresses that were found last, by host
	text string              // what the file holds
}

// follow looks for the replicas again and again until ctx ends, and reloads when something has changed. A reload that
// fails is tried again.
func (w *watch) follow(ctx context.Context, every time.Duration, reload func() error) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	pending := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		changed, err := w.update(ctx)
		pending = pending || changed
		if err == nil && pending {
			if err = reload(); err == nil {
				pending = false
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "upstreams not renewed", "error", err)
		}
	}
}

// update writes the file if something has changed, and says whether it has.
func (w *watch) update(ctx context.Context) (bool, error) {
	var b strings.Builder
	for _, u := range w.upstreams {
		b.WriteString(u.block(w.ready(ctx, u)))
	}
	if err := ctx.Err(); err != nil { // what was found out then is no reason to change anything
		return false, err
	}
	text := b.String()
	if text == w.text {
		return false, nil
	}
	next := w.out + ".next"
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil { //nolint:gosec // it holds no secret
		return false, fmt.Errorf("writing the upstreams: %w", err)
	}
	if err := os.Rename(next, w.out); err != nil {
		return false, fmt.Errorf("writing the upstreams: %w", err)
	}
	w.log.InfoContext(ctx, "upstreams changed", "upstreams", strings.Join(strings.Fields(text), " "))
	w.text = text
	return true, nil
}

// ready returns the addresses of the replicas that are ready, or of all if none is. A name that cannot be looked up has
// the addresses it had: the resolver may be what is down.
func (w *watch) ready(ctx context.Context, u upstream) []string {
	all := w.addresses(ctx, u.host)
	ok := make([]bool, len(all))
	var asking sync.WaitGroup
	for i, a := range all {
		asking.Go(func() { ok[i] = w.isReady(ctx, "http://"+net.JoinHostPort(a, u.asked)+u.ready) })
	}
	asking.Wait()
	var found []string
	for i, a := range all {
		if ok[i] {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return all
	}
	return found
}

func (w *watch) addresses(ctx context.Context, host string) []string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := w.lookup(ctx, host)
	if err != nil {
		return w.last[host]
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if w.last == nil {
		w.last = map[string][]string{}
	}
	w.last[host] = found
	return found
}

func (w *watch) isReady(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := w.client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
	return response.StatusCode == http.StatusOK
}
