package session_test

import (
	"net/netip"
	"testing"

	"github.com/rollcallhq/rollcall/api/internal/session"
)

// FuzzAddress lets anybody write X-Forwarded-For. What is found is an address or nothing, and without a proxy in between it is
// the other end of the connection whatever is written.
func FuzzAddress(f *testing.F) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Add("10.0.0.1:1", "192.0.2.1, 10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:1", "[2001:db8::1%eth0]:80")
	f.Add("@", ",,,")
	f.Add("192.0.2.9:1", "127.0.0.1\r\n10.0.0.1")
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		found := session.Address(proxies, remote, []string{forwarded})
		if found == "" {
			return
		}
		address, err := netip.ParseAddr(found)
		if err != nil || address.Zone() != "" {
			t.Fatalf("Address(%q, %q) = %q, which is no address: %v", remote, forwarded, found, err)
		}
		if direct := session.Address(nil, remote, nil); !proxies[0].Contains(netip.MustParseAddr(direct)) && found != direct {
			t.Errorf("Address(%q, %q) = %s, want %s: no proxy wrote that", remote, forwarded, found, direct)
		}
	})
}
