package collector

import (
	"cmp"
	"slices"
)

// networkFacts are what seldom changes about the network. null means unknown.
type networkFacts struct {
	Interfaces      map[string]interfaceFacts `json:"interfaces"` // by name, without those of containers
	Routes          map[string]routeFacts     `json:"routes"`     // by family, table, destination, metric and device, without learned ones
	Default         defaultRoutes             `json:"default"`
	PrimaryIP       *string                   `json:"primary_ip"`
	PrimaryMAC      *string                   `json:"primary_mac"`
	DNS             dnsFacts                  `json:"dns"`
	HostsFileSHA256 *string                   `json:"hosts_file_sha256"`
	Forwarding      forwardingFacts           `json:"forwarding"`
	Firewall        firewallFacts             `json:"firewall"`
}

type forwardingFacts struct {
	V4 *bool `json:"v4"`
	V6 *bool `json:"v6"`
}

// networkMetrics are what always changes.
type networkMetrics struct {
	Interfaces map[string]interfaceMetrics `json:"interfaces"`     // by name
	Collapsed  map[string]int64            `json:"collapsed"`      // interfaces of containers and guests, by kind
	Learned    map[string]int64            `json:"learned_routes"` // routes of routing daemons, by protocol
	Sockets    socketMetrics               `json:"sockets_summary"`
}

type socketMetrics struct {
	Established *int64 `json:"established"`
	TimeWait    *int64 `json:"time_wait"`
	Orphaned    *int64 `json:"orphaned"`
	TCP         *int64 `json:"tcp"` // in use, of the old family
	TCP6        *int64 `json:"tcp6"`
	UDP         *int64 `json:"udp"`
	UDP6        *int64 `json:"udp6"`
}

// readNetwork makes the report of type network.
func readNetwork(r *reader) (facts, metrics any) {
	content, ok := r.needs("net", "*")
	if !ok {
		return nil, nil
	}
	b := readBag(content)
	f := networkFacts{Forwarding: forwardingFacts{
		V4: flag(b.first("/proc/sys/net/ipv4/ip_forward")), V6: flag(b.first("/proc/sys/net/ipv6/conf/all/forwarding")),
	}}
	m := networkMetrics{Sockets: readSockets(b)}
	f.Interfaces, m.Interfaces, m.Collapsed = readInterfaces(r, b)
	if len(f.Interfaces) == 0 && len(m.Collapsed) == 0 {
		r.failWith("net", ReasonParseFailed)
		return nil, nil
	}
	addresses := readAddresses(r, b)
	setAddresses(addresses, f.Interfaces, m.Interfaces)
	routes := readRoutes(r, b)
	lasting, learned := splitRoutes(routes)
	f.Routes, m.Learned = keyRoutes(r, lasting), learned
	f.Default = defaultRoutes{V4: defaultOf(routes, familyV4), V6: defaultOf(routes, familyV6)}
	f.setPrimary(addresses)
	f.DNS, f.HostsFileSHA256 = readDNS(r)
	f.Firewall = readFirewall(r)
	return f, m
}

// inOrderOfChoice returns addresses in the order in which one may be called the host's: those in use before those that are
// running out, those of IPv4 as the kernel has them, those of IPv6, whose order follows their renewals, by value.
func inOrderOfChoice(addresses []address) []address {
	return slices.SortedStableFunc(slices.Values(addresses), func(a, b address) int {
		if a.Deprecated != b.Deprecated {
			if a.Deprecated {
				return 1
			}
			return -1
		}
		if a.Family == familyV6 && b.Family == familyV6 {
			return cmp.Compare(a.Address, b.Address)
		}
		return cmp.Compare(a.Family, b.Family)
	})
}

// setPrimary picks the address by which the host speaks to the rest of the world.
func (f *networkFacts) setPrimary(addresses []address) {
	addresses = inOrderOfChoice(addresses)
	for _, route := range []*defaultRoute{f.Default.V4, f.Default.V6} {
		if route == nil || route.Dev == nil {
			continue
		}
		family := familyV4
		if route == f.Default.V6 {
			family = familyV6
		}
		f.PrimaryIP = route.Src
		for _, a := range addresses {
			if f.PrimaryIP == nil && a.dev == *route.Dev && a.Family == family && deref(a.Scope) == "global" && !a.Temporary {
				f.PrimaryIP = new(a.Address)
			}
		}
		f.PrimaryMAC = f.Interfaces[*route.Dev].MAC
		if f.PrimaryIP != nil {
			return
		}
	}
}
