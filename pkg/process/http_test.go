package process_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/process"
)

// serving serves h with bounds until the end of the test and returns its address.
func serving(t *testing.T, h http.Handler, bounds process.Connections, certificates *process.Certificates) (string, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	l, err := process.Bounded(t.Context(), "http", "X_ADDR", "127.0.0.1:0", bounds, process.NewListenerMetrics(registry))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- process.ServeHTTPS(ctx, l, h, certificates, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return l.Addr().String(), registry
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// readAll is what a handler does that needs the whole body.
func readAll(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		w.WriteHeader(http.StatusRequestTimeout)
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	default:
		_, _ = fmt.Fprint(w, n)
	}
}

// TestSlowAndLargeRequestsEnd speaks to a real socket as those do who want to keep it for themselves.
func TestSlowAndLargeRequestsEnd(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/read", readAll)
	mux.HandleFunc("/ignore", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	address, _ := serving(t, mux, process.Connections{}, nil)
	tests := []struct {
		name, sent string
		more       string // sent again and again
		want       string // the beginning of the answer; empty: none before the end
		soon       bool
	}{
		{"a header that does not end", "GET /read HTTP/1.1\r\nHost: x\r\n", "", "", false},
		{"a header that goes on a little at a time", "GET /read HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", "", false},
		{"a header that is too large", "GET /read HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", "", "HTTP/1.1 431 ", true},
		{"too many headers", "GET /read HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 8<<10) + "\r\n", "", "HTTP/1.1 431 ", true},
		{"a body that does not come", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "", "HTTP/1.1 408 ", false},
		{"a body that comes a byte at a time", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", "HTTP/1.1 408 ", false},
		{"a body in pieces that do not end", "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "HTTP/1.1 408 ", false},
		{"a body that nobody reads and that does not come", "POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "", "HTTP/1.1 401 ", false},
		{"a body that comes", "POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "", "HTTP/1.1 200 ", true},
		{"what is no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "", "HTTP/1.1 400 ", true},
		{"two lengths", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "", "HTTP/1.1 400 ", true},
		{"a header that holds another", "GET /read HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n", "", "HTTP/1.1 400 ", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began, c := time.Now(), dial(t, address)
			if _, err := io.WriteString(c, tt.sent); err != nil && !tt.soon {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			if tt.more != "" {
				go func() {
					tick := time.NewTicker(100 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							_, _ = io.WriteString(c, tt.more) // its end is seen by the reader
						case <-ended:
							return
						}
					}
				}()
			}
			_ = c.SetReadDeadline(began.Add(20 * time.Second))
			answer, err := io.ReadAll(c)
			close(ended)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatal("the connection is still open")
			}
			if !strings.HasPrefix(string(answer), tt.want) || tt.want == "" && len(answer) > 0 {
				t.Errorf("the answer is %q, want %q", answer, tt.want)
			}
			if took := time.Since(began); took > 12*time.Second || tt.soon && took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestPatienceIsForThoseWhoNeedIt holds that the bounds on bodies end no stream, no long poll and no slow upload.
func TestPatienceIsForThoseWhoNeedIt(t *testing.T) {
	t.Parallel()
	const ticks = 13 // of half a second: longer than a body may be waited for
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		readAll(w, r)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range ticks {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, ".")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, "end")
	})
	mux.HandleFunc("/read", readAll)
	certificates, roots, _ := certified(t)
	plain, _ := serving(t, mux, process.Connections{}, nil)
	secure, _ := serving(t, mux, process.Connections{}, certificates)
	secured := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "rollcall.test"}, ForceAttemptHTTP2: true}}
	for base, client := range map[string]*http.Client{"http://" + plain: {Transport: &http.Transport{}}, "https://" + secure: secured} {
		t.Run("a stream after a body at "+base[:5], func(t *testing.T) {
			t.Parallel()
			defer client.CloseIdleConnections()
			res, err := client.Post(base+"/stream", "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			got, err := io.ReadAll(res.Body)
			if want := "3" + strings.Repeat(".", ticks) + "end"; err != nil || string(got) != want {
				t.Errorf("the answer over %s is %q, %v", res.Proto, got, err)
			}
		})
		t.Run("a slow upload at "+base[:5], func(t *testing.T) {
			t.Parallel()
			r, w := io.Pipe()
			go func() {
				tick := time.NewTicker(500 * time.Millisecond)
				defer tick.Stop()
				for range ticks {
					<-tick.C
					_, _ = w.Write(make([]byte, 16<<10))
				}
				_ = w.Close()
			}()
			res, err := client.Post(base+"/read", "text/plain", r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != strconv.Itoa(ticks*16<<10) {
				t.Errorf("the answer over %s is %q, %v", res.Proto, got, err)
			}
		})
	}
}

func TestTooManyConnectionsAreClosedAndCounted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		bounds process.Connections
		bound  string // of the metric; empty: none is refused
	}{
		{"in all", process.Connections{Max: 3}, "all"},
		{"from one address", process.Connections{Max: 100, PerAddress: 3}, "address"},
		{"from a trusted proxy", process.Connections{Max: 100, PerAddress: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, ""},
		{"without bounds", process.Connections{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address, registry := serving(t, http.HandlerFunc(readAll), tt.bounds, nil)
			ask := func(c net.Conn) error {
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					return err
				}
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					return err
				}
				return res.Body.Close()
			}
			for i := range 3 {
				if err := ask(dial(t, address)); err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
			}
			fourth := dial(t, address)
			if err := ask(fourth); (err != nil) != (tt.bound != "") {
				t.Errorf("the fourth connection: %v", err)
			}
			if tt.bound == "" {
				return
			}
			if got := gauge(t, registry, "rollcall_listener_connections"); got != 3 {
				t.Errorf("%v connections are open by the metric, want 3", got)
			}
			if got := refused(t, registry, tt.bound); got != 1 {
				t.Errorf("%v connections were counted as refused, want 1", got)
			}
		})
	}
}

// refused returns how many connections the metric says were refused for that bound.
func refused(t *testing.T, registry *prometheus.Registry, bound string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "rollcall_listener_refused_connections_total" && l.GetName() == "bound" && l.GetValue() == bound {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

func TestAClosedConnectionMakesPlace(t *testing.T) {
	t.Parallel()
	address, _ := serving(t, http.HandlerFunc(readAll), process.Connections{Max: 1}, nil)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 5 {
		await.Until(t, "a place", func() bool {
			res, err := client.Get("http://" + address)
			if err != nil {
				return false // the one before is still being closed
			}
			return res.Body.Close() == nil
		})
	}
}
