package collector

const (
	bodyNet = `cd /sys/class/net && {
  g */ifindex */address */mtu */operstate */carrier */speed */duplex */flags */type */uevent */bonding/mode */bonding/slaves
  ls -ld */device */device/driver */master
  ls -d */wireless */bridge */tun_flags */phy80211
}
cd /
g /proc/net/dev /proc/net/vlan/config /proc/net/if_inet6 /proc/net/route /proc/net/ipv6_route /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
g /proc/net/snmp | grep ':Tcp:'
g /proc/net/sockstat /proc/net/sockstat6
:`

	bodyIPLink = `ip -j -d link`

	bodyIPAddr = `if [ "$(ip -j link | head -c 1)" = '[' ]; then ip -j addr; else ip -o addr; fi
:`

	// The local table repeats the addresses. A router's full table is cut at the cap, and said to be.
	// An ip that cannot even name lo is broken, which is another thing than one that does not speak JSON.
	bodyIPRoute = `if [ "$(ip -j link | head -c 1)" != '[' ]; then
  have ip && [ -z "$(ip link)" ] && echo '#failed'
  cat /proc/net/fib_trie
  return 0
fi
echo '#inet'
ip -j -4 route show table all
echo '#inet6'
ip -j -6 route show table all
:`

	bodyDNS = `g /etc/resolv.conf /run/systemd/resolve/resolv.conf
ls -ld /etc/resolv.conf
printf '=hosts_sha256 %s\n' "$(sha256sum </etc/hosts)"
:`

	bodyFirewall = `[ "$(id -u)" = 0 ] || return 0
if have nft; then echo '#nft'; lim 5 nft -s list ruleset || echo '#failed'; fi
if have iptables-save && grep -q . /proc/net/ip_tables_names; then
  echo '#iptables'
  lim 5 iptables-save
  have ip6tables-save && lim 5 ip6tables-save
fi
:`
)
