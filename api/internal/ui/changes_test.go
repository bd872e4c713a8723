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

// kernel returns a finding about a kernel and nothing else.
func kernel(release string) fleet.Finding {
	return finding("os", `{"kernel":{"release":"`+release+`"}}`, "")
}

// upgraded stores two hosts of env=prod and one of env=test whose kernels were upgraded 10, 9 and 8 minutes before now,
// the last one differently.
func upgraded(s *site, now time.Time) (web1, db1 fleet.Host) {
	s.t.Helper()
	web1, db1 = s.host("web-1", "env", "prod"), s.host("db-1", "env", "test")
	for i, h := range []fleet.Host{web1, s.host("web-2", "env", "prod"), db1} {
		s.collect(h, now.Add(-time.Hour), nil, kernel("6.1.0-27"))
		release := "6.1.0-28"
		if h.ID == db1.ID {
			release = "6.6.1"
		}
		s.collect(h, now.Add(time.Duration(i-10)*time.Minute), nil, kernel(release))
	}
	return web1, db1
}

func TestChangesAreGroupedByWhatIsTheSame(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	web1, _ := upgraded(s, time.Now())
	first := s.see("/", http.StatusOK, "in the last 24 h", ">2 hosts</a>", ">1 host</a>", "kernel.release", "6.1.0-27", "6.1.0-28", "6.6.1", "3 changes")
	s.see("/changes", http.StatusOK, ">2 hosts</a>", "6.1.0-28", `href="/hosts/`+web1.ID.String(), "the last 7 days")

	link := regexp.MustCompile(`class="count" href="([^"]+)">2 hosts`).FindStringSubmatch(first)
	if link == nil {
		t.Fatal("the group has no link to its changes")
	}
	each := s.see(strings.ReplaceAll(link[1], "&amp;", "&"), http.StatusOK, "web-1", "web-2", "6.1.0-28", "/diff?to=", "as_of=")
	s.lacks(each, "db-1")
}

func TestTheFeedIsFiltered(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	now := time.Now()
	web1, _ := upgraded(s, now)
	ask := func(values ...string) string {
		q := url.Values{"group": {"false"}}
		for i := 0; i < len(values); i += 2 {
			q.Set(values[i], values[i+1])
		}
		return "/changes?" + q.Encode()
	}
	has := func(path string, hosts ...string) {
		t.Helper()
		body := s.see(path, http.StatusOK)
		for _, name := range []string{"web-1", "web-2", "db-1"} {
			want := 0
			for _, host := range hosts {
				if host == name {
					want = 1
				}
			}
			if got := strings.Count(body, ">"+name+"</a>"); got != want {
				t.Errorf("GET %s has %d changes of %s, want %d", path, got, name, want)
			}
		}
	}
	has(ask(), "web-1", "web-2", "db-1")
	has(ask("host", "web-2"), "web-2")
	has(ask("selector", "env=prod"), "web-1", "web-2")
	has(ask("type", "os", "path", "kernel.*"), "web-1", "web-2", "db-1")
	has(ask("type", "disks"))
	has(ask("path", "*.version"))
	has(ask("since", now.Add(-9*time.Minute-30*time.Second).Format(time.RFC3339)), "web-2", "db-1")
	has(ask("until", now.UTC().Add(-9*time.Minute-30*time.Second).Format("2006-01-02T15:04:05")), "web-1")
	for what, path := range map[string]string{
		"no host of that name": ask("host", "web-9"), "position": ask("selector", "env="), "character": ask("path", "a..b"), "not a time": ask("since", "yesterday"),
	} {
		s.see(path, http.StatusUnprocessableEntity, what, `role="alert"`)
	}
	s.see(ask("cursor", "nonsense!"), http.StatusUnprocessableEntity, "cursor")

	live := s.see(ask("host", "web-1", "type", "os", "path", "kernel.*"), http.StatusOK, "Follow live")
	if want := `data-events="/api/v1/changes/events?host_id=` + web1.ID.String() + `&amp;path=kernel.%2A&amp;type=os"`; !strings.Contains(live, want) {
		t.Errorf("the page lacks %s", want)
	}
	s.lacks(s.see(ask("until", "2030-01-01"), http.StatusOK), "Follow live")
	s.lacks(s.see("/changes", http.StatusOK), "Follow live")
}

func TestTheFeedHasPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	var before, after []string
	for i := range 250 {
		before = append(before, fmt.Sprintf(`"p%03d":"1"`, i))
		after = append(after, fmt.Sprintf(`"p%03d":"2"`, i))
	}
	now := time.Now()
	s.collect(h, now.Add(-time.Minute), nil, finding("os", "{"+strings.Join(before, ",")+"}", ""))
	s.collect(h, now, nil, finding("os", "{"+strings.Join(after, ",")+"}", ""))
	seen := map[string]int{}
	paths := regexp.MustCompile(`<code>(p\d{3})</code>`)
	older := regexp.MustCompile(`<a href="([^"]+)" rel="next">Older changes`)
	pages := 0
	for path := "/changes?host=web-1"; path != "" && pages < 10; pages++ {
		body := s.see(path, http.StatusOK)
		for _, found := range paths.FindAllStringSubmatch(body, -1) {
			seen[found[1]]++
		}
		path = ""
		if next := older.FindStringSubmatch(body); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if pages != 4 || len(seen) != 250 {
		t.Errorf("%d pages with %d changes, want 4 with 250", pages, len(seen))
	}
	for path, n := range seen {
		if n != 1 {
			t.Errorf("%s is shown %d times", path, n)
		}
	}
}

func TestChangesSayInWordsWhatHappened(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	h := s.host("web-1")
	now := time.Now()
	long := strings.Repeat("long ", 100)
	s.collect(h, now.Add(-time.Minute), nil, finding("os", `{"gone":"old","list":["a","b"],"text":"short","<script>":"1"}`, ""))
	s.collect(h, now, nil, finding("os", `{"list":["b","c"],"new":{"x":"<script>alert(1)</script>"},"text":"`+long+`","<script>":"2"}`, ""))
	body := s.see("/changes?group=false", http.StatusOK,
		`<span class="kind added">added</span>`, `<span class="kind removed">removed</span>`, `<span class="kind changed">changed</span>`,
		"now also ", "no longer ", "<details", "&lt;script&gt;alert(1)&lt;/script&gt;", `&#34;&lt;script&gt;&#34;`)
	if time := `<time datetime="`; strings.Count(body, time) < 5 || !strings.Contains(body, ` UTC">`) {
		t.Error("times are not in <time> with the absolute one in the title")
	}
}

// TestAScopedViewerSeesNothingOfOthers looks at every page that shows changes or facts.
func TestAScopedViewerSeesNothingOfOthers(t *testing.T) {
	t.Parallel()
	s := newSiteWithFeed(t)
	web1, db1 := upgraded(s, time.Now())
	s.collect(db1, time.Now().Add(-time.Minute), fleet.Fail(fleet.CodeTCPRefused, nil))
	hidden, visible := s.reportOf(db1, "os"), s.reportOf(web1, "os")
	selector, err := fleet.ParseSelector("env=prod")
	if err != nil {
		t.Fatal(err)
	}
	s.actor = fleet.Actor{Kind: fleet.ActorUser, Name: "eve", Role: fleet.Viewer, Selector: &selector}
	for _, path := range []string{"/", "/hosts", "/changes", "/changes?group=false", "/changes?group=false&type=os", "/changes?group=true&path=kernel", "/hosts/" + web1.ID.String() + "?type=os"} {
		body := s.see(path, http.StatusOK)
		s.lacks(body, "db-1", "6.6.1", db1.ID.String(), "tcp_refused")
	}
	s.see("/", http.StatusOK, "2</b> hosts", ">2 hosts</a>", "2 changes")
	other := "/hosts/" + db1.ID.String()
	for _, path := range []string{
		other, other + "?type=os", other + "?as_of=2026-01-01T00:00:00Z", other + "/history?type=os&path=kernel.release",
		"/reports/" + hidden, "/reports/" + hidden + "/diff", "/reports/" + hidden + "/diff?to=" + visible,
	} {
		s.lacks(s.see(path, http.StatusNotFound), "db-1", "6.6.1")
	}
	s.lacks(s.see("/reports/"+visible+"/diff?to="+hidden, http.StatusUnprocessableEntity), "db-1", "6.6.1")
	s.lacks(s.see("/changes?host=db-1", http.StatusUnprocessableEntity, "no host of that name"), "6.6.1")

	s.actor.Role = "" // who has no role sees nothing at all
	for _, path := range []string{"/", "/hosts", "/changes", "/changes?group=false"} {
		s.lacks(s.see(path, http.StatusOK), "web-1", "6.1.0", web1.ID.String())
	}
}
