package collector_test

import (
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

// reportOf reads one report of a machine with the given sections beside what every machine has.
func reportOf(t *testing.T, reportType string, sections map[string]string) collector.Report {
	t.Helper()
	all := map[string]string{
		"id": linuxIdentity, "os": "/proc/uptime:1.5 1\n", "mem": "MemTotal: 1000 kB\n", "cpu": "present:0-1\nonline:0-1\n",
		"mounts": "/dev/sda1 / ext4 rw 0 0\nshare /shared virtiofs rw 0 0\n", "net": netOf("up"),
		"df": "#blocks\n/dev/sda1 100 50 40 50% /\n#inodes\n/dev/sda1 10 5 5 50% /\n",
	}
	for name, contents := range sections {
		all[name] += contents
	}
	p := plan(t, collector.Options{Nonce: recordedNonce}, reportType)
	r, err := p.Read(answer(all, p.Sections()))
	if err != nil {
		t.Fatal(err)
	}
	report := p.Reports(r)[0]
	if report.Status == collector.StatusFailed {
		t.Fatalf("the report failed: %v", report.Failure)
	}
	return report
}

// netOf is what the kernel says of a network card and of a bridge that guests use, whose state is given.
func netOf(bridge string) string {
	return "eth0/ifindex:2\neth0/type:1\neth0/operstate:up\neth0/speed:1000\n" +
		"docker0/ifindex:3\ndocker0/type:1\ndocker0/bridge\ndocker0/operstate:" + bridge + "\n"
}

// paths returns where two reports differ.
func paths(t *testing.T, before, after collector.Report) []string {
	t.Helper()
	c, err := facts.Compare(before.Facts, after.Facts, facts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, d := range c.Changes {
		got = append(got, string(d.Kind())+" "+d.Path.String())
	}
	return got
}

func TestWhatMovesByItselfIsNoFactAndWhatSomebodyDidIs(t *testing.T) {
	t.Parallel()
	const nft, end = "#nft\ntable inet filter {\nchain input {\ntype filter hook input priority 0; policy drop;\ntcp dport 22 accept\n", "}\n}\n"
	const blocked = "table inet f2b-table {\nset addr-set-sshd {\ntype ipv4_addr\nelements = { 192.0.2.1,\n192.0.2.2 }\n}\nchain f2b-chain {\nip saddr @addr-set-sshd reject\n}\n}\n"
	const iptables = "#iptables\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j f2b-sshd\n"
	for _, tt := range []struct {
		name, report string
		section      string
		before       string
		after        string
		want         string // the differences
	}{
		{"summer time begins", "os", "os", "=offset +0100\n", "=offset +0200\n", ""},
		{"the time zone is another", "os", "os", "/etc/timezone:Europe/Rome\n", "/etc/timezone:Asia/Tokyo\n", "changed timezone"},
		{"huge pages are lent", "memory", "mem", "HugePages_Total: 4\nHugePages_Surp: 0\n", "HugePages_Total: 9\nHugePages_Surp: 5\n", ""},
		{"huge pages are set aside", "memory", "mem", "HugePages_Total: 4\nHugePages_Surp: 0\n", "HugePages_Total: 9\nHugePages_Surp: 0\n", "changed hugepages.total"},
		{"swap is used", "memory", "mem", "/proc/swaps:/dev/sdb partition 1000 10 -2\n", "/proc/swaps:/dev/sdb partition 1000 900 -2\n", ""},

		{"an automounter mounts a home", "disks", "mounts", "auto.home /home autofs rw 0 0\n", "auto.home /home autofs rw 0 0\nnas:/a /home/a.b nfs4 rw 0 0\n", ""},
		{"systemd mounts where its automount point is", "disks", "mounts", "systemd-1 /boot autofs rw 0 0\n", "systemd-1 /boot autofs rw 0 0\n/dev/sda2 /boot vfat rw 0 0\n", ""},
		{"a container starts where its engine keeps its files elsewhere", "disks", "mounts", "", "overlay /srv/docker/overlay2/0a1b/merged overlay rw 0 0\nshm /srv/docker/containers/0a1b/mounts/shm tmpfs rw 0 0\n", ""},
		{"a pod gets a volume", "disks", "mounts", "", "tmpfs /data/kubelet/pods/0a1b-2c/volumes/kubernetes.io~secret/t tmpfs rw 0 0\n", ""},
		{"somebody mounts a disk", "disks", "mounts", "", "/dev/sdb /srv/pods ext4 rw 0 0\n", "added filesystems.\"/srv/pods\""},
		{"a neighbour of an automount point is mounted", "disks", "mounts", "auto.home /home autofs rw 0 0\n", "auto.home /home autofs rw 0 0\nnas:/a /home2 nfs4 rw 0 0\n", "added filesystems.\"/home2\""},
		{"what a shared file system has to give changes", "disks", "df", "#blocks\nshare 7 5 2 50% /shared\n", "#blocks\nshare 9 5 4 50% /shared\n", ""},
		{"a file system grows", "disks", "df", "", "#blocks\n/dev/sda1 200 50 140 50% /\n", "changed filesystems.\"/\".size"},
		{"mounts come in another order", "disks", "mounts", "/dev/b /b ext4 rw 0 0\n/dev/c /c ext4 rw 0 0\n", "/dev/c /c ext4 rw 0 0\n/dev/b /b ext4 rw 0 0\n", ""},
		{"mount options come in another order", "disks", "mounts", "/dev/b /b ext4 rw,noatime 0 0\n", "/dev/b /b ext4 noatime,rw,relatime 0 0\n", ""},
		{"the device mapper numbers in another order", "disks", "blk", "dm-0/size:8\ndm-0/dm/name:a\ndm-1/size:9\ndm-1/dm/name:b\n", "dm-1/size:8\ndm-1/dm/name:a\ndm-0/size:9\ndm-0/dm/name:b\n", ""},
		{"a pool finds duplicates", "disks", "zfs", "tank\t100\t10\tONLINE\t1.00\n", "tank\t100\t10\tONLINE\t1.37\n", ""},
		{"a pool degrades", "disks", "zfs", "tank\t100\t10\tONLINE\t1.00\n", "tank\t100\t10\tDEGRADED\t1.00\n", "changed zfs_pools.tank.health"},
		{
			"an array is checked", "disks", "md", "/proc/mdstat:md0 : active raid1 sdb[1] sda[0]\n/proc/mdstat:      100 blocks [2/2] [UU]\n",
			"/proc/mdstat:md0 : active raid1 sda[0] sdb[1]\n/proc/mdstat:      100 blocks [2/2] [UU]\n/proc/mdstat:      [=>...]  check = 7.0% (7/100)\n", "",
		},

		{"a lease is renewed", "network", "ip_addr", addrOf(3600, false), addrOf(1800, false), ""},
		{"a temporary address is replaced", "network", "ip_addr", addrOf(1, true), addrOf(2, true), ""},
		{"addresses of IPv6 come in another order", "network", "ip_addr", sixOf("2001:db8::1", "2001:db8::2"), sixOf("2001:db8::2", "2001:db8::1"), ""},
		{"a router's advertisement is renewed", "network", "ip_route", routeOf(`"protocol":"ra","expires":1700`), routeOf(`"protocol":"ra","expires":12`), ""},
		{"a routing daemon learns", "network", "ip_route", routeOf(`"protocol":"bird"`), routeOf(`"protocol":"bird","metric":7`), ""},
		{"a router redirects", "network", "ip_route", routeOf(`"protocol":"redirect"`), routeOf(`"protocol":"redirect","metric":5`), ""},
		{"somebody adds a route", "network", "ip_route", routeOf(`"protocol":"ra"`), routeOf(`"protocol":"ra"},{"dst":"10.9.0.0/16","dev":"eth0"`), `added routes."inet:main:10.9.0.0/16:0:eth0"`},
		{"resolver options come in another order", "network", "dns", "/etc/resolv.conf:options edns0 trust-ad\n", "/etc/resolv.conf:options trust-ad edns0\n", ""},
		{"the order in which resolvers are asked is another", "network", "dns", "/etc/resolv.conf:nameserver 1.1.1.1\n/etc/resolv.conf:nameserver 9.9.9.9\n", "/etc/resolv.conf:nameserver 9.9.9.9\n/etc/resolv.conf:nameserver 1.1.1.1\n", "changed dns.servers"},
		{"a guest's interface comes", "network", "net", "", "veth12ab/ifindex:7\ntap100i0/ifindex:8\nkube-ipvs0/ifindex:9\n", ""},
		{"somebody adds an interface", "network", "net", "", "wg0/ifindex:7\n", "added interfaces.wg0"},

		{"an attacker is blocked by nftables", "network", "firewall", nft + end + blocked, nft + end + strings.ReplaceAll(blocked, "192.0.2.2", "192.0.2.3,\n192.0.2.4"), ""},
		{"an attacker is blocked by iptables", "network", "firewall", iptables, iptables + ":f2b-sshd - [0:0]\n-A f2b-sshd -s 192.0.2.1/32 -j REJECT\n", ""},
		{"a container publishes a port", "network", "firewall", iptables, iptables + "-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -j MASQUERADE\n-A DOCKER -d 172.17.0.2/32 -j ACCEPT\n", ""},
		{"somebody blocks what Docker publishes", "network", "firewall", iptables, iptables + "-A DOCKER-USER -j DROP\n", "changed firewall.count changed firewall.rules_sha256"},
		{"somebody opens a port", "network", "firewall", nft + end + blocked, nft + "tcp dport 80 accept\n" + end + blocked, "changed firewall.count changed firewall.rules_sha256"},
		{"packets are counted", "network", "firewall", nft + "counter packets 1 bytes 60 accept\n" + end, nft + "counter packets 9 bytes 540 accept\n" + end, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := reportOf(t, tt.report, map[string]string{tt.section: tt.before})
			after := reportOf(t, tt.report, map[string]string{tt.section: tt.after})
			if got := strings.Join(paths(t, before, after), " "); got != tt.want {
				t.Errorf("differs in %q, want %q", got, tt.want)
			}
		})
	}
}

func addrOf(seconds int, temporary bool) string {
	if temporary {
		return `[{"ifname":"eth0","addr_info":[{"family":"inet6","local":"2001:db8::` + strings.Repeat("a", seconds) + `","prefixlen":64,"scope":"global","temporary":true}]}]`
	}
	return `[{"ifname":"eth0","addr_info":[{"family":"inet","local":"192.0.2.9","prefixlen":24,"scope":"global","dynamic":true,"valid_life_time":` + strings.Repeat("9", seconds%7+1) + `}]}]`
}

func sixOf(first, second string) string {
	return `[{"ifname":"eth0","addr_info":[{"family":"inet6","local":"` + first + `","prefixlen":64,"scope":"global"},{"family":"inet6","local":"` + second + `","prefixlen":64,"scope":"global"}]}]`
}

// routeOf is a default route over IPv6 and another route that has the given members.
func routeOf(members string) string {
	return "#inet\n" + `[{"dst":"10.1.0.0/16","dev":"eth0",` + members + `}]` + "\n#inet6\n" + `[{"dst":"default","gateway":"fe80::1","dev":"eth0","metric":1024}]` + "\n"
}

func TestABridgeOfGuestsIsUpWithThem(t *testing.T) {
	t.Parallel()
	read := func(state string) collector.Report {
		p := plan(t, collector.Options{Nonce: recordedNonce}, "network")
		r, err := p.Read(answer(map[string]string{"id": linuxIdentity, "net": netOf(state)}, p.Sections()))
		if err != nil {
			t.Fatal(err)
		}
		return p.Reports(r)[0]
	}
	up, down := read("up"), read("down")
	if got := paths(t, up, down); len(got) > 0 {
		t.Errorf("differs in %q", got)
	}
	equal(t, "the state as a metric", at(decode(t, down.Metrics), "interfaces", "docker0", "oper_state"), any("down"))
	equal(t, "the state of a card", at(decode(t, down.Facts), "interfaces", "eth0", "oper_state"), any("up"))
}

// TestAnIPThatIsGoneOrBabblesTakesNothingAway holds that a host whose ip was removed, or prints what nobody understands,
// keeps what only ip can tell.
func TestAnIPThatIsGoneOrBabblesTakesNothingAway(t *testing.T) {
	t.Parallel()
	const route = "/proc/net/route:Iface\tDestination\tGateway\n/proc/net/route:eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	with := reportOf(t, "network", map[string]string{
		"net":      route,
		"ip_addr":  `[{"ifname":"eth0","addr_info":[{"family":"inet","local":"192.0.2.7","prefixlen":24,"scope":"global"}]}]`,
		"ip_route": "#inet\n" + `[{"dst":"192.0.2.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"192.0.2.7"}]` + "\n#inet6\n[]\n",
	})
	for what, sections := range map[string]map[string]string{
		"ip is gone": {"net": route, "ip_addr": with2addresses},
		"ip babbles": {"net": route, "ip_addr": "what nobody understands\n"},
	} {
		carried, err := reportOf(t, "network", sections).CarryOver(with.Facts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths(t, with, carried) {
			t.Errorf("%s: %s", what, p)
		}
	}
}

const with2addresses = "2: eth0    inet 192.0.2.7/24 scope global eth0\\       valid_lft forever preferred_lft forever\n"
