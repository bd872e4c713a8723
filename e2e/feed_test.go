package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A changeView is a change as the feed tells it.
type changeView struct {
	ID             string          `json:"id"`
	Host           string          `json:"host"`
	HostID         string          `json:"host_id"`
	Type           string          `json:"type"`
	Path           string          `json:"path"`
	Kind           string          `json:"kind"`
	Before         json.RawMessage `json:"before"`
	After          json.RawMessage `json:"after"`
	SeenAt         time.Time       `json:"seen_at"`
	BeforeSince    *time.Time      `json:"before_since"`
	BeforeReportID *string         `json:"before_report_id"`
	AfterReportID  string          `json:"after_report_id"`
}

// String names the change without its times, for messages.
func (c changeView) String() string {
	return fmt.Sprintf("%s %s %s %s: %s -> %s", c.Host, c.Type, c.Kind, c.Path, c.Before, c.After)
}

type feedPage struct {
	Items      []changeView `json:"items"`
	NextCursor *string      `json:"next_cursor"`
	Position   string       `json:"position"`
}

// ask gets a path and reads the answer into out. Unlike get it may be called by any goroutine.
func (s *stack) ask(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s is %d: %s", path, res.StatusCode, clip(text))
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("GET %s: reading %s: %w", path, clip(text), err)
	}
	return nil
}

// end returns where the feed ends now.
func (s *stack) end() string {
	s.t.Helper()
	var page feedPage
	s.get("/api/v1/changes?cursor=now", &page)
	if len(page.Items) > 0 || page.Position == "" {
		s.t.Fatalf("the end of the feed is %+v, want no changes and a position", page)
	}
	return page.Position
}

// readFeed reads on from the position, in pages of random sizes, until there is nothing more for now.
func (s *stack) readFeed(ctx context.Context, position string, filter url.Values) ([]changeView, string, error) {
	var items []changeView
	for {
		query := url.Values{"limit": {strconv.Itoa(1 + rand.IntN(40))}}
		maps.Copy(query, filter)
		if position != "" {
			query.Set("cursor", position)
		}
		var page feedPage
		if err := s.ask(ctx, "/api/v1/changes?"+query.Encode(), &page); err != nil {
			return items, position, err
		}
		items = append(items, page.Items...)
		switch {
		case page.Position == "":
			return items, position, errors.New("a page of the feed has no position")
		case (page.NextCursor != nil) != (len(page.Items) > 0):
			return items, position, fmt.Errorf("a page of %d changes has the next cursor %v", len(page.Items), page.NextCursor)
		case len(page.Items) == 0:
			return items, page.Position, nil
		}
		position = page.Position
		if rand.IntN(2) == 0 {
			position = *page.NextCursor
		}
	}
}

// A follower gathers what a reader of the feed is told while the test goes on.
type follower struct {
	mu    sync.Mutex
	items []changeView
	cuts  int
	done  chan struct{}
	err   error // once done is closed
}

func (f *follower) seen() []changeView {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]changeView(nil), f.items...)
}

func (f *follower) add(items ...changeView) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, items...)
	return len(f.items)
}

// follow runs read until ctx ends or read fails.
func follow(ctx context.Context, read func(ctx context.Context, f *follower) error) *follower {
	f := &follower{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for ctx.Err() == nil {
			if err := read(ctx, f); err != nil && ctx.Err() == nil {
				f.err = err
				return
			}
		}
	}()
	return f
}

// followPages reads the feed by pages from the position on.
func (s *stack) followPages(ctx context.Context, position string) *follower {
	pause := time.NewTicker(10 * time.Millisecond)
	return follow(ctx, func(ctx context.Context, f *follower) error {
		items, next, err := s.readFeed(ctx, position, nil)
		if err != nil {
			return err
		}
		f.add(items...)
		position = next
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		return nil
	})
}

// followEvents reads the feed as a stream from the position on. The connection is cut again and again after a random
// number of events, and taken up where it was.
func (s *stack) followEvents(ctx context.Context, position string) *follower {
	return follow(ctx, func(ctx context.Context, f *follower) error {
		last, err := s.readEvents(ctx, position, 1+rand.IntN(7), f)
		position = last
		f.mu.Lock()
		f.cuts++
		f.mu.Unlock()
		return err
	})
}

// readEvents reads some events after the one with that ID and cuts the connection. It returns the last one's ID.
func (s *stack) readEvents(ctx context.Context, last string, events int, f *follower) (string, error) {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+"/api/v1/changes/events", nil)
	if err != nil {
		return last, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", last)
	client := &http.Client{Transport: s.record} // no timeout: it ends with ctx
	res, err := client.Do(req)
	if err != nil {
		return last, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return last, fmt.Errorf("the stream of changes is %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var id, event string
	var data bytes.Buffer
	for events > 0 && lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data.WriteString(value)
		}
		if lines.Text() != "" || data.Len() == 0 {
			continue
		}
		var c changeView
		if err := json.Unmarshal(data.Bytes(), &c); err != nil || event != "change" || id == "" {
			return last, fmt.Errorf("event %q with ID %q and data %s: %w", event, id, data.Bytes(), err)
		}
		f.add(c)
		last, id, event = id, "", ""
		data.Reset()
		events--
	}
	return last, lines.Err()
}
