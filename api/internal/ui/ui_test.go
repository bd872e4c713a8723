package ui_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	osFacts   = `{"id":"debian","kernel":{"release":"6.1"},"id_like":[],"hw":null,"evil":"<script>alert(1)</script>"}`
	osMetrics = `{"uptime_seconds":12.5,"up":true}`
)

func TestEveryPageInEveryState(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.see("/", http.StatusOK, "No hosts yet", "rollcall up --simulate")
	s.see("/hosts", http.StatusOK, "No hosts yet")
	s.see("/changes", http.StatusOK, "Nothing changed in the last 7 days")
	s.see("/changes?group=false", http.StatusOK, "Nothing has changed yet")

	good, bad := s.host("web-1", "env", "<prod>"), s.host("web-2")
	report := finding("os", osFacts, osMetrics)
	report.Unavailable = map[string]string{"hw": "no_permission"}
	ended := s.collect(good, time.Now(), nil, report)
	failed := s.collect(bad, time.Now(), fleet.Fail(fleet.CodeTCPRefused, nil))
	waiting := s.open(good)

	s.see("/", http.StatusOK, "2</b> hosts", "What changed in the last 7 days", "Nothing changed.", "0 of 1 host", "tcp_refused", fleet.CodeTCPRefused.Info().Remedy)
	s.see("/hosts", http.StatusOK, "web-1", "web-2", ">fresh<", "tcp_refused", "2 hosts", "none yet", "env=&lt;prod&gt;")
	s.see("/hosts?status=fresh", http.StatusOK, "web-1", `<option value="fresh" selected>`)
	s.see("/hosts?status=stale", http.StatusOK, "No host is stale")
	s.see("/hosts?status=failing&code=auth_failed", http.StatusOK, `name="code" value="auth_failed"`)
	s.see("/system", http.StatusOK, "<h2>Sites</h2>", "default", "<h2>Workers</h2>", "<h2>Queues</h2>", "<h2>Storage</h2>", "report_rows", "3 months ahead", "<h2>Housekeeping</h2>", "partitions")
	s.see("/hosts?selector=name%3Dweb-1", http.StatusOK, "1 host")
	s.see("/hosts?selector=env%3D", http.StatusUnprocessableEntity, "position 5")
	s.see("/hosts?selector=role%3Ddb", http.StatusOK, "No host matches")
	s.see("/hosts?cursor=%21", http.StatusUnprocessableEntity, "cursor")

	for _, path := range []string{"/hosts?selector=%00", "/changes?type=%00", "/changes?host=a%00", "/?x=%ff", "/changes?path=%zz", "/hosts/" + good.ID.String() + "?type=%00"} {
		s.see(path, http.StatusUnprocessableEntity, "not readable")
	}
	page := "/hosts/" + good.ID.String()
	s.see(page, http.StatusOK, "Collect now", "Nothing has changed since the first report", "?type=os")
	s.see(page+"?type=os", http.StatusOK, "debian", "uptime_seconds", "&lt;script&gt;", "may not read it", "ssh.become")
	s.see(page+"?type=disks", http.StatusOK, "no report of the type <code>disks</code> yet")
	s.see("/hosts/"+bad.ID.String(), http.StatusOK, "No reports yet", fleet.CodeTCPRefused.Info().Remedy)
	s.see("/hosts/"+fleet.NewID().String(), http.StatusNotFound, "Not here")
	s.see("/hosts/nonsense", http.StatusNotFound, "Not here")
	s.see("/collections/"+ended.ID.String(), http.StatusOK, "succeeded", "web-1")
	s.see("/collections/"+failed.ID.String(), http.StatusOK, "tcp_refused", "What to do", fleet.CodeTCPRefused.Info().Meaning)
	s.see("/collections/"+waiting.ID.String(), http.StatusOK, "pending", `http-equiv="refresh"`)

	id := s.reportOf(good, "os")
	s.see("/reports/"+id, http.StatusOK, "os of web-1", "no_permission", "/api/v1/reports/", "uptime_seconds")
	s.see("/reports/"+id+"/diff", http.StatusOK, "one and the same report")
	s.see("/reports/"+id+"/diff?to=x", http.StatusUnprocessableEntity)
	s.see("/reports/"+fleet.NewID().String(), http.StatusNotFound)
	s.see("/reports/"+fleet.NewID().String()+"/diff", http.StatusNotFound)
	s.see(page+"/history?type=os&path=kernel.release", http.StatusOK, "6.1", "now")
	s.see(page+"/history?type=disks&path=x", http.StatusOK, "No report of the type <code>disks</code>")
	s.see(page+"/history", http.StatusUnprocessableEntity, "Name a type")
	s.see(page+"/history?type=os&path=a..b", http.StatusUnprocessableEntity, "character")
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	for path, word := range map[string]string{"/static/app.css": "prefers-color-scheme", "/static/app.js": "textContent", "/static/icon.svg": "<svg"} {
		if code, body, _ := s.get(path); code != http.StatusOK || !strings.Contains(body, word) {
			t.Errorf("GET %s = %d without %q", path, code, word)
		}
	}
	// What comes over the feed is made by hosts: it must never become markup.
	if _, body, _ := s.get("/static/app.js"); strings.Contains(body, "innerHTML") || strings.Contains(body, "insertAdjacentHTML") || strings.Contains(body, "eval(") {
		t.Error("the script makes markup out of data")
	}
}

func TestTheListOfHostsHasMoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	if code, _, header := s.get("/?selector=env%3Dprod"); code != http.StatusMovedPermanently || header.Get("Location") != "/hosts?selector=env%3Dprod" {
		t.Errorf("the old address = %d to %s", code, header.Get("Location"))
	}
}

func TestCollectFromThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	code, _, header := s.post("/hosts/"+h.ID.String()+"/collect", nil)
	if code != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/collections/") {
		t.Fatalf("collect = %d to %s", code, header.Get("Location"))
	}
	s.see(header.Get("Location"), http.StatusOK, "pending")
	s.actor.Role = fleet.Viewer
	if code, body, _ := s.post("/hosts/"+h.ID.String()+"/collect", nil); code != http.StatusForbidden || !strings.Contains(body, "operator") {
		t.Errorf("a viewer's collect = %d", code)
	}
	s.lacks(s.see("/hosts/"+h.ID.String(), http.StatusOK), "Collect now")
}
