package simulate

import (
	"bufio"
	"encoding/json"
	"net/http"
)

// A Count is what a host has counted up to now, as Counts serves it.
type Count struct {
	Name        string `json:"name"`
	Connections int64  `json:"connections"` // as in Host
	Executions  int64  `json:"executions"`  // as in Host
}

// Counts serves what the hosts have counted, as NDJSON with a Count for each host in the order of their numbers, so that
// somebody else's account of what was executed can be held against the hosts' own. It answers GET and HEAD alone.
func (f *Fleet) Counts() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		buffered := bufio.NewWriter(w)
		lines := json.NewEncoder(buffered)
		for _, h := range f.hosts {
			if lines.Encode(Count{Name: h.name, Connections: h.connections.Load(), Executions: h.executions.Load()}) != nil {
				return // the caller has gone
			}
		}
		_ = buffered.Flush() // as above
	})
}
