package collector

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type routeFacts struct {
	Family   string   `json:"family"` // inet or inet6
	Table    string   `json:"table"`
	Dst      string   `json:"dst"` // default, an address, or address/prefixlen
	Metric   int64    `json:"metric"`
	Dev      *string  `json:"dev"`
	Gateway  *string  `json:"gateway"`
	Type     string   `json:"type"` // unicast, blackhole, unreachable …
	Protocol *string  `json:"protocol"`
	Scope    *string  `json:"scope"`
	Src      *string  `json:"src"`
	NextHops []string `json:"nexthops"` // of a multipath route, as "gateway dev weight"; sorted

	prefix netip.Prefix
}

type defaultRoutes struct {
	V4 *defaultRoute `json:"v4"`
	V6 *defaultRoute `json:"v6"`
}

type defaultRoute struct {
	Gateway *string `json:"gw"`
	Dev     *string `json:"dev"`
	Src     *string `json:"src"`
}

// maxRoutes bounds what a report lists of a router's table.
const maxRoutes = 5000

// readRoutes reads the routes that somebody made: the table local repeats the addresses.
func readRoutes(r *reader, b bag) []routeFacts {
	out := r.section("ip_route", "routes", "default", "primary_ip", "primary_mac")
	if !strings.HasPrefix(out, "#inet\n") {
		if ipFailed(out) {
			// The kernel's own tables tell less of a route, and of fewer.
			r.lose(ReasonDenied, "routes", "default", "primary_ip", "primary_mac")
			r.warn("section ip_route: ip failed")
		}
		r.lack(ReasonToolMissing, "routes.*.protocol", "routes.*.scope", "routes.*.src") // the kernel's tables have none of them
		return slices.Concat(procRoutes(b.files["/proc/net/route"]), procRoutes6(b.files["/proc/net/ipv6_route"]))
	}
	parts := splitParts(out, familyV4, familyV6)
	var routes []routeFacts
	for _, family := range []string{familyV4, familyV6} {
		part := strings.TrimSpace(parts[family])
		if part == "" {
			continue // a kernel without that family
		}
		list, err := routesFromJSON(part, family)
		if err != nil && r.reasonFor("ip_route") == "" {
			r.lose(ReasonParseFailed, "routes", "default", "primary_ip", "primary_mac")
			r.warn("section ip_route: parse_failed")
		}
		routes = append(routes, list...)
	}
	return routes
}

// ipFailed reports whether the host has an ip that fails, by what stands in the section ip_route.
func ipFailed(out string) bool { return strings.HasPrefix(out, "#failed\n") }

// routesFromJSON reads ip -j route show table all of one family.
func routesFromJSON(out, family string) ([]routeFacts, error) {
	type hop struct {
		Gateway string `json:"gateway"`
		Dev     string `json:"dev"`
		Weight  int64  `json:"weight"`
	}
	type line struct {
		Type     string          `json:"type"`
		Dst      string          `json:"dst"`
		Gateway  string          `json:"gateway"`
		Via      json.RawMessage `json:"via"`
		Dev      string          `json:"dev"`
		Table    json.RawMessage `json:"table"`
		Protocol string          `json:"protocol"`
		Scope    string          `json:"scope"`
		PrefSrc  string          `json:"prefsrc"`
		Metric   int64           `json:"metric"`
		Hops     []hop           `json:"nexthops"`
	}
	lines, err := decodeList[line](out)
	var routes []routeFacts
	for _, l := range lines {
		table := cmp.Or(strings.Trim(string(l.Table), `"`), "main")
		if table == "local" || l.Dst == "" || l.Type == "multicast" || l.Metric < 0 || l.Metric > math.MaxUint32 {
			continue
		}
		f := routeFacts{
			Family: family, Table: table, Dst: l.Dst, Metric: l.Metric, Dev: text(l.Dev), Gateway: text(l.Gateway),
			Type: cmp.Or(l.Type, "unicast"), Protocol: text(l.Protocol), Scope: text(l.Scope), Src: text(l.PrefSrc),
		}
		var via struct {
			Host string `json:"host"`
		}
		if f.Gateway == nil && len(l.Via) > 0 && json.Unmarshal(l.Via, &via) == nil {
			f.Gateway = text(via.Host)
		}
		var hops []string
		for _, h := range l.Hops {
			hops = append(hops, strings.TrimSpace(h.Gateway+" "+h.Dev)+" "+strconv.FormatInt(h.Weight, 10))
		}
		f.NextHops = sortedSet(hops)
		if len(l.Hops) > 0 && f.Dev == nil {
			first := slices.MinFunc(l.Hops, func(a, b hop) int { return cmp.Or(cmp.Compare(a.Dev, b.Dev), cmp.Compare(a.Gateway, b.Gateway)) })
			f.Dev, f.Gateway = text(first.Dev), text(first.Gateway)
		}
		routes = append(routes, f)
	}
	return routes, err
}

// procRoutes reads /proc/net/route, whose addresses are little-endian words in hexadecimal.
func procRoutes(lines []string) []routeFacts {
	var routes []routeFacts
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		dst, ok1 := hexIPv4(f[1])
		gateway, ok2 := hexIPv4(f[2])
		mask, ok3 := hexIPv4(f[7])
		metric := numberID(f[6])
		if !ok1 || !ok2 || !ok3 || metric == nil {
			continue
		}
		route := routeFacts{
			Family: familyV4, Table: "main", Metric: *metric, Dev: text(f[0]), Type: "unicast", NextHops: []string{},
			prefix: netip.PrefixFrom(dst, maskBits(mask)),
		}
		route.Dst = routeName(route.prefix)
		if !gateway.IsUnspecified() {
			route.Gateway = new(gateway.String())
		}
		routes = append(routes, route)
	}
	return routes
}

// procRoutes6 reads /proc/net/ipv6_route, leaving out what is local, cached, redirected, rejected or multicast.
func procRoutes6(lines []string) []routeFacts {
	const redirected, reject, cache, local = 0x0010, 0x0200, 0x01000000, 0x80000000
	var routes []routeFacts
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 10 || f[9] == "lo" {
			continue
		}
		dst, ok1 := hexIPv6(f[0])
		bits, ok2 := hexByte(f[1])
		gateway, ok3 := hexIPv6(f[4])
		metric, err1 := strconv.ParseUint(f[5], 16, 32)
		flags, err2 := strconv.ParseUint(f[8], 16, 32)
		if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || bits > 128 || dst.IsMulticast() {
			continue
		}
		if flags&(redirected|reject|cache|local) != 0 {
			continue
		}
		route := routeFacts{
			Family: familyV6, Table: "main", Metric: int64(metric), Dev: text(f[9]), Type: "unicast", NextHops: []string{},
			prefix: netip.PrefixFrom(dst, int(bits)),
		}
		route.Dst = routeName(route.prefix)
		if !gateway.IsUnspecified() {
			route.Gateway = new(gateway.String())
		}
		routes = append(routes, route)
	}
	return routes
}

// routeName writes a destination as ip does.
func routeName(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "default"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

// hexIPv4 reads eight hexadecimal digits of a little-endian word as an address.
func hexIPv4(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), true
}

// maskBits counts the leading ones of a netmask.
func maskBits(mask netip.Addr) int {
	bits := 0
	for _, b := range mask.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	return bits
}

// splitRoutes returns the routes that hold until somebody changes them, and counts those that a routing daemon learns and
// forgets with the state of the network. A redirect is no route but what a router said once.
func splitRoutes(routes []routeFacts) (lasting []routeFacts, learned map[string]int64) {
	learned = map[string]int64{}
	for _, route := range routes {
		switch protocol := deref(route.Protocol); protocol {
		case "redirect":
		case "babel", "bgp", "bird", "eigrp", "gated", "isis", "mrt", "openr", "ospf", "rip", "zebra":
			learned[protocol]++
		default:
			lasting = append(lasting, route)
		}
	}
	return lasting, learned
}

// keyRoutes puts routes under their keys. Two routes that differ in less than the key are told apart by their
// gateways. Routes over interfaces of containers come and go with them, and are left out.
func keyRoutes(r *reader, routes []routeFacts) map[string]routeFacts {
	passing := regexp.MustCompile(passingInterface)
	sorted := slices.SortedFunc(slices.Values(routes), func(a, b routeFacts) int {
		return cmp.Or(cmp.Compare(a.key(), b.key()), cmp.Compare(deref(a.Gateway), deref(b.Gateway)), cmp.Compare(deref(a.Src), deref(b.Src)))
	})
	out := map[string]routeFacts{}
	for _, route := range sorted {
		if passing.MatchString(deref(route.Dev)) {
			continue
		}
		if len(out) >= maxRoutes {
			r.lose(ReasonTruncated, "routes")
			break
		}
		key := route.key()
		if _, taken := out[key]; taken {
			key += ":" + deref(route.Gateway)
		}
		out[key] = route
	}
	return out
}

// key is the key of a route: family, table, destination, metric and device.
func (f routeFacts) key() string {
	return strings.Join([]string{f.Family, f.Table, f.Dst, strconv.FormatInt(f.Metric, 10), deref(f.Dev)}, ":")
}

// defaultOf returns the default route of a family that is preferred, and nil if there is none.
func defaultOf(routes []routeFacts, family string) *defaultRoute {
	var best *routeFacts
	for i, route := range routes {
		if route.Family != family || route.Table != "main" || route.Dst != "default" || route.Type != "unicast" {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(route.Metric, best.Metric), cmp.Compare(route.key(), best.key()),
			cmp.Compare(deref(route.Gateway), deref(best.Gateway))) < 0 {
			best = &routes[i]
		}
	}
	if best == nil {
		return nil
	}
	return &defaultRoute{Gateway: best.Gateway, Dev: best.Dev, Src: best.Src}
}
