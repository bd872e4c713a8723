package serve_test

import (
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/api/serve"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

func TestRead(t *testing.T) {
	t.Parallel()
	seal, _, err := secret.GenerateKeyPair("default")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		set   []string
		named string // empty: accepted
	}{
		{"the defaults", nil, ""},
		{"no signing key", []string{"ROLLCALL_SIGNING_KEY="}, "ROLLCALL_SIGNING_KEY"},
		{"a short signing key", []string{"ROLLCALL_SIGNING_KEY=tooshort"}, "ROLLCALL_SIGNING_KEY"},
		{"no sealing keys", []string{"ROLLCALL_SEAL_KEYS="}, "ROLLCALL_SEAL_KEYS"},
		{"sealing keys that are none", []string{"ROLLCALL_SEAL_KEYS=default"}, "ROLLCALL_SEAL_KEYS"},
		{"an unknown door", []string{"ROLLCALL_DOORS=rest,window"}, "ROLLCALL_DOORS"},
		{"a short password", []string{"ROLLCALL_ADMIN_PASSWORD=short"}, "ROLLCALL_ADMIN_PASSWORD"},
		{"a proxy that is no network", []string{"ROLLCALL_TRUSTED_PROXIES=10.0.0.1"}, "ROLLCALL_TRUSTED_PROXIES"},
		{"a rate that is none", []string{"ROLLCALL_RATE_LIMIT=fast"}, "ROLLCALL_RATE_LIMIT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{
				"DATABASE_URL=postgres://u:p@h/d", "REDIS_URL=redis://h:6379/0", "ROLLCALL_SEAL_KEYS=" + seal,
				"ROLLCALL_SIGNING_KEY=0123456789abcdef0123456789abcdef",
			}, tt.set...)
			c, err := serve.Read(environ)
			if tt.named == "" {
				if err != nil || c.HTTPAddr != ":8080" || len(c.Doors) != len(serve.AllDoors()) {
					t.Errorf("Read = %+v, %v", c, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.named) {
				t.Errorf("Read = %v, want %s named", err, tt.named)
			}
			if strings.Contains(err.Error(), "tooshort") || strings.Contains(err.Error(), "=short") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}
