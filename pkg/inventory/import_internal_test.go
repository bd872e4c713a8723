package inventory

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// FuzzDecodeLine reads a line of an import. Its errors are the sender's, never the server's.
func FuzzDecodeLine(f *testing.F) {
	f.Add([]byte(`{"name":"web-1","address":"192.0.2.1","labels":{"env":"prod"},"credential":{"kind":"password","username":"root","password":"p"}}`))
	f.Add([]byte(`{"name":"web-1","port":1e9,"ssh":{"become":"sudo"}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		given, err := decodeLine(line)
		if err != nil {
			if kind := fleet.KindOf(err); kind != fleet.Invalid {
				t.Errorf("%q is refused as %v: %v", line, kind, err)
			}
			return
		}
		if err := checkHost(withDefaults(given.apply(fleet.Host{Enabled: true}))); err != nil && fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q is refused as %v: %v", line, fleet.KindOf(err), err)
		}
	})
}
