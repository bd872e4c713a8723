package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// aRow returns a line of an answer to a query.
func aRow(n int) string {
	return fmt.Sprintf(`{"host":"web-%d","values":{"kernel.release":"6.%d"},"confirmed_at":"2026-10-01T00:00:00Z","of_a_later_release":1}`, n, n) + "\n"
}

// rows sends lines, each at once.
func rows(w http.ResponseWriter, lines ...string) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, line := range lines {
		_, _ = io.WriteString(w, line)
		_ = http.NewResponseController(w).Flush()
	}
}

// asked reads an answer to a query and returns its hosts and its error.
func asked(ctx context.Context, c *client.Client, q client.FactQuery) (hosts []string, failed error) {
	for row, err := range c.Query(ctx, q) {
		if err != nil {
			return hosts, err
		}
		hosts = append(hosts, row.Host)
	}
	return hosts, nil
}

func TestQuery(t *testing.T) {
	t.Parallel()
	accept := make(chan string, 1)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		accept <- r.Header.Get("Accept")
		rows(w, aRow(1), "\n", aRow(2))
	})
	q := client.FactQuery{
		Type: "os", Select: []string{"kernel.release", `mounts./srv,a.size`}, Selector: "env=prod", AsOf: time.Date(2026, 10, 1, 2, 0, 0, 0, time.FixedZone("", 7200)),
	}
	var got []wire.QueryRow
	for row, err := range f.client(t).Query(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	if len(got) != 2 || got[1].Host != "web-2" || string(got[0].Values["kernel.release"]) != `"6.1"` || string(got[1].Values["kernel.release"]) != `"6.2"` {
		t.Errorf("got %v; want two hosts and their kernels", got)
	}
	want := "GET /api/v1/query?as_of=2026-10-01T00%3A00%3A00Z&select=kernel.release%2Cmounts.%22%2Fsrv%2Ca%22.size&selector=env%3Dprod&type=os"
	if seen := f.requests(); len(seen) != 1 || seen[0].line != want {
		t.Errorf("asked %v; want %s", seen, want)
	}
	if a := <-accept; a != "application/x-ndjson" {
		t.Errorf("it accepts %q", a)
	}
}

func TestRowsComeAsTheyArrive(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		for n := range 100 {
			rows(w, aRow(n))
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	})
	n := 0
	for _, err := range f.client(t).Query(t.Context(), client.FactQuery{Type: "os"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		seen <- struct{}{}
	}
	if n != 100 {
		t.Errorf("got %d rows; want 100", n)
	}
	if seen := f.requests(); seen[0].line != "GET /api/v1/query?type=os" {
		t.Errorf("asked %s", seen[0].line)
	}
}

func TestLeavingARowEndsTheAnswer(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		rows(w, aRow(1))
		<-r.Context().Done()
		close(ended)
	})
	for _, err := range f.client(t).Query(t.Context(), client.FactQuery{Type: "os"}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the server still answers")
	}
}

// bare answers on the connection itself.
func bare(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

const rowsHead = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"

func TestAnAnswerThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	chunk := func(text string) string { return strconv.FormatInt(int64(len(text)), 16) + "\r\n" + text + "\r\n" }
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		hosts  int
		says   string
	}{
		{"between two rows", func(w http.ResponseWriter) { rows(w, aRow(1), aRow(2)); panic(http.ErrAbortHandler) }, 2, "broke off after 2 hosts"},
		{"within a row", func(w http.ResponseWriter) { rows(w, aRow(1), aRow(2)[:9]); panic(http.ErrAbortHandler) }, 1, "broke off after 1 hosts"},
		{"before the newline of a row", func(w http.ResponseWriter) { rows(w, strings.TrimSpace(aRow(1))); panic(http.ErrAbortHandler) }, 0, "broke off after 0 hosts"},
		{"before the first row", func(w http.ResponseWriter) { rows(w, ""); panic(http.ErrAbortHandler) }, 0, "broke off after 0 hosts"},
		{"without the last chunk", func(w http.ResponseWriter) {
			bare(w, rowsHead+"Transfer-Encoding: chunked\r\n\r\n"+chunk(aRow(1)))
		}, 1, "unexpected EOF"},
		{"within a chunk", func(w http.ResponseWriter) {
			bare(w, rowsHead+"Transfer-Encoding: chunked\r\n\r\n"+chunk(aRow(1))[:len(aRow(1))])
		}, 0, "unexpected EOF"},
		{"before its length", func(w http.ResponseWriter) { bare(w, rowsHead+"Content-Length: 1000\r\n\r\n"+aRow(1)) }, 1, "unexpected EOF"},
		{"whole chunks and half a row", func(w http.ResponseWriter) { rows(w, aRow(1), strings.TrimSpace(aRow(2))) }, 1, "unexpected EOF"},
		{"where nothing tells its end", func(w http.ResponseWriter) { bare(w, rowsHead+"Connection: close\r\n\r\n"+aRow(1)) }, 0, "where an answer ends"},
		{"with what is no row", func(w http.ResponseWriter) { rows(w, aRow(1), "oops\n") }, 1, "/api/v1/query after 1 hosts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { test.answer(w) })
			hosts, err := asked(t.Context(), f.client(t), client.FactQuery{Type: "os"})
			if err == nil || !strings.Contains(err.Error(), test.says) || len(hosts) != test.hosts {
				t.Errorf("got %v, %v; want %d hosts and %q", hosts, err, test.hosts, test.says)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("it was sent %d times; want once", n)
			}
		})
	}
}

func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		hosts  int
	}{
		{"without a host", func(w http.ResponseWriter) { rows(w) }, 0},
		{"with a length", func(w http.ResponseWriter) {
			bare(w, fmt.Sprintf("%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", rowsHead, len(aRow(1)), aRow(1)))
		}, 1},
		{"with a row of many megabytes", func(w http.ResponseWriter) {
			rows(w, aRow(1), `{"host":"web-2","values":{"":"`+strings.Repeat("x", 8<<20)+`"}}`+"\n")
		}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) { test.answer(w) })
			if hosts, err := asked(t.Context(), f.client(t), client.FactQuery{Type: "os"}); err != nil || len(hosts) != test.hosts {
				t.Errorf("got %v, %v; want %d hosts", hosts, err, test.hosts)
			}
		})
	}
}

func TestAQueryThatIsRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		problem(w, http.StatusUnprocessableEntity, "unknown_report_type")
	})
	_, err := asked(t.Context(), f.client(t), client.FactQuery{Type: "weather"})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != "unknown_report_type" || e.Path != "/api/v1/query" {
		t.Errorf("got %v; want the server's refusal", err)
	}
	_, err = asked(t.Context(), f.client(t), client.FactQuery{Type: "os", Select: []string{"kernel.release", "a..b"}})
	if err == nil || !strings.Contains(err.Error(), `"a..b"`) || !strings.Contains(err.Error(), "at character 3") {
		t.Errorf("got %v; want what is wrong with the path", err)
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("it was asked %d times; want once: a path that is none is not sent", n)
	}
	other := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		sendJSON(w, http.StatusOK, wire.List[wire.QueryRow]{})
	})
	_, err = asked(t.Context(), other.client(t), client.FactQuery{Type: "os"})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != client.CodeNotRollcall {
		t.Errorf("got %v; want that this is no answer of Rollcall", err)
	}
}

func TestAQueryIsSentAgainBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch {
		case n == 0:
			w.Header().Set("Retry-After", "0")
			problem(w, http.StatusServiceUnavailable, "unavailable")
		case n == 1:
			hangUp(w)
		case r.Header.Get("Authorization") == "Bearer old":
			problem(w, http.StatusUnauthorized, "token_expired")
		default:
			rows(w, aRow(1))
		}
	})
	hosts, err := asked(t.Context(), f.client(t, client.WithTokenSource(&renewing{})), client.FactQuery{Type: "os"})
	if err != nil || len(hosts) != 1 {
		t.Errorf("got %v, %v; want one host", hosts, err)
	}
	if n := len(f.requests()); n != 4 {
		t.Errorf("it was sent %d times; want 4", n)
	}
}

// renewing is a source of the token old until that is refused.
type renewing struct{ refused atomic.Bool }

func (r *renewing) Token(_ context.Context, stale string) (string, error) {
	if stale != "" {
		r.refused.Store(true)
	}
	if r.refused.Load() {
		return "fresh", nil
	}
	return "old", nil
}

func TestASilentServerIsGivenUp(t *testing.T) {
	t.Parallel()
	for hosts, lines := range [][]string{nil, {aRow(1)}} {
		f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if len(lines) > 0 {
				rows(w, lines...)
			}
			<-r.Context().Done()
		})
		got, err := asked(t.Context(), f.client(t, client.WithAnswerSilence(50*time.Millisecond)), client.FactQuery{Type: "os"})
		if _, ok := errors.AsType[*client.TransportError](err); !ok || !strings.Contains(err.Error(), "nothing within 50ms") || len(got) != hosts {
			t.Errorf("got %v, %v; want %d hosts and that nothing came", got, err, hosts)
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("it was sent %d times; want once: what is too hard stays so", n)
		}
	}
}

func TestAnAnswerTakesAsLongAsItLikes(t *testing.T) {
	t.Parallel()
	const silence = 250 * time.Millisecond
	begun := time.Now()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		tick := time.NewTicker(silence / 10)
		defer tick.Stop()
		for time.Since(begun) < 2*silence { // in the last row, too
			rows(w, " ")
			<-tick.C
		}
		rows(w, aRow(1))
	})
	hosts, err := asked(t.Context(), f.client(t, client.WithAnswerSilence(silence), client.WithTimeout(time.Nanosecond)), client.FactQuery{Type: "os"})
	if err != nil || len(hosts) != 1 {
		t.Errorf("got %v, %v; want one host", hosts, err)
	}
}

func TestTheEndOfAContextEndsAQuery(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		rows(w, aRow(1))
		<-r.Context().Done()
	})
	failed := 0
	for row, err := range f.client(t).Query(ctx, client.FactQuery{Type: "os"}) {
		if err == nil {
			cancel()
			continue
		}
		if failed++; !errors.Is(err, context.Canceled) || row.Host != "" {
			t.Errorf("got %v, %v; want that the context has ended", row, err)
		}
	}
	if failed != 1 {
		t.Errorf("got %d errors; want one", failed)
	}
}
