package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// a ledger keeps what was written, and refuses while it is down.
type ledger struct {
	mu      sync.Mutex
	down    bool
	entries []session.DeniedEntry
}

func (l *ledger) write(_ context.Context, entries []session.DeniedEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errors.New("down")
	}
	l.entries = append(l.entries, entries...)
	return nil
}

func (l *ledger) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, e := range l.entries {
		lines = append(lines, fmt.Sprint(e.Actor, " ", e.Actor.Address, " ", e.Entry.ResourceID, " ", e.Entry.Details["code"], " ", e.Entry.Details["count"]))
	}
	return lines
}

func wantLines(t *testing.T, l *ledger, want ...string) {
	t.Helper()
	if got := l.lines(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("entries %q, want %q", got, want)
	}
}

var (
	errForbidden = fleet.Errorf(fleet.Forbidden, "no")
	errToken     = fleet.Errorf(fleet.Unauthenticated, "no").WithCode("token_invalid")
)

func TestTenThousandRefusalsAreOneEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, l := session.NewDenials(nil), &ledger{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = d.Run(ctx, l.write, slog.New(slog.DiscardHandler)) }()
		for i := range 10_000 {
			d.Note(fleet.Actor{Address: fmt.Sprintf("2001:db8::%x", i)}, "GET /x", errToken)
		}
		synctest.Wait()
		wantLines(t, l)
		time.Sleep(time.Minute + 6*time.Second) // the test's own time
		synctest.Wait()
		wantLines(t, l, "anonymous 2001:db8::/64 GET /x token_invalid 10000")
		e := l.entries[0].Entry
		if !e.Denied || e.Action != "access.denied" || e.ResourceType != "route" || e.Details["first"] != "2000-01-01T00:00:00Z" {
			t.Errorf("entry %+v", e)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(l.lines()); n != 1 {
			t.Errorf("%d entries later", n)
		}
	})
}

func TestRefusalsAreToldApartWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d, l := session.NewDenials(func() time.Time { return now }), &ledger{}
	ann := fleet.Actor{Kind: fleet.ActorUser, Name: "ann", ID: fleet.NewID(), Address: "192.0.2.1"}
	d.Note(ann, "GET /x", errForbidden)
	now = now.Add(time.Second)
	d.Note(ann, "GET /x", errForbidden)
	now = now.Add(time.Second)
	d.Note(ann, "GET /x", fleet.Errorf(fleet.Exhausted, "slow down"))
	now = now.Add(time.Second)
	d.Note(ann, "GET /y", errForbidden)
	now = now.Add(time.Second)
	d.Note(fleet.Actor{Address: "no address"}, "GET /x", errToken)
	for _, err := range []error{
		fleet.Errorf(fleet.Unauthenticated, "nothing shown"), fleet.Errorf(fleet.NotFound, "no"), errors.New("broken"), nil,
		fleet.Errorf(fleet.Unauthenticated, "wrong").WithCode(account.CodeInvalidCredentials),
	} {
		d.Note(ann, "GET /z", err)
	}
	l.down = true
	if err := d.Flush(t.Context(), l.write); err == nil {
		t.Error("a log that is down is no error")
	}
	l.down, now = false, now.Add(10*time.Second)
	d.Note(ann, "GET /x", errForbidden)
	if err := d.Flush(t.Context(), l.write); err != nil {
		t.Error(err)
	}
	wantLines(t, l, "user:ann 192.0.2.1 GET /x forbidden 3", "user:ann 192.0.2.1 GET /x "+fleet.Exhausted.DefaultCode()+" 1",
		"user:ann 192.0.2.1 GET /y forbidden 1", "anonymous  GET /x token_invalid 1")
	if first, last := l.entries[0].Entry.Details["first"], l.entries[0].Entry.Details["last"]; first != "2026-01-02T03:04:05Z" || last != "2026-01-02T03:04:19Z" {
		t.Errorf("from %v to %v", first, last)
	}

	l.entries = nil
	for i := range 5000 { // for five minutes nobody writes it down
		now = now.Add(60 * time.Millisecond)
		d.Note(ann, fmt.Sprint("GET /", i), errForbidden)
	}
	l.down = true
	_ = d.Flush(t.Context(), l.write)
	d.Note(ann, "GET /one-more", errForbidden)
	l.down = false
	if err := d.Flush(t.Context(), l.write); err != nil {
		t.Error(err)
	}
	total := int64(0)
	for _, e := range l.entries {
		count, _ := e.Entry.Details["count"].(int64)
		total += count
	}
	if len(l.entries) > 1001 || total != 5001 {
		t.Errorf("%d entries about %d refusals, want at most 1001 about 5001", len(l.entries), total)
	}
}

func TestTheGuardCountsWhatIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.denied = session.NewDenials(nil)
	b.limit(t, nil)
	bearer := "Authorization: Bearer " + b.login(t).Access
	b.ask(t, "", request("GET", "/"))
	b.ask(t, fleet.Admin, request("GET", "/"))
	b.ask(t, fleet.Viewer, request("GET", "/", bearer))
	for range 3 {
		b.ask(t, fleet.Admin, request("GET", "/", bearer))
	}
	b.ask(t, fleet.Viewer, request("BREW", "/made-up", bearer+"x"))
	l := &ledger{}
	if err := b.denied.Flush(t.Context(), l.write); err != nil {
		t.Fatal(err)
	}
	wantLines(t, l, "user:ann 192.0.2.1 GET /* forbidden 3", "anonymous 192.0.2.1 OTHER /* token_invalid 1")
	if id := l.entries[0].Actor.UserID; id == nil || *id != b.viewer.ID {
		t.Errorf("user %v", id)
	}
}

func TestAPageThatRefusesIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.denied = session.NewDenials(nil)
	b.limit(t, nil)
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	b.guard.Middleware(page).ServeHTTP(&discard{}, request("POST", "/users", b.cookie(t)))
	l := &ledger{}
	if err := b.denied.Flush(t.Context(), l.write); err != nil {
		t.Fatal(err)
	}
	wantLines(t, l, "user:ann 192.0.2.1 POST /* forbidden 1")
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}
func (*discard) Write(p []byte) (int, error) { return len(p), nil }
func (*discard) WriteHeader(int)             {}
