package command

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestWhen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		at   time.Time
		want string
	}{
		{time.Time{}, ""},
		{now, "0s ago"},
		{now.Add(-59 * time.Second), "59s ago"},
		{now.Add(-61 * time.Second), "1m01s ago"},
		{now.Add(-25 * time.Hour), "25h00m ago"},
		{now.Add(-49 * time.Hour), "2d ago"},
		{now.Add(90 * time.Minute), "in 1h30m"},
		{now.Add(-40 * 24 * time.Hour), "2026-01-20 12:00Z"},
	} {
		if got := when(test.at, now); got != test.want {
			t.Errorf("when(%s) = %q, want %q", test.at, got, test.want)
		}
	}
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got := flatten(wire.Report{
		Facts:       json.RawMessage(`{"b":{"x:1":["<a>",2],"none":null},"a":18446744073709551615,"c":"text"}`),
		Metrics:     json.RawMessage(`{"a":1.5}`),
		Unavailable: map[string]string{"bios": "not_applicable"},
		Since:       map[string]time.Time{"a": at},
	})
	want := []value{
		{part: "facts", path: "a", text: "18446744073709551615"},
		{part: "facts", path: `b."x:1"`, text: `["<a>",2]`},
		{part: "facts", path: "c", text: "text"},
		{part: "metrics", path: "a", text: "1.5"},
		{part: "unavailable", path: "bios", text: "not_applicable"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if got[0].since == nil || !got[0].since.Equal(at) {
		t.Errorf("the first holds since %v, want %v", got[0].since, at)
	}
	got[0].since = nil
	for i, v := range got {
		if v != want[i] {
			t.Errorf("got %v, want %v", v, want[i])
		}
	}
	if got := flatten(wire.Report{Facts: json.RawMessage(`{}`), Metrics: json.RawMessage(`null`)}); len(got) != 1 || got[0].text != "{}" {
		t.Errorf("got %v of no facts, want one empty object", got)
	}
}

func TestPickKey(t *testing.T) {
	t.Parallel()
	trusted := wire.HostKey{ID: uuid.New(), Fingerprint: "SHA256:a", State: "trusted"}
	changed := wire.HostKey{ID: uuid.New(), Fingerprint: "SHA256:b", State: "changed"}
	pending := wire.HostKey{ID: uuid.New(), Fingerprint: "SHA256:c", State: "pending"}
	for _, test := range []struct {
		title string
		keys  []wire.HostKey
		name  string
		want  string // fingerprint; empty: an error
	}{
		{"by its fingerprint", []wire.HostKey{trusted, changed}, "SHA256:a", "SHA256:a"},
		{"by its ID", []wire.HostKey{trusted, changed}, changed.ID.String(), "SHA256:b"},
		{"the only one that waits", []wire.HostKey{trusted, changed}, "", "SHA256:b"},
		{"none that waits", []wire.HostKey{trusted}, "", ""},
		{"several that wait", []wire.HostKey{changed, pending}, "", ""},
		{"one that was never shown", []wire.HostKey{trusted}, "SHA256:x", ""},
		{"the zero ID is no key's", []wire.HostKey{trusted}, uuid.Nil.String(), ""},
	} {
		t.Run(test.title, func(t *testing.T) {
			t.Parallel()
			key, err := pickKey(test.keys, test.name)
			if (err != nil) != (test.want == "") || key.Fingerprint != test.want {
				t.Errorf("got %v, %v; want %q", key, err, test.want)
			}
		})
	}
}

func TestLinesOfProgress(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := time.Unix(1000, 0)
	l := &lines{out: &out, now: func() time.Time { return now }}
	show := func(succeeded int) {
		l.show(wire.Collection{Counts: wire.Counts{Total: 100, Succeeded: succeeded}})
	}
	show(0)
	show(1) // less than a tenth, and at once
	show(10)
	now = now.Add(lineEvery)
	show(11) // a while later
	show(100)
	want := "0 of 100 hosts done\n10 of 100 hosts done\n11 of 100 hosts done\n100 of 100 hosts done\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestPasswordsTravelInTheOpen(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]bool{
		"http://127.0.0.1:8080": false, "http://[::1]:8080": false, "http://localhost": false, "https://example.com": false,
		"http://example.com": true, "http://192.0.2.1:8080": true,
	} {
		if got := isOpen(base); got != want {
			t.Errorf("isOpen(%q) = %v, want %v", base, got, want)
		}
	}
}
