package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

// aFeed is a server whose changes come while it is watched. It can be restarted.
type aFeed struct {
	mu      sync.Mutex
	changes []string
	more    chan struct{} // closed when there is more, or the server goes
	away    bool
}

func (f *aFeed) add(changes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, changes...)
	close(f.more)
	f.more = make(chan struct{})
}

func (f *aFeed) restart(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
	close(f.more)
	f.more = make(chan struct{})
}

func (f *aFeed) look() (changes []string, more <-chan struct{}, away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes, f.more, f.away
}

func (f *aFeed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	changes, _, away := f.look()
	if away {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	}
	q := r.URL.Query()
	at, err := strconv.Atoi(q.Get("cursor"))
	if err != nil && q.Get("cursor") == "now" {
		at = len(changes)
	}
	if strings.HasSuffix(r.URL.Path, "/events") {
		f.events(w, r, at)
		return
	}
	if q.Get("order") == "newest" {
		f.add(aChange(2, "web-1", "added", "null", "2")) // which lies behind the place that was asked for
		answer(w, 200, `{"items":[`+aChange(2, "web-1", "added", "null", "2")+","+aChange(1, "web-1", "added", "null", "1")+`],"next_cursor":null}`)
		return
	}
	answer(w, 200, fmt.Sprintf(`{"items":[%s],"next_cursor":"%d","position":"%[2]d"}`, strings.Join(changes[at:], ","), len(changes)))
}

func (f *aFeed) events(w http.ResponseWriter, r *http.Request, at int) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, ": hello\n\n")
	for {
		changes, more, away := f.look()
		for ; at < len(changes); at++ {
			_, _ = fmt.Fprintf(w, "id: %d\nevent: change\ndata: %s\n\n", at+1, changes[at])
		}
		_ = http.NewResponseController(w).Flush()
		if away {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

// eventually waits until the text holds what it should.
func eventually(t *testing.T, text func() string, want string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !strings.Contains(text(), want) {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%q never came in %q", want, text())
		}
	}
}

func TestChangesAreFollowedUntilSomebodyHasSeenEnough(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		form  string
		lines []string // of the changes 1 to 4
	}{
		{"table", []string{"added 1\n", "added 2\n", "added 3\n", "added 4\n"}},
		{"ndjson", []string{`"after":1`, `"after":2`, `"after":3`, `"after":4`}},
		{"csv", []string{",added,,1,", ",added,,2,", ",added,,3,", ",added,,4,"}},
		{"json", []string{`"after": 1`, `"after": 2`, `"after": 3`, `"after": 4`}},
	} {
		t.Run(test.form, func(t *testing.T) {
			t.Parallel()
			feed := &aFeed{more: make(chan struct{}), changes: []string{aChange(1, "web-1", "added", "null", "1")}}
			u := serve(t, feed.ServeHTTP)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var stdout, stderr safeBuffer
			ended := make(chan int, 1)
			go func() {
				ended <- command.Run(ctx, command.Invocation{Args: []string{"changes", "-f", "-o", test.form}, Environ: u.environ, Stdout: &stdout, Stderr: &stderr, Version: "test"})
			}()
			eventually(t, stdout.String, test.lines[0])
			eventually(t, stdout.String, test.lines[1])
			feed.add(aChange(3, "web-1", "added", "null", "3"))
			eventually(t, stdout.String, test.lines[2])
			feed.restart(true)
			feed.restart(false)
			feed.add(aChange(4, "web-1", "added", "null", "4"))
			eventually(t, stdout.String, test.lines[3])
			stop()
			if status := <-ended; status != 0 || stderr.String() != "" {
				t.Errorf("it ended with the status %d and said %q", status, stderr.String())
			}
			for _, line := range test.lines {
				if n := strings.Count(stdout.String(), line); n != 1 {
					t.Errorf("%q came %d times in %s", line, n, stdout.String())
				}
			}
			if test.form == "json" && !json.Valid([]byte(stdout.String())) {
				t.Errorf("the array is not whole: %s", stdout.String())
			}
		})
	}
}

func TestWhoFollowsIsToldThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	feed := &aFeed{more: make(chan struct{})}
	u := serve(t, feed.ServeHTTP)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stdout, stderr safeBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- command.Run(ctx, command.Invocation{Args: []string{"changes", "-f", "-n", "0"}, Environ: u.environ, Stdout: &stdout, Stderr: &stderr, Version: "test"})
	}()
	feed.add(aChange(1, "web-1", "added", "null", "1"))
	eventually(t, stdout.String, "added 1")
	feed.restart(true)
	eventually(t, stderr.String, "Waiting for it to come back")
	feed.restart(false)
	feed.add(aChange(2, "web-1", "added", "null", "2"))
	eventually(t, stdout.String, "added 2")
	stop()
	if status := <-ended; status != 0 || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("it ended with the status %d and said %q", status, stderr.String())
	}
}

func TestFollowingFailsWhereItCannotBegin(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 422, `{"detail":"path: position 3: expected a name","code":"invalid","errors":[{"field":"path","code":"invalid","message":"position 3: expected a name"}]}`)
	})
	u.run(t.Context(), "", "changes", "-f", "-p", "a..b").must(t, 1, "position 3", "A path is names joined by dots")
}
