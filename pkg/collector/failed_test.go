package collector_test

import (
	"maps"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

func TestAToolThatFailsTellsNothingNew(t *testing.T) {
	t.Parallel()
	const rules = "table inet filter {\nchain input {\ntcp dport 22 accept\n}\n}\n"
	const older = "#iptables\n*filter\n-A INPUT -p tcp -j ACCEPT\n"
	whole := map[string]string{
		"net":      "vlan5/ifindex:4\nvlan5/type:1\n/proc/net/route:eth0\t0001000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
		"ip_link":  `[{"ifname":"vlan5","linkinfo":{"info_kind":"vlan","info_data":{"id":5}}}]`,
		"ip_addr":  `[{"ifname":"eth0","addr_info":[{"family":"inet","local":"10.0.1.9","prefixlen":24,"scope":"global"},{"family":"inet","local":"192.0.2.9","prefixlen":32,"scope":"global"}]}]`,
		"ip_route": "#inet\n" + `[{"dst":"10.0.1.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.0.1.9"},{"dst":"10.9.0.0/16","dev":"eth0","table":"5"}]` + "\n",
		"firewall": "#nft\n" + rules,
	}
	ip := map[string]string{"ip_link": "", "ip_addr": "", "ip_route": "#failed\n  |-- 10.0.1.9\n     /32 host LOCAL\n"}
	for _, tt := range []struct {
		name    string
		instead map[string]string
		status  string
		want    []string // the differences
	}{
		{"ip fails", ip, collector.StatusPartial, []string{}},
		{"nft may not be asked", map[string]string{"firewall": "#nft\n#failed\n"}, collector.StatusOK, []string{}},
		{"nft fails in the middle", map[string]string{"firewall": "#nft\n" + rules[:30] + "\n#failed\n"}, collector.StatusOK, []string{}},
		{"there are no rules any more", map[string]string{"firewall": "#nft\n"}, collector.StatusOK, []string{"changed firewall.active", "changed firewall.count", "changed firewall.rules_sha256"}},
		{"the kernel has only the older tables", map[string]string{"firewall": "#nft\n#failed\n" + older}, collector.StatusOK, []string{"changed firewall.backend", "changed firewall.rules_sha256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			broken := maps.Clone(whole)
			maps.Copy(broken, tt.instead)
			before := reportOf(t, "network", whole)
			after := reportOf(t, "network", broken)
			if before.Status != collector.StatusOK || after.Status != tt.status {
				t.Errorf("the reports are %s and %s, want ok and %s", before.Status, after.Status, tt.status)
			}
			carried, err := after.CarryOver(before.Facts)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "differences", paths(t, before, carried), tt.want)
		})
	}
}
