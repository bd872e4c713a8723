package collector_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestAPlanSendsWhatItsTypesNeed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		types []string
		want  string
	}{
		{"one type", []string{"memory"}, "id mem"},
		{"two types in any order", []string{"memory", "cpu"}, "id cpu mem"},
		{"a type named twice", []string{"cpu", "cpu"}, "id cpu"},
		{"the operating system", []string{"os"}, "id os dmi virt timesync kernels fqdn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, collector.Options{}, tt.types...)
			lines := strings.SplitN(string(p.Script()), "\n", 3)
			if lines[0] != "#BEGIN-"+p.Nonce() || lines[1] != "#SECTIONS "+tt.want {
				t.Errorf("the script starts with %q and %q", lines[0], lines[1])
			}
			if got := strings.Join(p.Sections(), " "); got != tt.want {
				t.Errorf("Sections = %q, want %q", got, tt.want)
			}
			if len(p.Types()) != len(slices.Compact(tt.types)) {
				t.Errorf("Types = %q of %q", p.Types(), tt.types)
			}
		})
	}
}

func TestAPlanIsRefusedForWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		types []string
		nonce string
	}{
		{"no type at all", nil, ""},
		{"an unknown type", []string{"os", "shadow"}, ""},
		{"a nonce that would leave its place", []string{"os"}, `0/p;1,$p";reboot;"`},
		{"a nonce in capitals", []string{"os"}, strings.Repeat("A", 32)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := collector.NewPlan(tt.types, collector.Options{Nonce: tt.nonce})
			if got := fleet.KindOf(err); got != fleet.Invalid {
				t.Errorf("NewPlan = %v (kind %d), want kind Invalid", err, got)
			}
		})
	}
}

func TestEveryPlanHasANonceOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b := plan(t, collector.Options{}), plan(t, collector.Options{})
	if a.Nonce() == b.Nonce() || len(a.Nonce()) != 32 {
		t.Errorf("nonces %q and %q", a.Nonce(), b.Nonce())
	}
	if !strings.Contains(a.Command(), a.Nonce()) || bytes.Contains(a.Script(), []byte(b.Nonce())) {
		t.Error("command and script do not share the nonce")
	}
}

func TestTheDeadlineIsInWholeSeconds(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{
		0: time.Minute, time.Millisecond: time.Second, 2 * time.Second: 2 * time.Second, 2500 * time.Millisecond: 3 * time.Second,
	} {
		if got := plan(t, collector.Options{Deadline: given}).Deadline(); got != want {
			t.Errorf("a deadline of %v became %v, want %v", given, got, want)
		}
	}
}

func TestMaxOutputIsBounded(t *testing.T) {
	t.Parallel()
	if got := plan(t, collector.Options{HostCap: 1 << 20}).MaxOutput(); got != 1<<20 {
		t.Errorf("MaxOutput = %d with a host cap of 1 MiB", got)
	}
	one, all := plan(t, collector.Options{}, "memory").MaxOutput(), plan(t, collector.Options{}).MaxOutput()
	if one < 256<<10 || one >= all || all > 32<<20 {
		t.Errorf("MaxOutput = %d for memory and %d for all", one, all)
	}
}

func TestTheBuiltinTypesAreFoundByName(t *testing.T) {
	t.Parallel()
	numbers := map[string]int16{
		"os": 1, "cpu": 2, "memory": 3, "disks": 4, "network": 5, "packages": 6, "services": 7, "users": 8, "ports": 9,
	}
	for _, want := range collector.Builtin() {
		got, ok := collector.Lookup(want.Name)
		if !ok || got.Number != numbers[want.Name] || got.SchemaVersion < 1 {
			t.Errorf("Lookup(%q) = number %d, version %d, %v", want.Name, got.Number, got.SchemaVersion, ok)
		}
	}
	if _, ok := collector.Lookup("nothing"); ok {
		t.Error("Lookup finds what does not exist")
	}
}
