package client_test

import (
	"iter"
	"net/http"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// drain reads all of a list and returns its error.
func drain[T any](items iter.Seq2[T, error]) error {
	for _, err := range items {
		if err != nil {
			return err
		}
	}
	return nil
}

// pagesOf answers with one page per name, each with a cursor to the next.
func pagesOf(names ...string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		at := 0
		for i, name := range names {
			if r.URL.Query().Get("cursor") == name {
				at = i + 1
			}
		}
		list := wire.List[wire.Host]{Items: []wire.Host{{Name: names[at]}}}
		if at+1 < len(names) {
			list.NextCursor = &names[at]
		}
		sendJSON(w, http.StatusOK, list)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	f := newFake(t, pagesOf("a", "b", "c"))
	var got []string
	for h, err := range f.client(t).Hosts(t.Context(), client.HostQuery{Site: "eu"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name)
	}
	if len(got) != 3 || got[0] != "a" || got[2] != "c" {
		t.Errorf("got %v; want a, b and c", got)
	}
	if seen := f.requests(); len(seen) != 3 || seen[2].line != "GET /api/v1/hosts?cursor=b&site=eu" {
		t.Errorf("asked %v; want three pages of the same query", seen)
	}
}

func TestPagesAreFetchedAsTheyAreRead(t *testing.T) {
	t.Parallel()
	f := newFake(t, pagesOf("a", "b", "c"))
	for h, err := range f.client(t).Hosts(t.Context(), client.HostQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "b" {
			break
		}
	}
	if n := len(f.requests()); n != 2 {
		t.Errorf("fetched %d pages; want 2", n)
	}
}

func TestPagesEndWithTheirError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request, int)
	}{
		{"of a page that is refused", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				problem(w, http.StatusForbidden, "forbidden")
				return
			}
			pagesOf("a", "b", "c")(w, r, n)
		}},
		{"of a server that turns in a circle", func(w http.ResponseWriter, _ *http.Request, _ int) {
			sendJSON(w, http.StatusOK, wire.List[wire.Host]{Items: []wire.Host{{Name: "a"}}, NextCursor: new("x")})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, test.answer)
			items, failed := 0, 0
			for _, err := range f.client(t).Hosts(t.Context(), client.HostQuery{}) {
				if err != nil {
					failed++
				} else {
					items++
				}
			}
			if items == 0 || failed != 1 {
				t.Errorf("got %d hosts and %d errors; want some and one", items, failed)
			}
		})
	}
}
