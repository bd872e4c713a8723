package ui_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestTravellingThroughAHostsPast(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	h := s.host("web-1")
	now := time.Now().UTC().Truncate(time.Millisecond)
	times := []time.Time{now.Add(-50 * time.Hour), now.Add(-49 * time.Hour), now.Add(-10 * time.Minute)}
	for i, release := range []string{"6.1.0-27", "6.1.0-28", "6.1.0-29"} {
		s.collect(h, times[i], nil, kernel(release))
	}
	page := "/hosts/" + h.ID.String()
	at := func(t time.Time) string {
		return page + "?" + url.Values{"type": {"os"}, "as_of": {t.Format(time.RFC3339Nano)}}.Encode()
	}
	present := s.see(page+"?type=os", http.StatusOK, "6.1.0-29", "before the change of", "As it was at (UTC)")
	s.lacks(present, "This is the past", "6.1.0-28")

	s.see(at(times[0].Add(-time.Second)), http.StatusOK, "This is the past", "no report of the type <code>os</code> at that time", "no earlier change", "to the change of")
	first := s.see(at(times[0]), http.StatusOK, "This is the past", "6.1.0-27", "Back to now", "no earlier change")
	s.lacks(first, "6.1.0-28")
	s.see(at(times[1].Add(time.Hour)), http.StatusOK, "6.1.0-28", "before the change of", "to the change of")
	gap := s.see(at(times[1].Add(40*time.Hour)), http.StatusOK, "6.1.0-28", "A gap:", "in the 40 h between")
	s.lacks(gap, "6.1.0-29")
	s.lacks(present, "A gap:")
	// A form sends the time without a zone, which is UTC.
	s.see(page+"?type=os&as_of="+url.QueryEscape(times[1].Add(time.Minute).Format("2006-01-02T15:04:05")), http.StatusOK, "6.1.0-28")
	s.see(page+"?type=os&as_of=yesterday", http.StatusUnprocessableEntity, "as_of")
	s.lacks(s.see(page+"?type=os&as_of=2100-01-01T00:00:00Z", http.StatusOK, "6.1.0-29"), "This is the past")

	// From now, one change after the other leads to the beginning, and back again to the end.
	walk := func(path, rel string) (releases []string) {
		link := regexp.MustCompile(`<a href="([^"]+)" rel="` + rel + `">`)
		release := regexp.MustCompile(`<span class="v string">(6\.1\.0-\d+)</span>`)
		for range 10 {
			body := s.see(path, http.StatusOK)
			for _, found := range release.FindAllStringSubmatch(body, -1) {
				releases = append(releases, found[1])
			}
			next := link.FindStringSubmatch(body)
			if next == nil {
				return releases
			}
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
		return releases
	}
	if got := fmt.Sprint(walk(page+"?type=os", "prev")); got != "[6.1.0-29 6.1.0-28 6.1.0-27]" {
		t.Errorf("back: %s", got)
	}
	if got := fmt.Sprint(walk(at(times[0]), "next")); got != "[6.1.0-27 6.1.0-28 6.1.0-29]" {
		t.Errorf("forward: %s", got)
	}
	s.see(page, http.StatusOK, "What changed", "6.1.0-27", "6.1.0-28", "6.1.0-29", "the one before held")
	s.lacks(s.see(strings.Replace(at(times[1]), "type=os", "", 1), http.StatusOK, "6.1.0-27", "6.1.0-28"), "6.1.0-29")
}

func TestHistoryOfAPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	now := time.Now()
	s.collect(h, now.Add(-3*time.Minute), nil, kernel("6.1.0-27"))
	s.collect(h, now.Add(-2*time.Minute), nil, kernel("6.1.0-28"))
	s.collect(h, now.Add(-time.Minute), nil, kernel("6.1.0-27"))
	body := s.see("/hosts/"+h.ID.String()+"/history?type=os&path=kernel.release", http.StatusOK, "6.1.0-28", "now", "Last seen to hold", "as_of=")
	if strings.Count(body, "6.1.0-27") != 2 || strings.Index(body, "6.1.0-28") < strings.Index(body, "6.1.0-27") {
		t.Error("the history is not that of three periods, newest first")
	}
	id := s.reportOf(h, "os")
	s.see("/reports/"+id, http.StatusOK, "Compare with the newest")
	link := regexp.MustCompile(`href="(/reports/[^"]+/diff\?to=[^"]+)"`).FindStringSubmatch(s.see("/changes?group=false", http.StatusOK))
	if link == nil {
		t.Fatal("a change has no link to the difference of its reports")
	}
	s.see(link[1], http.StatusOK, "1 difference", "kernel.release", "6.1.0-28", "6.1.0-27", "The other way round")
}

func TestWhatIsNoChangeIsSaidToBeNone(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	now := time.Now()
	s.collect(h, now.Add(-time.Minute), nil, finding("os", `{"a":1,"b":"x"}`, ""))
	before := s.reportOf(h, "os")
	partial := finding("os", `{"a":2,"b":null}`, "")
	partial.Status, partial.Unavailable = fleet.ReportPartial, map[string]string{"b": "timed_out"}
	s.collect(h, now, nil, partial)
	s.see("/reports/"+before+"/diff", http.StatusOK, "1 difference<", "Not changes of the host", "one of the two reports could not tell")
	s.see("/hosts/"+h.ID.String()+"?type=os", http.StatusOK, "This report is partial", "did not answer in time", "timed_out", "longer deadline")
}

func TestAHostThatNobodyCollectedLatelyHasAGap(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	h := s.host("web-1")
	s.collect(h, time.Now().Add(-40*time.Hour), nil, kernel("6.1"))
	s.see("/hosts/"+h.ID.String()+"?type=os", http.StatusOK, "A gap:", "nothing was collected for 40 h", "6.1")
	s.collect(h, time.Now(), nil, kernel("6.1")) // the facts held before and after
	s.lacks(s.see("/hosts/"+h.ID.String()+"?type=os", http.StatusOK, "6.1"), "A gap:")
	history := s.see("/hosts/"+h.ID.String()+"/history?type=os&path=kernel.release", http.StatusOK, "6.1")
	s.lacks(history, "nobody looked")
}

func TestFactsAreReadable(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	disks := finding("disks", `{"filesystems":{"/":{"mountpoint":"/","device":"/dev/vda","size":270553174016,"uuid":null,"options":["rw"]},
		"/srv/<script>":{"mountpoint":"/srv/<script>","device":"/dev/vdb","size":1048576,"uuid":null,"options":[]}},
		"lvm":{"lvs":{},"vgs":{}},"md":{},"serial":null,"why":null}`,
		`{"filesystems":{"/":{"used":135276587008,"size":270553174016,"inodes_used":7}}}`)
	disks.Unavailable = map[string]string{"serial": "no_permission"}
	s.collect(h, time.Now(), nil, disks)
	body := s.see("/hosts/"+h.ID.String()+"?type=disks", http.StatusOK,
		`<th scope="col">mountpoint</th>`, `<th scope="col">device</th>`, "252 GiB", "1 MiB", "50 % of 252 GiB", "<meter",
		"/srv/&lt;script&gt;", "Nothing known in any: uuid", "2 entries", "may not read it", "no value",
		"/history?path=filesystems.%22%2Fsrv%2F%3Cscript%3E%22", `<time datetime="`)
	s.lacks(body, `<th scope="col">uuid</th>`, "<script>alert")
}

// TestALargeReportStaysAPage is about a host with 5,000 filesystems.
func TestALargeReportStaysAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	facts, metrics := manyFilesystems(5000)
	s.collect(h, time.Now(), nil, finding("disks", facts, metrics))
	page := "/hosts/" + h.ID.String() + "?type=disks"
	began := time.Now()
	body := s.see(page, http.StatusOK, "100 of 5000 entries", "All 5000 entries", "/reports/disks", "search in this report")
	t.Logf("%d bytes in %s", len(body), time.Since(began))
	if len(body) > 200_000 {
		t.Errorf("the page has %d bytes", len(body))
	}
	alone := s.see(page+"&table=filesystems", http.StatusOK, "/mnt/v199", "The next entries", "Show the whole report")
	s.lacks(alone, "/mnt/v200<")
	next := regexp.MustCompile(`<a href="([^"]+)">The next entries`).FindStringSubmatch(alone)
	if next == nil {
		t.Fatal("no link to the next entries")
	}
	s.lacks(s.see(strings.ReplaceAll(next[1], "&amp;", "&"), http.StatusOK, "/mnt/v200<", "/mnt/v399<"), "/mnt/v199<", "/mnt/v400<")
	s.lacks(s.see(page+"&q=by-id/4711%22", http.StatusOK, "/mnt/v4711<", "1 entry"), "/mnt/v4712<")
	s.see(page+"&q=nothing-of-the-kind", http.StatusOK, "Nothing here")
	if report := s.see("/reports/"+s.reportOf(h, "disks"), http.StatusOK, "100 of 5000 entries"); len(report) > 200_000 {
		t.Errorf("the report's page has %d bytes", len(report))
	}
}

func TestMetricsAreCharts(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	now := time.Now()
	for i := range 6 {
		s.collect(h, now.Add(time.Duration(i-6)*time.Hour), nil, finding("memory", `{"total":25276510208}`,
			fmt.Sprintf(`{"available":%d,"swap":{"used":0},"rx_bytes":%d,"note":"<script>"}`, int64(i+1)<<30, i*3_600_000)))
	}
	page := "/hosts/" + h.ID.String() + "?type=memory"
	body := s.see(page, http.StatusOK, "<svg", `role="img"`, "available: lowest 1 GiB, highest 6 GiB, last 6 GiB", "GiB</text>", "swap.used", "note")
	if charts := strings.Count(body, "<figure"); charts != 3 {
		t.Errorf("%d charts, want 3", charts)
	}
	alone := s.see(page+"&metric=available&range=24h", http.StatusOK, " UTC: ", "<polyline", "alone")
	if n := strings.Count(alone, "<figure"); n != 1 {
		t.Errorf("%d charts of one metric", n)
	}
	s.see(page+"&metric=rx_bytes", http.StatusOK, "1000 B/s")
	s.see(page+"&range=30d", http.StatusOK, "<svg")
	s.see(page+"&metric=a..b", http.StatusOK, "character")
	s.see(page+"&metric=nothing", http.StatusOK, "No values in this time")
	past := page + "&as_of=" + url.QueryEscape(now.Add(-24*time.Hour*20).Format(time.RFC3339))
	s.lacks(s.see(past, http.StatusOK), "<svg")
}

// TestWhatAHostMakesUpIsBounded is about names and values of a size that only malice or a bug makes.
func TestWhatAHostMakesUpIsBounded(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	h := s.host("web-1")
	document := func(fill string) string {
		var entries []string
		for i := range 100 {
			entries = append(entries, fmt.Sprintf(`"%s%d":{"a":"%s","b":{"c":{"d":"%s"}},"e":1}`, strings.Repeat("n", 1000), i, strings.Repeat(fill, 1500), strings.Repeat(fill, 1500)))
		}
		return `{"list":{` + strings.Join(entries, ",") + `},"long":"` + strings.Repeat(fill, 20_000) + `","wide":{"x":{` + wide(900) + `},"y":{` + wide(900) + `}}}`
	}
	now := time.Now()
	s.collect(h, now.Add(-time.Minute), nil, finding("os", document("<"), ""))
	s.collect(h, now, nil, finding("os", document(">"), ""))
	page := "/hosts/" + h.ID.String()
	report := "/reports/" + s.reportOf(h, "os")
	link := regexp.MustCompile(`href="(/reports/[^"]+/diff\?to=[^"]+)"`).FindStringSubmatch(s.see("/changes?group=false", http.StatusOK))
	if link == nil {
		t.Fatal("no difference to look at")
	}
	for _, path := range []string{"/", "/changes", "/changes?group=false", page, page + "?type=os", page + "?type=os&table=list", report, link[1]} {
		body := s.see(path, http.StatusOK)
		t.Logf("%d bytes: %s", len(body), path)
		if len(body) > 600_000 { // where &lt; is four bytes
			t.Errorf("GET %s has %d bytes", path, len(body))
		}
	}
}

func wide(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"f%d":%d`, i, i))
	}
	return strings.Join(fields, ",")
}
