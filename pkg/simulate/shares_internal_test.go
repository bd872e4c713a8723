package simulate

import (
	"math"
	"slices"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestSharesChooseHosts(t *testing.T) {
	t.Parallel()
	all := Shares{
		Dead: 0.02, Mute: 0.01, Hang: 0.01, ResetAtAccept: 0.01, ResetInHandshake: 0.01, ResetInAnswer: 0.01,
		Drip: 0.01, Endless: 0.01, Auth: 0.01, Noise: 0.05, WrongKey: 0.03,
	}
	tests := []struct {
		name   string
		hosts  int
		shares Shares
		want   map[Fault]int // "noise" and "key" stand for those two
	}{
		{"none misbehave by default", 100, Shares{}, map[Fault]int{"": 100}},
		{"a share is exact", 1000, all, map[Fault]int{
			"": 820, FaultDead: 20, FaultMute: 10, FaultHang: 10, FaultResetAtAccept: 10, FaultResetInHandshake: 10,
			FaultResetInAnswer: 10, FaultDrip: 10, FaultEndless: 10, FaultAuth: 10, "noise": 50, "key": 30,
		}},
		{"a share is one host at least", 20, Shares{Dead: 0.001}, map[Fault]int{"": 19, FaultDead: 1}},
		{"all hosts", 7, Shares{Noise: 1}, map[Fault]int{"noise": 7}},
		{"thirds", 3, Shares{Dead: 1.0 / 3, Mute: 1.0 / 3, Hang: 1.0 / 3}, map[Fault]int{FaultDead: 1, FaultMute: 1, FaultHang: 1}},
		{"more rounded shares than hosts", 1, Shares{Dead: 0.5, Mute: 0.5}, map[Fault]int{FaultDead: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := Options{Hosts: tt.hosts, Seed: 3, Shares: tt.shares}
			if err := tt.shares.check(); err != nil {
				t.Fatal(err)
			}
			got := map[Fault]int{}
			list := behaviours(o)
			for _, b := range list {
				kind := b.Fault
				if b.Noise {
					kind += "noise"
				}
				if b.NextKeyAfter == 1 {
					kind += "key"
				}
				got[kind]++
			}
			for kind, want := range tt.want {
				if got[kind] != want {
					t.Errorf("%d hosts are %q, want %d", got[kind], kind, want)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("hosts = %v, want %v", got, tt.want)
			}
			if !slices.Equal(list, behaviours(o)) {
				t.Error("the same options choose other hosts")
			}
		})
	}
	one := behaviours(Options{Hosts: 1000, Seed: 1, Shares: all})
	if slices.Equal(one, behaviours(Options{Hosts: 1000, Seed: 2, Shares: all})) {
		t.Error("another seed chooses the same hosts")
	}
}

func TestSharesOutOfRange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		shares Shares
		field  string
	}{
		{"a negative share", Shares{Mute: -0.1}, "mute"},
		{"more than all", Shares{Endless: 1.1}, "endless"},
		{"no number", Shares{WrongKey: math.NaN()}, "wrong_key"},
		{"more than all together", Shares{Dead: 0.6, Noise: 0.6}, "shares"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := Start(t.Context(), Options{Hosts: 1, Shares: tt.shares})
			if fields := fleet.FieldsOf(err); f != nil || len(fields) != 1 || fields[0].Field != tt.field {
				t.Errorf("Start = %v, %v, want Invalid about %s", f, err, tt.field)
			}
		})
	}
}

// The expectations are those of sshd's should_drop_connection, for 10:30:100.
func TestStartupsDropAsSSHDDoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		limit   Startups
		others  int64
		percent int // of connections that are dropped
	}{
		{"no limit", Startups{}, 1000, 0},
		{"below the start", Startups{10, 30, 100}, 9, 0},
		{"at the start", Startups{10, 30, 100}, 10, 30},
		{"half-way", Startups{10, 30, 100}, 55, 65},
		{"just below full", Startups{10, 30, 100}, 99, 99},
		{"full", Startups{10, 30, 100}, 100, 100},
		{"a rate of all", Startups{10, 100, 100}, 10, 100},
		{"start and full are the same", Startups{5, 30, 5}, 5, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dropped := 0
			for dice := range int64(100) {
				if tt.limit.drops(tt.others, func() int64 { return dice }) {
					dropped++
				}
			}
			if dropped != tt.percent {
				t.Errorf("%d %% are dropped, want %d", dropped, tt.percent)
			}
		})
	}
}

func TestTheDiceAreFair(t *testing.T) {
	t.Parallel()
	h := &host{random: derive(1, "facts", 0)}
	const throws = 10_000
	low := 0
	for n := range int64(throws) {
		if dice := h.dice(n); dice < 0 || dice > 99 {
			t.Fatalf("dice(%d) = %d, want 0 to 99", n, dice)
		} else if dice < 30 {
			low++
		}
	}
	if room := 5 * math.Sqrt(throws*0.3*0.7); math.Abs(float64(low)-throws*0.3) > room {
		t.Errorf("%d of %d throws are below 30, want %d within %.0f", low, throws, throws*3/10, room)
	}
}

func TestReadStartups(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       Startups // zero: refused
	}{
		{"as sshd has it", "10:30:100", Startups{10, 30, 100}},
		{"one number", "7", Startups{7, 100, 7}},
		{"nothing", "", Startups{}},
		{"nobody", "0", Startups{}},
		{"zeros", "0:0:0", Startups{}},
		{"two numbers", "10:30", Startups{}},
		{"four numbers", "1:2:3:4", Startups{}},
		{"a word", "10:many:100", Startups{}},
		{"a rate above all", "10:101:100", Startups{}},
		{"full before the start", "10:30:9", Startups{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got Startups
			err := got.UnmarshalText([]byte(tt.text))
			if (err != nil) != (tt.want == Startups{}) || got != tt.want {
				t.Errorf("UnmarshalText(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
			}
		})
	}
}
