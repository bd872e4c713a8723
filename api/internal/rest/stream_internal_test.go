package rest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A script is a feed that answers one look after another. When it is over the process stops.
type script struct {
	looks []look
	takes time.Duration // how long a look takes
	asked []string      // after which places
	stop  chan struct{}
}

type look struct {
	page feedPage
	err  error
}

func (s *script) read(_ context.Context, page fleet.Page) (feedPage, error) {
	<-time.After(s.takes)
	if len(s.looks) == 0 {
		return feedPage{}, errors.New("the process stops")
	}
	s.asked = append(s.asked, page.After)
	l := s.looks[0]
	if s.looks = s.looks[1:]; len(s.looks) == 0 {
		close(s.stop)
	}
	return l.page, l.err
}

// page returns a page with the changes of these places.
func page(position string, more bool, places ...string) look {
	p := feedPage{position: position, more: more}
	for _, place := range places {
		p.events = append(p.events, event{id: place, name: "change", data: []byte("{}")})
	}
	return look{page: p}
}

// sentBy streams what the script has, from the place "0" on, and returns the IDs and comments and how long it took.
func sentBy(t *testing.T, s *script, beat time.Duration) (sent string, took time.Duration) {
	t.Helper()
	s.stop = make(chan struct{})
	out := httptest.NewRecorder()
	server := &server{Config: Config{Stopping: s.stop, Timeouts: Timeouts{Poll: time.Minute, Beat: beat, Request: time.Minute}}}
	began := time.Now()
	server.follow(t.Context(), &streamWriter{w: out, rc: http.NewResponseController(out)}, &watchedFeed{at: "0", read: s.read})
	var parts []string
	for line := range strings.Lines(out.Body.String()) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "id":
			parts = append(parts, value)
		case "":
			parts = append(parts, value[:min(len(value), 1)])
		}
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " "), time.Since(began)
}

func TestAStreamGoesOn(t *testing.T) {
	t.Parallel()
	away, gone := errors.New("away"), fleet.Errorf(fleet.Conflict, "another life").WithCode("cursor_outdated")
	for name, tt := range map[string]struct {
		looks []look
		sent  string // s is a sign of life
		asked string
		took  time.Duration
	}{
		"by a look each minute":       {[]look{page("1", false, "1"), page("2", false), page("3", false, "3"), page("4", false)}, "s 0 1 3", "0 1 2 3", 4 * time.Minute},
		"at once where there is more": {[]look{page("1", true, "1"), page("2", true, "2"), page("3", false, "3"), page("4", false)}, "s 0 1 2 3", "0 1 2 3", 2 * time.Minute},
		"after a look that failed":    {[]look{page("1", true, "1"), {err: away}, page("2", false, "2"), page("3", false)}, "s 0 1 2", "0 1 1 2", 3 * time.Minute},
		"to the end of its cluster":   {[]look{page("1", false, "1"), {err: gone}, page("2", false, "2")}, "s 0 1", "0 1", 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{looks: tt.looks}
				sent, took := sentBy(t, s, time.Hour)
				if asked := strings.Join(s.asked, " "); sent != tt.sent || asked != tt.asked || took != tt.took {
					t.Errorf("sent %q after asking %q in %v, want %q, %q and %v", sent, asked, took, tt.sent, tt.asked, tt.took)
				}
			})
		})
	}
}

// TestSignsOfLifeHoldNothingUp has a stream give signs of life all the time while it catches up.
func TestSignsOfLifeHoldNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const beat = 10 * time.Millisecond
		s := &script{takes: beat}
		for i := range 200 {
			s.looks = append(s.looks, page(strconv.Itoa(i+1), true, strconv.Itoa(i+1)))
		}
		if _, took := sentBy(t, s, beat); len(s.asked) != 200 || took > 2*time.Minute {
			t.Errorf("%d looks took %v, want 200 within a minute after the first", len(s.asked), took)
		}
	})
}

func TestAStreamGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range eventMisses + 5 {
			s.looks = append(s.looks, look{err: fleet.Errorf(fleet.Unavailable, "away")})
		}
		if _, took := sentBy(t, s, time.Hour); len(s.asked) != eventMisses || took != eventMisses*time.Minute {
			t.Errorf("gave up after %d looks and %v, want %d", len(s.asked), took, eventMisses)
		}
	})
}
