package rest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Ten thousand guesses at one account from one address, eight at a time, end locked and audited.
func TestABruteForceOfSignInsEndsLocked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	login := func(address, text string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/auth/login", strings.NewReader(`{"username":"admin","password":"`+text+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = address + ":1234"
		w := httptest.NewRecorder()
		b.Config.Handler.ServeHTTP(w, r)
		return w
	}
	var looked, refused atomic.Int64
	guess := func(i int64) (wait int) {
		switch w := login("198.51.100.7", fmt.Sprintf("guess number %d", i)); w.Code {
		case http.StatusUnauthorized:
			looked.Add(1)
		case http.StatusTooManyRequests:
			refused.Add(1)
			var err error
			if wait, err = strconv.Atoi(w.Header().Get("Retry-After")); err != nil || wait < 1 || w.Header().Get("RateLimit-Remaining") != "0" {
				t.Errorf("refused with the headers %v", w.Header())
			}
		default:
			t.Errorf("guess %d: %d %s", i, w.Code, w.Body)
		}
		return wait
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1); i <= 10_000; i = next.Add(1) {
				guess(i)
			}
		})
	}
	wg.Wait()
	made := int64(10_000)
	for wait := 0; wait < 2 && !t.Failed(); made++ { // or else the wait may end before the next line
		wait = guess(made)
	}
	if looked.Load() < 6 || looked.Load() > 20 || looked.Load()+refused.Load() != made {
		t.Errorf("%d passwords were looked at and %d attempts refused", looked.Load(), refused.Load())
	}
	if w := login("198.51.100.7", password); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), `"code":"rate_limited"`) {
		t.Errorf("the right password while it is locked: %d %s", w.Code, w.Body)
	}
	if w := login("192.0.2.1", password); w.Code != http.StatusOK {
		t.Errorf("the right password from elsewhere: %d %s", w.Code, w.Body)
	}
	got := b.sql(t, `select string_agg(action || ' ' || n, ', ' order by action) from (select action, count(*) as n from audit_logs
		where host(ip_address) = '198.51.100.7' and outcome = 'denied' and actor = 'user:admin' group by action) counted`)
	if want := fmt.Sprintf("auth.lockout %d, auth.login %d", looked.Load()-5, looked.Load()); got != want {
		t.Errorf("audited %s, want %s", got, want)
	}
}
