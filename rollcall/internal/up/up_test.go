package up

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestKeysAreMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	o := Options{Data: t.TempDir()}
	first, err := loadKeys(o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadKeys(o)
	if err != nil || first != second {
		t.Errorf("the second start has other keys: %v", err)
	}
	info, err := os.Stat(filepath.Join(o.Data, "keys.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys = %v, %v; want it for its owner alone", info.Mode(), err)
	}
	given, err := loadKeys(Options{Data: o.Data, SigningKey: "given"})
	if err != nil || given.Signing != "given" || given.Seal != first.Seal {
		t.Errorf("a given key = %v, %v", given.Signing, err)
	}
	if _, err := loadKeys(Options{Data: o.Data, SealKeys: "only"}); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("half a pair = %v", err)
	}
	if err := os.WriteFile(filepath.Join(o.Data, "keys.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKeys(o); err == nil || !strings.Contains(err.Error(), "keys.json") {
		t.Errorf("a broken file = %v; it must never be replaced silently", err)
	}
}

func TestInShort(t *testing.T) {
	t.Parallel()
	tests := []struct{ reportType, facts, metrics, want string }{
		{"os", `{"hostname":"web-1","pretty_name":"Debian 12","arch":"x86_64","kernel":{"release":"6.1"}}`, `{"uptime_seconds":7200}`, "web-1, Debian 12, kernel 6.1, x86_64, up 2.0 h"},
		{"os", `{"hostname":null}`, `{"uptime_seconds":864000}`, "up 10 days"},
		{"cpu", `{"model":"M","online":4}`, `{"load1":0.5}`, "4 online, M, load 0.50"},
		{"memory", `{"total":2147483648}`, `{"available":1073741824}`, "2.0 GiB, 1.0 GiB available"},
		{"disks", `{"filesystems":{"/":{"fstype":"ext4","size":1000}}}`, `{"filesystems":{"/":{"used":250}}}`, "/ ext4 1000.0 B, 25 % used, 1 file systems"},
		{"network", `{"primary_ip":"192.0.2.1","interfaces":{"lo":{},"eth0":{}}}`, ``, "192.0.2.1, 2 interfaces: eth0 lo"},
		{"packages", `{"managers":{"snap":2,"dpkg":880,"rpm":null}}`, `{"managers":{"dpkg":{"db_mtime":1}}}`, "880 of dpkg, 2 of snap"},
		{"services", `{"manager":"systemd","services":{"a":{"state":"running"},"b":{"state":"failed"},"c":{"state":null}}}`, `{"services":{"a":{}}}`, "systemd, 3 services, 1 running, 1 failed"},
		{"users", `{"users":{"root":{"login_allowed":true,"admin":true},"www":{"login_allowed":false}}}`, `{"users":{"root":{}}}`, "2 accounts, 1 may log in, 1 may become root"},
		{"ports", `{"listening":{"a":{"exposure":"any"},"b":{"exposure":"loopback"}}}`, `{"listening":{"a":{"pid":1}}}`, "2 listening, 1 of them to other machines"},
		{"cpu", `not json`, ``, ""},
		{"custom", `{}`, ``, "2 bytes of facts"},
	}
	for _, tt := range tests {
		if got := inShort(fleet.Report{Type: tt.reportType, Facts: []byte(tt.facts), Metrics: []byte(tt.metrics)}); got != tt.want {
			t.Errorf("inShort of %s = %q, want %q", tt.reportType, got, tt.want)
		}
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "[::]:80": "http://localhost:80", "0.0.0.0:1": "http://localhost:1", "[::1]:2": "http://[::1]:2",
	} {
		if got := (&run{http: address}).url(); got != want {
			t.Errorf("url of %s = %s, want %s", address, got, want)
		}
	}
}
