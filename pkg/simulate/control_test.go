package simulate_test

import (
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/simulate"
)

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 1})
	ended := start(t, simulate.Options{Hosts: 1})
	_ = ended.Close()
	tests := []struct {
		name      string
		fleet     *simulate.Fleet
		host      string
		behaviour simulate.Behaviour
		want      fleet.Kind
		field     string
	}{
		{"an unknown host", f, "sim-0002", simulate.Behaviour{}, fleet.NotFound, ""},
		{"a number that is spelt otherwise", f, "sim-1", simulate.Behaviour{}, fleet.NotFound, ""},
		{"an unknown fault", f, "sim-0001", simulate.Behaviour{Fault: "moody"}, fleet.Invalid, "fault"},
		{"a negative latency", f, "sim-0001", simulate.Behaviour{Latency: -1}, fleet.Invalid, "latency"},
		{"a latency of days", f, "sim-0001", simulate.Behaviour{Latency: 25 * time.Hour}, fleet.Invalid, "latency"},
		{"a negative drip", f, "sim-0001", simulate.Behaviour{DripEvery: -1}, fleet.Invalid, "drip_every"},
		{"a negative key", f, "sim-0001", simulate.Behaviour{Key: -1}, fleet.Invalid, "key"},
		{"a key after fewer than no executions", f, "sim-0001", simulate.Behaviour{NextKeyAfter: -1}, fleet.Invalid, "next_key_after"},
		{"a limit that lets nobody in", f, "sim-0001", simulate.Behaviour{MaxStartups: simulate.Startups{Full: 1}}, fleet.Invalid, "max_startups"},
		{"a fleet that has ended", ended, "sim-0001", simulate.Behaviour{}, fleet.Unavailable, ""},
	}
	before := f.Hosts()[0].Behaviour
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.fleet.Set(tt.host, tt.behaviour)
			if fleet.KindOf(err) != tt.want {
				t.Errorf("Set = %v, want the kind %v", err, tt.want)
			}
			if fields := fleet.FieldsOf(err); tt.field != "" && (len(fields) != 1 || fields[0].Field != tt.field) {
				t.Errorf("Set = %v, want it to be about %s", err, tt.field)
			}
			if after, ok := f.Host("sim-0001"); !ok || after.Behaviour != before {
				t.Errorf("the host behaves as %+v after a refusal, want %+v", after.Behaviour, before)
			}
		})
	}
	if _, ok := f.Host("sim-0002"); ok {
		t.Error("Host finds a host that is not there")
	}
	if _, err := ended.ChangeKey("sim-0001"); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("ChangeKey of a fleet that has ended = %v, want Unavailable", err)
	}
}

// Behaviours change, hosts die and the fleet ends, all at once.
func TestSetWhileTheFleetEnds(t *testing.T) {
	t.Parallel()
	f := start(t, simulate.Options{Hosts: 8, Shares: simulate.Shares{Dead: 0.5}})
	done := make(chan struct{})
	for _, h := range f.Hosts() {
		go func() {
			defer func() { done <- struct{}{} }()
			for fault := simulate.FaultDead; ; {
				if err := f.Set(h.Name, simulate.Behaviour{Fault: fault}); err != nil {
					if fleet.KindOf(err) != fleet.Unavailable {
						t.Errorf("Set = %v, want only Unavailable, at the end", err)
					}
					return
				}
				if fault == "" {
					fault = simulate.FaultDead
				} else {
					fault = ""
				}
			}
		}()
	}
	for range 20 {
		_, _, _ = tryCollect(t, f, f.Hosts()[0]) // whatever it finds
	}
	_ = f.Close()
	for range 8 {
		<-done
	}
}
