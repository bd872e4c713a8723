package ui_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestThePagesOfCollectors(t *testing.T) {
	t.Parallel()
	s := newSite(t, accounts{})
	s.see("/collectors", http.StatusOK, "None yet", "rollcall collectors add", `href="/collectors/packages"`, "none yet", `aria-current="page">Collectors`)
	const definition = `{"name":"proxies","description":"Proxies <of> the shop","os":{"linux":"echo '[<a>]'","freebsd":"true"},
		"parser":{"format":"csv","columns":["name","state"]},"keys":["name"],"volatile":["items.*.state"],"schema":{"type":"object"},
		"fixtures":[{"name":"right","os":"linux","stdout":"a,up\n","expect":{"metrics":{"items":{"a":{"state":"up"}}}}},
			{"name":"wrong","stdout":"a,up\n","expect":{"facts":{"b":1}}}]}`
	if _, err := s.store.AddCollector(t.Context(), fleet.Collector{Name: "proxies", Actor: "user:admin", Definition: []byte(definition)}); err != nil {
		t.Fatal(err)
	}
	web := s.host("web-1")
	s.host("web-2")
	s.collect(web, time.Now(), nil, finding("os", osFacts, osMetrics))

	list := s.see("/collectors", http.StatusOK, `href="/collectors/proxies"`, "Proxies &lt;of&gt; the shop", "freebsd, linux", "2 hosts")
	if s.lacks(list, "None yet"); strings.Index(list, "/collectors/proxies") > strings.Index(list, "/collectors/os") {
		t.Error("the custom ones are not the first")
	}
	s.see("/collectors/proxies", http.StatusOK, "custom", "0 of 2 hosts", "Script for linux", "&lt;a&gt;", "csv", "told apart by <code>name</code>", "10s",
		"as it should be", "differs", "facts.b = 1", "&#34;type&#34;: &#34;object&#34;")
	s.see("/collectors/os", http.StatusOK, "built in", "1 of 2 hosts", "kernel.release", "identity", "volatile", "uptime_seconds", "/changes?type=os")
	s.see("/collectors/nothing", http.StatusNotFound, "Not here")
	s.see("/changes", http.StatusOK, `<option value="proxies">`, `<option value="ports">`)
	s.see("/changes?type=proxies", http.StatusOK, `value="proxies"`)
}
