package simulate_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/simulate"
)

func TestCountsAreThoseOfTheHosts(t *testing.T) {
	t.Parallel()
	simulated := start(t, simulate.Options{Hosts: 3})
	for range 2 {
		collect(t, simulated, simulated.Hosts()[1])
	}
	answer := httptest.NewRecorder()
	simulated.Counts().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	var counts []simulate.Count
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		var c simulate.Count
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("reading %s: %v", lines.Text(), err)
		}
		counts = append(counts, c)
	}
	hosts := simulated.Hosts()
	if len(counts) != len(hosts) {
		t.Fatalf("%d counts for %d hosts", len(counts), len(hosts))
	}
	for i, c := range counts {
		if want := (simulate.Count{Name: hosts[i].Name, Connections: hosts[i].Connections, Executions: hosts[i].Executions}); c != want {
			t.Errorf("host %d counts %+v, want %+v", i, c, want)
		}
	}
	if counts[1].Executions != 2 || counts[0].Executions != 0 {
		t.Errorf("counts are %+v, want two executions of the second host alone", counts)
	}
}

func TestCountsCannotBeWritten(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	start(t, simulate.Options{Hosts: 1}).Counts().ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", answer.Code)
	}
}
