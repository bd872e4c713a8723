package client_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// A feed is changes that are numbered by their paths. The place after the first n of them is "at-n".
type feed struct {
	mu    sync.Mutex
	total int
	more  chan struct{} // closed when it grows
}

func newFeed(total int) *feed { return &feed{total: total, more: make(chan struct{})} }

func (f *feed) grow(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total += n
	close(f.more)
	f.more = make(chan struct{})
}

func (f *feed) size() (int, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total, f.more
}

// place returns how many changes lie before where a request begins to read.
func (f *feed) place(r *http.Request) int {
	switch at := r.URL.Query().Get("cursor"); at {
	case "":
		return 0
	case client.Now:
		total, _ := f.size()
		return total
	default:
		n, err := strconv.Atoi(strings.TrimPrefix(at, "at-"))
		if err != nil {
			return 1 << 20 // which no test expects
		}
		return n
	}
}

func numbered(n int) wire.Change { return wire.Change{Path: strconv.Itoa(n), Kind: "added"} }

// page answers with at most most changes.
func (f *feed) page(w http.ResponseWriter, r *http.Request, most int) {
	from := f.place(r)
	total, _ := f.size()
	list := wire.ChangeList{Items: []wire.Change{}}
	for n := from; n < min(total, from+most); n++ {
		list.Items = append(list.Items, numbered(n))
	}
	list.Position = fmt.Sprintf("at-%d", from+len(list.Items))
	if len(list.Items) > 0 {
		list.NextCursor = &list.Position
	}
	sendJSON(w, http.StatusOK, list)
}

// counting returns the numbers of the changes from one to another.
func counting(from, to int) []string {
	var numbers []string
	for n := from; n < to; n++ {
		numbers = append(numbers, strconv.Itoa(n))
	}
	return numbers
}

func TestChangesAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	changes := newFeed(7)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) { changes.page(w, r, 3) })
	c, at := f.client(t), ""
	read := func() (got []string) {
		for change, err := range c.Changes(t.Context(), client.ChangeQuery{Type: "os"}, &at) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, change.Path)
		}
		return got
	}
	if got := read(); !slices.Equal(got, counting(0, 7)) || at != "at-7" {
		t.Errorf("got %v, and reading goes on at %q; want 0 to 6, and at-7", got, at)
	}
	if got := read(); len(got) > 0 || at != "at-7" {
		t.Errorf("got %v at %q of a feed that is read", got, at)
	}
	changes.grow(2)
	if got := read(); !slices.Equal(got, counting(7, 9)) {
		t.Errorf("got %v; want what was new", got)
	}
	if seen := f.requests(); seen[0].line != "GET /api/v1/changes?type=os" || seen[1].line != "GET /api/v1/changes?cursor=at-3&type=os" {
		t.Errorf("asked %v", seen)
	}
}

func TestWhoLeavesChangesGoesOnWithoutAGap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		take int
		want string
	}{
		{"in the midst of a page it is read again", 2, ""},
		{"with the last of a page it is behind", 3, "at-3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changes := newFeed(7)
			f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) { changes.page(w, r, 3) })
			at, n := "", 0
			for _, err := range f.client(t).Changes(t.Context(), client.ChangeQuery{}, &at) {
				if n++; err != nil || n == test.take {
					break
				}
			}
			if n != test.take || at != test.want {
				t.Errorf("after %d changes it goes on at %q; want %q", n, at, test.want)
			}
		})
	}
}

func TestChangesEndWithTheirError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
	}{
		{"of a page that is refused", func(w http.ResponseWriter) { problem(w, http.StatusConflict, "cursor_outdated") }},
		{"of a page that does not say where it ends", func(w http.ResponseWriter) { sendJSON(w, http.StatusOK, wire.ChangeList{}) }},
		{"of a server that turns in a circle", func(w http.ResponseWriter) {
			sendJSON(w, http.StatusOK, wire.ChangeList{Items: []wire.Change{{}}, Position: "at-0"})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { test.answer(w) })
			at := "at-0"
			if err := drain(f.client(t).Changes(t.Context(), client.ChangeQuery{}, &at)); err == nil || at != "at-0" {
				t.Errorf("got %v, at %q; want an error, and to go on where it was", err, at)
			}
			if _, err := follow(t, f.client(t), client.ChangeQuery{}, &at, 1, nil); err == nil {
				t.Error("followed without an error")
			}
		})
	}
}
