package work_test

import (
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/worker/work"
)

func TestRead(t *testing.T) {
	t.Parallel()
	_, open, err := secret.GenerateKeyPair("default")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		set   []string
		named string // empty: accepted
	}{
		{"the defaults", nil, ""},
		{"no opening keys", []string{"ROLLCALL_OPEN_KEYS="}, "ROLLCALL_OPEN_KEYS"},
		{"opening keys that are none", []string{"ROLLCALL_OPEN_KEYS=default/x:AAAA"}, "ROLLCALL_OPEN_KEYS"},
		{"a site without a key", []string{"ROLLCALL_SITES=default,fra1"}, "fra1"},
		{"a site that is no name", []string{"ROLLCALL_SITES=De fault"}, "ROLLCALL_SITES"},
		{"no slots", []string{"ROLLCALL_WORKER_CONCURRENCY=abc"}, `"abc" is not a whole number`},
		{"local that is neither", []string{"ROLLCALL_LOCAL=perhaps"}, "ROLLCALL_LOCAL"},
		{"an address that is none", []string{"ROLLCALL_OPS_ADDR=9180"}, "ROLLCALL_OPS_ADDR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			environ := append([]string{"DATABASE_URL=postgres://u:p@h/d", "REDIS_URL=redis://h:6379/0", "ROLLCALL_OPEN_KEYS=" + open}, tt.set...)
			c, err := work.Read(environ)
			if tt.named == "" {
				if err != nil || c.Concurrency != 200 || c.Local || c.OpsAddr != ":9180" {
					t.Errorf("Read = %+v, %v", c, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.named) {
				t.Errorf("Read = %v, want %s named", err, tt.named)
			}
		})
	}
}
