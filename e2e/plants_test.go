package e2e_test

// A plant is one thing that somebody does to a machine, and what has to be seen of it: these changes, at these paths,
// and nothing else. Taking it back has to be seen as the same changes the other way round.
type plant struct {
	name     string
	needs    string // a shell condition, of the machine that runs the tests; where it does not hold the plant is left out
	do, undo string // shell, in the enclosure
	changes  []plantedChange
}

// A plantedChange is one change that a plant has to be seen as. before and after are JSON, "" is nothing. Of an object
// only the members that are named are held against what is told.
type plantedChange struct {
	reportType, path, before, after string
}

// enclosureSetup makes a machine of known facts out of this one. Files that tests change are copies, mounted in place
// of the real ones, so that a plant does not also show as a mount. KIND is the kind of interface that the kernel can
// make, TOOLS are the programs that break later on.
const enclosureSetup = `
ip link set lo up
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir "$DIR/etc" "$DIR/standing" "$DIR/mount point"
cp -a /etc/. "$DIR/etc/" || true # not all of it is ours to read
mount --bind "$DIR/etc" /etc
mount -t tmpfs -o size=1m standing "$DIR/standing"

rm -f /etc/resolv.conf /etc/hosts /etc/timezone /etc/os-release.new
printf 'search example.test\nnameserver 192.0.2.53\n' >/etc/resolv.conf
printf '127.0.0.1 localhost\n127.0.0.1 fixed.example.test planted-a planted-b\n' >/etc/hosts
ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime
grep -v -e ^VARIANT_ID= -e ^PRETTY_NAME= /etc/os-release >/etc/os-release.new
echo 'PRETTY_NAME="Planted 1"' >>/etc/os-release.new
rm /etc/os-release && mv /etc/os-release.new /etc/os-release
hostname planted-a

grep -v -e ^HugePages_Total: -e ^SwapTotal: /proc/meminfo >"$DIR/meminfo"
printf 'HugePages_Total:       0\nSwapTotal:             0 kB\n' >>"$DIR/meminfo"
printf 'Filename\tType\tSize\tUsed\tPriority\n' >"$DIR/swaps"
sed 's/^microcode.*/microcode\t: 0x1/' /proc/cpuinfo >"$DIR/cpuinfo"
echo 'root=/dev/planted quiet' >"$DIR/cmdline"
for file in meminfo swaps cpuinfo cmdline; do mount --bind "$DIR/$file" "/proc/$file"; done

for tool in $TOOLS; do
  path=$(command -v $tool) && path=$(readlink -f "$path") || continue
  cp "$path" "$DIR/$tool" && cp "$path" "$DIR/$tool.whole" && mount --bind "$DIR/$tool" "$path"
done

for n in 0 1; do
  ip link add standing$n address 02:00:00:00:00:1$n type $KIND
  echo 1 >/proc/sys/net/ipv6/conf/standing$n/disable_ipv6 || true # or it gives itself addresses
done
ip link set standing1 up
ip address add 192.0.2.1/32 dev standing1
ip route add 203.0.113.0/24 via 192.0.2.2 dev standing1 onlink
echo 0 >/proc/sys/net/ipv4/ip_forward
if [ "$(id -u)" = 0 ] && command -v nft; then
  nft 'add table inet standing; add chain inet standing planted; add rule inet standing planted accept'
fi
`

// plants are all that the present report types can see of a machine. A new type adds its own.
func plants(e *enclosure) []plant {
	all := diskPlants(e.dir)
	all = append(all, networkPlants()...)
	all = append(all, resolverPlants()...)
	all = append(all, userPlants()...)
	all = append(all, portPlants()...)
	all = append(all, packagePlants()...)
	all = append(all, servicePlants()...)
	all = append(all, osPlants()...)
	return append(all, hardwarePlants()...)
}

func diskPlants(dir string) []plant {
	standing := `filesystems."` + dir + `/standing"`
	return []plant{
		{
			name: "a file system is mounted",
			do:   `mount -t tmpfs -o size=1m,noexec planted "$DIR/mount point"`, undo: `umount "$DIR/mount point"`,
			changes: []plantedChange{{
				"disks", `filesystems."` + dir + `/mount point"`, ``,
				`{"device":"planted","fstype":"tmpfs","mountpoint":"` + dir + `/mount point","readonly":false,"remote":false,"state":"ok"}`,
			}},
		},
		{
			name: "a part of a file system is mounted elsewhere",
			do:   `mount --bind "$DIR/standing" "$DIR/mount point"`, undo: `umount "$DIR/mount point"`,
			changes: []plantedChange{{"disks", `filesystems."` + dir + `/mount point"`, ``, `{"device":"standing","fstype":"tmpfs"}`}},
		},
		{
			name: "a mount option",
			do:   `mount -o remount,noexec "$DIR/standing"`, undo: `mount -o remount,exec "$DIR/standing"`,
			changes: []plantedChange{{"disks", standing + `.options`, `*`, `*`}},
		},
		{
			name: "a file system can no longer be written",
			do:   `mount -o remount,ro "$DIR/standing"`, undo: `mount -o remount,rw "$DIR/standing"`,
			changes: []plantedChange{{"disks", standing + `.options`, `*`, `*`}, {"disks", standing + `.readonly`, `false`, `true`}},
		},
	}
}

func networkPlants() []plant {
	return []plant{
		{
			name: "an interface",
			do:   `ip link add planted0 address 02:00:00:00:00:99 type $KIND`, undo: `ip link del planted0`,
			changes: []plantedChange{{"network", `interfaces.planted0`, ``, `{"name":"planted0","mac":"02:00:00:00:00:99","mtu":1500,"admin_up":false,"addresses":{}}`}},
		},
		{
			name: "the MTU of an interface",
			do:   `ip link set standing0 mtu 1400`, undo: `ip link set standing0 mtu 1500`,
			changes: []plantedChange{{"network", `interfaces.standing0.mtu`, `1500`, `1400`}},
		},
		{
			name: "the hardware address of an interface",
			do:   `ip link set standing0 address 02:00:00:00:00:77`, undo: `ip link set standing0 address 02:00:00:00:00:10`,
			changes: []plantedChange{{"network", `interfaces.standing0.mac`, `"02:00:00:00:00:10"`, `"02:00:00:00:00:77"`}},
		},
		{
			name: "an address without a network",
			do:   `ip address add 192.0.2.77/32 dev standing1`, undo: `ip address del 192.0.2.77/32 dev standing1`,
			changes: []plantedChange{{"network", `interfaces.standing1.addresses."192.0.2.77/32"`, ``, `{"family":"inet","address":"192.0.2.77","prefixlen":32}`}},
		},
		{
			name: "an address with its network, which brings its route",
			do:   `ip address add 198.51.100.1/25 dev standing1`, undo: `ip address del 198.51.100.1/25 dev standing1`,
			changes: []plantedChange{
				{"network", `interfaces.standing1.addresses."198.51.100.1/25"`, ``, `{"address":"198.51.100.1","prefixlen":25}`},
				{"network", `routes."inet:main:198.51.100.0/25:0:standing1"`, ``, `{"src":"198.51.100.1","scope":"link"}`},
			},
		},
		{
			name: "a route",
			do:   `ip route add 198.51.100.128/25 dev standing1`, undo: `ip route del 198.51.100.128/25 dev standing1`,
			changes: []plantedChange{{"network", `routes."inet:main:198.51.100.128/25:0:standing1"`, ``, `{"dst":"198.51.100.128/25","dev":"standing1","gateway":null,"type":"unicast"}`}},
		},
		{
			name: "a route into nowhere",
			do:   `ip route add blackhole 198.51.100.64/26`, undo: `ip route del blackhole 198.51.100.64/26`,
			changes: []plantedChange{{"network", `routes."inet:main:198.51.100.64/26:0:"`, ``, `{"type":"blackhole","dev":null}`}},
		},
		{
			name:    "the gateway of a route",
			do:      `ip route replace 203.0.113.0/24 via 192.0.2.3 dev standing1 onlink`,
			undo:    `ip route replace 203.0.113.0/24 via 192.0.2.2 dev standing1 onlink`,
			changes: []plantedChange{{"network", `routes."inet:main:203.0.113.0/24:0:standing1".gateway`, `"192.0.2.2"`, `"192.0.2.3"`}},
		},
		{
			name: "a default route, by which the machine has a first address",
			do:   `ip route add default via 192.0.2.2 dev standing1 onlink`, undo: `ip route del default`,
			changes: []plantedChange{
				{"network", `default.v4`, `null`, `{"gw":"192.0.2.2","dev":"standing1"}`},
				{"network", `primary_ip`, `null`, `"192.0.2.1"`},
				{"network", `primary_mac`, `null`, `"02:00:00:00:00:11"`},
				{"network", `routes."inet:main:default:0:standing1"`, ``, `{"dst":"default","gateway":"192.0.2.2"}`},
			},
		},
		{
			name: "packets are forwarded",
			do:   `echo 1 >/proc/sys/net/ipv4/ip_forward`, undo: `echo 0 >/proc/sys/net/ipv4/ip_forward`,
			changes: []plantedChange{{"network", `forwarding.v4`, `false`, `true`}},
		},
		{
			name: "a rule of the firewall", needs: `[ "$(id -u)" = 0 ] && command -v nft`,
			do: `nft add rule inet standing planted tcp dport 23 drop`, undo: `nft 'flush chain inet standing planted; add rule inet standing planted accept'`,
			changes: []plantedChange{{"network", `firewall.count`, `1`, `2`}, {"network", `firewall.rules_sha256`, `*`, `*`}},
		},
	}
}

func resolverPlants() []plant {
	const usual = `printf 'search example.test\nnameserver 192.0.2.53\n' >/etc/resolv.conf`
	return []plant{
		{
			name: "a DNS server", do: `echo nameserver 192.0.2.54 >>/etc/resolv.conf`, undo: usual,
			changes: []plantedChange{{"network", `dns.servers`, `["192.0.2.53"]`, `["192.0.2.53","192.0.2.54"]`}},
		},
		{
			name: "a search domain", do: `echo search example.test example.org >>/etc/resolv.conf`, undo: usual,
			changes: []plantedChange{{"network", `dns.search`, `["example.test"]`, `["example.test","example.org"]`}},
		},
		{
			name: "an option of the resolver", do: `echo options timeout:1 >>/etc/resolv.conf`, undo: usual,
			changes: []plantedChange{{"network", `dns.options`, `[]`, `["timeout:1"]`}},
		},
		{
			name: "an entry of the hosts file", do: `echo 192.0.2.9 planted-c >>/etc/hosts`, undo: `sed -i /planted-c/d /etc/hosts`,
			changes: []plantedChange{{"network", `hosts_file_sha256`, `*`, `*`}},
		},
		{
			name: "another domain",
			do:   `sed -i s/fixed.example.test/fixed.example.org/ /etc/hosts`, undo: `sed -i s/fixed.example.org/fixed.example.test/ /etc/hosts`,
			changes: []plantedChange{
				{"network", `hosts_file_sha256`, `*`, `*`},
				{"os", `domain`, `"example.test"`, `"example.org"`},
				{"os", `fqdn`, `"fixed.example.test"`, `"fixed.example.org"`},
			},
		},
	}
}

func osPlants() []plant {
	return []plant{
		{
			name: "the host name", do: `hostname planted-b`, undo: `hostname planted-a`,
			changes: []plantedChange{{"os", `hostname`, `"planted-a"`, `"planted-b"`}},
		},
		{
			name: "the time zone, to one with the same time",
			do:   `ln -sfn /usr/share/zoneinfo/Etc/GMT /etc/localtime`, undo: `ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime`,
			changes: []plantedChange{{"os", `timezone`, `"Etc/UTC"`, `"Etc/GMT"`}},
		},
		{
			name: "the time zone, to one with another time, which is a metric",
			do:   `ln -sfn /usr/share/zoneinfo/Asia/Kolkata /etc/localtime`, undo: `ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime`,
			changes: []plantedChange{{"os", `timezone`, `"Etc/UTC"`, `"Asia/Kolkata"`}},
		},
		{
			name: "what the system calls itself",
			do:   `sed -i 's/Planted 1/Planted 2/' /etc/os-release`, undo: `sed -i 's/Planted 2/Planted 1/' /etc/os-release`,
			changes: []plantedChange{{"os", `pretty_name`, `"Planted 1"`, `"Planted 2"`}},
		},
		{
			name: "something that was not said before", do: `echo VARIANT_ID=planted >>/etc/os-release`, undo: `sed -i /VARIANT_ID/d /etc/os-release`,
			changes: []plantedChange{{"os", `variant`, `null`, `"planted"`}},
		},
		{
			name: "a reboot is due", needs: `grep -q -e '^ID=debian' -e '^ID_LIKE=.*debian' /etc/os-release`,
			do: `touch /run/reboot-required`, undo: `rm /run/reboot-required`,
			changes: []plantedChange{{"os", `reboot_required.required`, `false`, `true`}},
		},
		{
			name: "why a reboot is due", do: `echo linux-image >/run/reboot-required.pkgs`, undo: `rm /run/reboot-required.pkgs`,
			changes: []plantedChange{{"os", `reboot_required.reasons`, `[]`, `["linux-image"]`}},
		},
		{
			name: "who keeps the clock right", do: `mkdir /run/chrony && touch /run/chrony/chronyd.pid`, undo: `rm -r /run/chrony`,
			changes: []plantedChange{{"os", `time_sync.source`, `null`, `"chrony"`}},
		},
		{
			name: "an argument of the kernel",
			do:   `echo 'root=/dev/planted quiet debug' >"$DIR/cmdline"`, undo: `echo 'root=/dev/planted quiet' >"$DIR/cmdline"`,
			changes: []plantedChange{{"os", `kernel.cmdline`, `"root=/dev/planted quiet"`, `"root=/dev/planted quiet debug"`}},
		},
	}
}

// hardwarePlants write into the files that are mounted in place of the kernel's, without replacing them.
func hardwarePlants() []plant {
	edit := func(file, from, to string) string {
		return `edited=$(sed 's/^` + from + `/` + to + `/' "$DIR/` + file + `") && printf '%s\n' "$edited" >"$DIR/` + file + `"`
	}
	return []plant{
		{
			name: "the microcode", needs: `grep -q ^microcode /proc/cpuinfo`,
			do: edit("cpuinfo", `microcode.*`, `microcode\t: 0x2`), undo: edit("cpuinfo", `microcode.*`, `microcode\t: 0x1`),
			changes: []plantedChange{{"cpu", `microcode`, `"0x1"`, `"0x2"`}},
		},
		{
			name: "huge pages are set aside",
			do:   edit("meminfo", `HugePages_Total:.*`, `HugePages_Total: 16`), undo: edit("meminfo", `HugePages_Total:.*`, `HugePages_Total: 0`),
			changes: []plantedChange{{"memory", `hugepages.total`, `0`, `16`}},
		},
		{
			name: "a swap file, which adds to the whole",
			do:   edit("meminfo", `SwapTotal:.*`, `SwapTotal: 1024 kB`) + ` && printf '/planted file 1024 0 -2\n' >>"$DIR/swaps"`,
			undo: edit("meminfo", `SwapTotal:.*`, `SwapTotal: 0 kB`) + ` && ` + edit("swaps", `.planted.*`, ``),
			changes: []plantedChange{
				{"memory", `swap.devices."/planted"`, ``, `{"path":"/planted","type":"file","size":1048576,"priority":-2}`},
				{"memory", `swap.total`, `0`, `1048576`},
			},
		},
	}
}
