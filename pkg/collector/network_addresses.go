package collector

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	familyV4 = "inet"
	familyV6 = "inet6"
)

type addressFacts struct {
	Family     string  `json:"family"` // inet or inet6
	Address    string  `json:"address"`
	PrefixLen  int64   `json:"prefixlen"`
	Scope      *string `json:"scope"`
	Broadcast  *string `json:"broadcast"`
	Dynamic    bool    `json:"dynamic"`
	Temporary  bool    `json:"temporary"`
	Deprecated bool    `json:"deprecated"`
}

// An address is one with the interface it is on.
type address struct {
	addressFacts
	dev string
}

// readAddresses reads the addresses of all interfaces: from ip in JSON, from ip in lines, or from the kernel's own
// tables where there is no ip at all.
func readAddresses(r *reader, b bag) []address {
	const path = "interfaces.*.addresses"
	out := r.section("ip_addr", path)
	switch {
	case strings.HasPrefix(strings.TrimSpace(out), "["):
		list, err := addressesFromJSON(out)
		if err != nil && r.reasonFor("ip_addr") == "" {
			r.lose(ReasonParseFailed, path)
			r.warn("section ip_addr: parse_failed")
		}
		return list
	case strings.TrimSpace(out) != "":
		list := addressesFromLines(out)
		if len(list) == 0 && r.reasonFor("ip_addr") == "" { // not even that of lo
			r.lose(ReasonParseFailed, path)
			r.warn("section ip_addr: parse_failed")
		}
		return list
	case r.reasonFor("ip_addr") != "":
		return nil
	}
	if ipFailed(r.peek("ip_route")) {
		r.lose(ReasonDenied, path)
	}
	return slices.Concat(addressesFromTrie(r.peek("ip_route"), b), addressesFromInet6(b.files["/proc/net/if_inet6"]))
}

// addressesFromJSON reads ip -j addr.
func addressesFromJSON(out string) ([]address, error) {
	type info struct {
		Family     string `json:"family"`
		Local      string `json:"local"`
		PrefixLen  int64  `json:"prefixlen"`
		Scope      string `json:"scope"`
		Broadcast  string `json:"broadcast"`
		Dynamic    bool   `json:"dynamic"`
		Temporary  bool   `json:"temporary"`
		Deprecated bool   `json:"deprecated"`
	}
	type link struct {
		Name  string `json:"ifname"`
		Infos []info `json:"addr_info"`
	}
	links, err := decodeList[link](out)
	var list []address
	for _, l := range links {
		for _, i := range l.Infos {
			// Old versions print empty objects for what they filter out.
			ip, err := netip.ParseAddr(i.Local)
			if err != nil || ip.Is6() != (i.Family == familyV6) || !ip.Is6() && i.Family != familyV4 || i.PrefixLen < 0 || i.PrefixLen > int64(ip.BitLen()) {
				continue
			}
			list = append(list, address{dev: l.Name, addressFacts: addressFacts{
				Family: i.Family, Address: i.Local, PrefixLen: i.PrefixLen, Scope: text(i.Scope), Broadcast: text(i.Broadcast),
				Dynamic: i.Dynamic, Temporary: i.Temporary, Deprecated: i.Deprecated,
			}})
		}
	}
	return list, err
}

// addressesFromLines reads ip -o addr, as BusyBox and old versions print it.
func addressesFromLines(out string) []address {
	var list []address
	for line := range strings.Lines(out) {
		words := strings.Fields(strings.ReplaceAll(line, `\`, " "))
		if len(words) < 4 || words[2] != familyV4 && words[2] != familyV6 {
			continue
		}
		if i := slices.Index(words, "peer"); i > 0 && i+1 < len(words) {
			// The prefix of a point-to-point address stands at the peer.
			_, bits, _ := strings.Cut(words[i+1], "/")
			words[3] += "/" + bits
		}
		prefix, err := netip.ParsePrefix(words[3])
		if err != nil {
			continue
		}
		name, _, _ := strings.Cut(words[1], "@")
		a := address{dev: strings.TrimSuffix(name, ":"), addressFacts: addressFacts{
			Family: words[2], Address: prefix.Addr().String(), PrefixLen: int64(prefix.Bits()),
			Dynamic: slices.Contains(words, "dynamic"), Temporary: slices.Contains(words, "temporary"),
			Deprecated: slices.Contains(words, "deprecated"),
		}}
		for i, word := range words[:len(words)-1] {
			switch word {
			case "scope":
				a.Scope = text(words[i+1])
			case "brd":
				a.Broadcast = text(words[i+1])
			}
		}
		list = append(list, a)
	}
	return list
}

// addressesFromInet6 reads /proc/net/if_inet6: address, index, prefix, scope and flags in hexadecimal, and the name.
func addressesFromInet6(lines []string) []address {
	scopes := map[string]string{"00": "global", "10": "host", "20": "link", "40": "site"}
	var list []address
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 6 {
			continue
		}
		ip, ok := hexIPv6(f[0])
		bits, okBits := hexByte(f[2])
		flags, okFlags := hexByte(f[4])
		if !ok || !okBits || !okFlags || bits > 128 {
			continue
		}
		list = append(list, address{dev: f[5], addressFacts: addressFacts{
			Family: familyV6, Address: ip.String(), PrefixLen: int64(bits), Scope: text(scopes[f[3]]),
			Temporary: flags&0x01 != 0, Deprecated: flags&0x20 != 0, Dynamic: flags&0x80 == 0,
		}})
	}
	return list
}

// addressesFromTrie reads the local addresses of /proc/net/fib_trie, which knows neither interface nor prefix: both
// are those of the connected route that covers the address.
func addressesFromTrie(trie string, b bag) []address {
	connected := procRoutes(b.files["/proc/net/route"])
	var list []address
	last := ""
	seen := map[string]bool{}
	for line := range strings.Lines(trie) {
		line = strings.TrimSpace(line)
		if ip, found := strings.CutPrefix(line, "|-- "); found {
			last = ip
			continue
		}
		if !strings.Contains(line, "/32 host LOCAL") || seen[last] {
			continue
		}
		ip, err := netip.ParseAddr(last)
		if err != nil || !ip.Is4() {
			continue
		}
		seen[last] = true
		a := address{addressFacts: addressFacts{Family: familyV4, Address: last, PrefixLen: 32, Scope: new("global")}}
		if ip.IsLoopback() {
			a.dev, a.PrefixLen, a.Scope = "lo", 8, new("host")
		}
		for _, route := range connected {
			if route.prefix.Contains(ip) && route.Gateway == nil && route.prefix.Bits() > 0 {
				a.dev, a.PrefixLen = deref(route.Dev), int64(route.prefix.Bits())
			}
		}
		if a.dev != "" {
			list = append(list, a)
		}
	}
	return list
}

// setAddresses puts addresses to their interfaces; temporary ones, which a host replaces every day, into the metrics.
func setAddresses(addresses []address, facts map[string]interfaceFacts, metrics map[string]interfaceMetrics) {
	for _, a := range addresses {
		f, known := facts[a.dev]
		if !known {
			continue
		}
		if a.Temporary {
			m := metrics[a.dev]
			m.TemporaryAddresses = sortedSet(append(m.TemporaryAddresses, a.Address))
			metrics[a.dev] = m
			continue
		}
		f.Addresses[a.Address+"/"+strconv.FormatInt(a.PrefixLen, 10)] = a.addressFacts
	}
}

// hexIPv6 reads 32 hexadecimal digits as an address.
func hexIPv6(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(b)), true
}
