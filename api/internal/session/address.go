package session

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/account"
)

// Client returns where the request comes from, for signing in.
func (g *Guard) Client(r *http.Request) account.Client {
	return account.Client{Address: g.ClientAddress(r), UserAgent: r.UserAgent()}
}

// ClientAddress returns the IP address that the request comes from, as Address finds it.
func (g *Guard) ClientAddress(r *http.Request) string {
	return Address(g.proxies, r.RemoteAddr, r.Header.Values("X-Forwarded-For"))
}

// maxForwarded bounds how much of X-Forwarded-For is read, from its end.
const maxForwarded = 4 << 10

// Address returns the IP address that a call comes from, without port and zone, or nothing if it comes from none, as over
// a Unix socket. remote is the other end of the connection, forwarded the values of X-Forwarded-For, which are read from
// their end for as long as those who wrote them are among the proxies: what stands before that anybody can have written.
func Address(proxies []netip.Prefix, remote string, forwarded []string) string {
	address, ok := parseAddress(remote)
	if !ok {
		return ""
	}
	if !contains(proxies, address) {
		return address.String()
	}
	written := strings.Join(forwarded, ",")
	written = written[max(0, len(written)-maxForwarded):]
	for contains(proxies, address) && written != "" {
		i := strings.LastIndexByte(written, ',')
		before, ok := parseAddress(written[i+1:])
		if !ok {
			break
		}
		address = before
		written = written[:max(i, 0)]
	}
	return address.String()
}

// parseAddress reads an address with or without a port, as proxies write both.
func parseAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return address.Unmap().WithZone(""), err == nil
}

func (g *Guard) trusted(remote string) bool {
	address, ok := parseAddress(remote)
	return ok && contains(g.proxies, address)
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(address) })
}
