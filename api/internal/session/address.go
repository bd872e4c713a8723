package session

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/account"
)

// Client returns where the request comes from, for signing in.
func (g *Guard) Client(r *http.Request) account.Client {
	return account.Client{Address: g.ClientAddress(r), UserAgent: r.UserAgent()}
}

// ClientAddress returns the IP address that the request comes from, without port and zone, or nothing if it comes from
// none, as over a Unix socket. X-Forwarded-For is read from its end for as long as those who wrote it are trusted
// proxies: what stands before that anybody can have written.
func (g *Guard) ClientAddress(r *http.Request) string {
	address := remote(r)
	if !address.IsValid() {
		return ""
	}
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for g.trusted(address) && forwarded != "" {
		i := strings.LastIndexByte(forwarded, ',')
		before, ok := parseAddress(forwarded[i+1:])
		if !ok {
			break
		}
		address = before
		forwarded = forwarded[:max(i, 0)]
	}
	return address.String()
}

// remote returns the other end of the connection; the zero address is none.
func remote(r *http.Request) netip.Addr {
	address, _ := parseAddress(r.RemoteAddr)
	return address
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

func (g *Guard) trusted(address netip.Addr) bool {
	for _, proxy := range g.proxies {
		if proxy.Contains(address) {
			return true
		}
	}
	return false
}
