package collector

import (
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type interfaceFacts struct {
	Name      string                  `json:"name"`
	Type      *string                 `json:"type"` // ethernet, wifi, bond …; the kernel's own word for the rarer kinds
	MAC       *string                 `json:"mac"`
	PermMAC   *string                 `json:"perm_mac"`
	MTU       *int64                  `json:"mtu"`
	AdminUp   *bool                   `json:"admin_up"`
	OperState *string                 `json:"oper_state"` // up, down, unknown …, in lower case; null where it follows others
	SpeedMbps *int64                  `json:"speed_mbps"` // likewise
	Duplex    *string                 `json:"duplex"`     // likewise
	Driver    *string                 `json:"driver"`
	PCI       *string                 `json:"pci"`
	Master    *string                 `json:"master"`
	VLANID    *int64                  `json:"vlan_id"`
	Bond      *bondFacts              `json:"bond"`
	Addresses map[string]addressFacts `json:"addresses"` // by address/prefixlen, without temporary ones
}

type bondFacts struct {
	Mode   *string  `json:"mode"`
	Slaves []string `json:"slaves"` // sorted
}

type interfaceMetrics struct {
	Index              *int64   `json:"index"`
	Carrier            *bool    `json:"carrier"`
	OperState          *string  `json:"oper_state"`
	TemporaryAddresses []string `json:"temporary_addresses"` // sorted
	Counters           counters `json:"counters"`
}

type counters struct {
	RxBytes   *int64 `json:"rx_bytes"`
	RxPackets *int64 `json:"rx_packets"`
	RxErrors  *int64 `json:"rx_errors"`
	RxDrops   *int64 `json:"rx_drops"`
	TxBytes   *int64 `json:"tx_bytes"`
	TxPackets *int64 `json:"tx_packets"`
	TxErrors  *int64 `json:"tx_errors"`
	TxDrops   *int64 `json:"tx_drops"`
}

// An ipLink is what ip -j -d link says beyond what /sys has.
type ipLink struct {
	Name     string `json:"ifname"`
	PermAddr string `json:"permaddr"`
	Info     struct {
		Kind string `json:"info_kind"`
		Data struct {
			ID   json.Number `json:"id"` // of a VLAN or VXLAN
			Type string      `json:"type"`
		} `json:"info_data"`
	} `json:"linkinfo"`
}

// passingInterface matches the interfaces that come and go with containers and guests, and names their kind.
const passingInterface = `^((veth|cali)|(lxc|gke|eni|tap|br-|qvo|qvb|qbr)[0-9a-f]{6}|(vnet|vif|fwbr|fwln|fwpr|macvtap|kube-ipvs)[0-9]|(tap)[0-9]+i[0-9])`

// readInterfaces reads the interfaces of the host from /sys, and what ip adds to it. Those of containers and guests
// are counted only.
func readInterfaces(r *reader, b bag) (map[string]interfaceFacts, map[string]interfaceMetrics, map[string]int64) {
	facts, metrics, collapsed := map[string]interfaceFacts{}, map[string]interfaceMetrics{}, map[string]int64{}
	passing := regexp.MustCompile(passingInterface)
	links := readLinks(r)
	counted := map[string]counters{}
	for _, line := range b.files["/proc/net/dev"] {
		if name, numbers, found := strings.Cut(line, ":"); found {
			counted[strings.TrimSpace(name)] = readCounters(numbers)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		name, found := strings.CutSuffix(path, "/ifindex")
		if !found || strings.Contains(name, "/") || !isWord(name) {
			continue
		}
		if kind := passing.FindStringSubmatch(name); kind != nil {
			collapsed[kind[2]+kind[3]+kind[4]+kind[5]]++
			continue
		}
		facts[name] = readInterface(b, name, links[name])
		metrics[name] = interfaceMetrics{
			Index: number(b.first(path)), Carrier: flag(b.first(name + "/carrier")), TemporaryAddresses: []string{},
			OperState: text(b.first(name + "/operstate")), Counters: counted[name],
		}
	}
	return facts, metrics, collapsed
}

// readLinks reads the links by name. Not every ip speaks JSON; /sys has the most of it.
func readLinks(r *reader) map[string]ipLink {
	links := map[string]ipLink{}
	out := r.section("ip_link", "interfaces.*.type", "interfaces.*.perm_mac", "interfaces.*.vlan_id")
	if strings.TrimSpace(out) == "" && ipFailed(r.peek("ip_route")) {
		r.lose(ReasonDenied, "interfaces.*.type", "interfaces.*.perm_mac", "interfaces.*.vlan_id")
		return links
	}
	if strings.TrimSpace(out) == "" {
		r.lack(ReasonToolMissing, "interfaces.*.perm_mac")
		return links
	}
	list, err := decodeList[ipLink](out)
	if err != nil && r.reasonFor("ip_link") == "" {
		r.lose(ReasonParseFailed, "interfaces.*.type", "interfaces.*.perm_mac", "interfaces.*.vlan_id")
		r.warn("section ip_link: parse_failed")
	}
	for _, l := range list {
		links[l.Name] = l
	}
	return links
}

// readInterface reads one interface.
func readInterface(b bag, name string, link ipLink) interfaceFacts {
	f := interfaceFacts{
		Name: name, MAC: text(macOf(b.first(name + "/address"))), PermMAC: text(macOf(link.PermAddr)),
		MTU: number(b.first(name + "/mtu")), OperState: text(b.first(name + "/operstate")),
		Driver: text(baseName(b.links[name+"/device/driver"])), Master: text(baseName(b.links[name+"/master"])),
		Type: text(interfaceType(b, name, link.Info.Kind)), Addresses: map[string]addressFacts{},
	}
	if flags, err := strconv.ParseUint(strings.TrimPrefix(b.first(name+"/flags"), "0x"), 16, 32); err == nil {
		f.AdminUp = new(flags&1 != 0)
	}
	if follows(deref(f.Type)) {
		f.OperState = nil
	} else {
		f.setSpeed(b)
	}
	if device := baseName(b.links[name+"/device"]); strings.Count(device, ":") == 2 {
		f.PCI = text(device)
	}
	if deref(f.Type) == "vlan" {
		f.VLANID = vlanID(b, name, link)
	}
	if mode, _, _ := strings.Cut(b.first(name+"/bonding/mode"), " "); mode != "" {
		f.Bond = &bondFacts{Mode: text(mode), Slaves: sortedSet(strings.Fields(b.first(name + "/bonding/slaves")))}
	}
	return f
}

// follows reports whether the state and speed of interfaces of that type are those of who uses them: a bridge is up while a
// guest is, and a tunnel while its program runs.
func follows(kind string) bool { return kind == "bridge" || kind == "tun" }

// setSpeed fills in how fast the interface is, if it can tell.
func (f *interfaceFacts) setSpeed(b bag) {
	if speed := number(b.first(f.Name + "/speed")); speed != nil && *speed > 0 && *speed < 1<<31 {
		f.SpeedMbps = speed
	}
	if duplex := b.first(f.Name + "/duplex"); duplex != "unknown" {
		f.Duplex = text(duplex)
	}
}

// interfaceType names the kind of an interface, by what ip calls it, else by what /sys shows of it.
func interfaceType(b bag, name, kind string) string {
	hardware := b.first(name + "/type")
	devtype := ""
	for _, line := range b.files[name+"/uevent"] {
		if value, found := strings.CutPrefix(line, "DEVTYPE="); found {
			devtype = value
		}
	}
	switch {
	case hardware == "772":
		return "loopback"
	case b.any(name+"/wireless", name+"/phy80211"), devtype == "wlan":
		return "wifi"
	case kind != "":
		return kind
	case b.has(name + "/bonding/mode"):
		return "bond"
	case b.any(name + "/bridge"):
		return "bridge"
	case b.any(name + "/tun_flags"):
		return "tun"
	case devtype != "":
		return devtype
	case hardware == "1":
		return "ethernet"
	case hardware == "32":
		return "infiniband"
	case hardware == "768", hardware == "776", hardware == "778", hardware == "769":
		return "tunnel"
	}
	return ""
}

// vlanID returns the number of a VLAN by ip, else by /proc/net/vlan/config, whose lines are "eth0.5 | 5 | eth0".
func vlanID(b bag, name string, link ipLink) *int64 {
	const most = 4095
	if id := atMost(number(link.Info.Data.ID.String()), most); id != nil {
		return id
	}
	for _, line := range b.files["/proc/net/vlan/config"] {
		if fields := strings.Split(line, "|"); len(fields) == 3 && strings.TrimSpace(fields[0]) == name {
			return atMost(number(fields[1]), most)
		}
	}
	return nil
}

// macOf returns a hardware address, unless it is of another kind, such as the address of a tunnel's end.
func macOf(s string) string {
	if !strings.Contains(s, ":") {
		return ""
	}
	return strings.ToLower(s)
}

// baseName returns the last element of a path.
func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// readCounters reads an interface's line of /proc/net/dev, without its name.
func readCounters(line string) counters {
	fields := strings.Fields(line)
	if len(fields) < 16 {
		return counters{}
	}
	return counters{
		RxBytes: number(fields[0]), RxPackets: number(fields[1]), RxErrors: number(fields[2]), RxDrops: number(fields[3]),
		TxBytes: number(fields[8]), TxPackets: number(fields[9]), TxErrors: number(fields[10]), TxDrops: number(fields[11]),
	}
}

// readSockets reads how many sockets there are.
func readSockets(b bag) socketMetrics {
	var m socketMetrics
	if tcp := b.files["/proc/net/snmp"]; len(tcp) == 2 {
		names, values := strings.Fields(tcp[0]), strings.Fields(tcp[1])
		if i := slices.Index(names, "CurrEstab"); i >= 0 && i < len(values) {
			m.Established = number(values[i])
		}
	}
	for _, line := range slices.Concat(b.files["/proc/net/sockstat"], b.files["/proc/net/sockstat6"]) {
		words := strings.Fields(line)
		for i := 1; i+1 < len(words); i += 2 {
			value := number(words[i+1])
			switch words[0] + words[i] {
			case "TCP:inuse":
				m.TCP = value
			case "TCP:tw":
				m.TimeWait = value
			case "TCP:orphan":
				m.Orphaned = value
			case "UDP:inuse":
				m.UDP = value
			case "TCP6:inuse":
				m.TCP6 = value
			case "UDP6:inuse":
				m.UDP6 = value
			}
		}
	}
	return m
}

// decodeList decodes a JSON array element by element. Of one that was cut or spoilt it returns what came before.
func decodeList[T any](text string) ([]T, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('[') {
		return nil, errors.Join(errors.New("not a list"), err)
	}
	var list []T
	for d.More() {
		var v T
		if err := d.Decode(&v); err != nil {
			return list, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}
