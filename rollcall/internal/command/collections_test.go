package command_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTasksSayWhetherTheyAreKnownToHaveEndedOnTheirHosts(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, `{"items":[
			{"host":"web-1","state":"cancelled","code":"cancelled","details":{"phase":"run"},"termination":"unconfirmed"},
			{"host":"web-2","state":"cancelled","code":"cancelled","termination":"confirmed"},
			{"host":"web-3","state":"succeeded","details":{},"termination":null}],"next_cursor":null}`)
	})
	const id = "0199a1b2-0000-7000-8000-000000000001"
	r := u.run(t.Context(), "", "collections", "show", id, "--tasks").must(t, 0, "phase=run", "termination=unconfirmed", "termination=confirmed")
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, "web-3") && strings.Contains(line, "termination") {
			t.Errorf("a task that ended by itself: %s", line)
		}
	}
	u.run(t.Context(), "", "collections", "show", id, "--tasks", "-o", "json").must(t, 0, `"termination": "unconfirmed"`, `"termination": null`)
}
