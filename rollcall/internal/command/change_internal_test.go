package command

import (
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestParseMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	for _, test := range []struct {
		text string
		want time.Time // zero: refused
	}{
		{"now", now},
		{"90m", now.Add(-90 * time.Minute)},
		{"24h", now.Add(-24 * time.Hour)},
		{"7d", now.Add(-7 * 24 * time.Hour)},
		{"1d12h", now.Add(-36 * time.Hour)},
		{"0s", now},
		{"2026-01-31", time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)},
		{"2026-01-31T15:04:05Z", time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)},
		{"2026-01-31T15:04:05.25+02:00", time.Date(2026, 1, 31, 13, 4, 5, 250_000_000, time.UTC)},
		{"2026-01-31T15:04Z", time.Date(2026, 1, 31, 15, 4, 0, 0, time.UTC)},
		{"2026-01-31 15:04Z", time.Date(2026, 1, 31, 15, 4, 0, 0, time.UTC)}, // as we print it
		{"2026-01-31 15:04:05Z", time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)},
		{"", time.Time{}},
		{"d", time.Time{}},
		{"-1h", time.Time{}},
		{"1.5d", time.Time{}},
		{"99999d", time.Time{}},
		{"36500d9999999h", time.Time{}},
		{"yesterday", time.Time{}},
		{"2026-02-30", time.Time{}},
		{"2026-01-31T15:04:05", time.Time{}},
	} {
		got, err := parseMoment(test.text, now)
		if (err != nil) != test.want.IsZero() || !got.Equal(test.want) {
			t.Errorf("%q is %v, %v; want %v", test.text, got, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), "24h, 7d") {
			t.Errorf("the refusal of %q does not say what a time is: %v", test.text, err)
		}
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"300": 5 * time.Minute, "5m": 5 * time.Minute, "1h": time.Hour, "1d": day, "0": 0, "1500ms": 0, "-5": 0, "x": 0, "500ms": 0, "": 0,
	} {
		var s step
		err := s.UnmarshalText([]byte(text))
		if (err != nil) != (want == 0) || time.Duration(s) != want {
			t.Errorf("%q is %s, %v; want %s", text, time.Duration(s), err, want)
		}
	}
}

func TestStepOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		since, until time.Duration // ago; 0: not given
		want         time.Duration
	}{
		{0, 0, time.Hour},
		{10 * time.Minute, 0, time.Minute},
		{7 * day, 0, 12 * time.Hour},
		{30 * day, 6 * day, day},
		{90 * day, 0, 7 * day},
		{10000 * day, 0, 28 * day},
	} {
		q := client.MetricQuery{}
		if test.since > 0 {
			q.Since = now.Add(-test.since)
		}
		if test.until > 0 {
			q.Until = now.Add(-test.until)
		}
		if got := stepOf(q, now); got != test.want {
			t.Errorf("from %s to %s ago it is %s, want %s", test.since, test.until, got, test.want)
		}
	}
}

func TestDifferencesForPeople(t *testing.T) {
	t.Parallel()
	long := func(end string) string { return `"` + strings.Repeat("x", 50) + end + `"` }
	for _, test := range []struct {
		name, kind, before, after string
		most                      int
		want                      string
	}{
		{name: "words stand without quotes", kind: "changed", before: `"3.0.11-1~deb12u2"`, after: `"3.0.13"`, want: "3.0.11-1~deb12u2 → 3.0.13"},
		{name: "what reads as something else is quoted", kind: "changed", before: `"true"`, after: `true`, want: `"true" → true`},
		{name: "what has spaces is quoted", kind: "changed", before: `""`, after: `"Debian GNU/Linux 12"`, want: `"" → "Debian GNU/Linux 12"`},
		{name: "null is a value", kind: "changed", before: `null`, after: `0`, want: "null → 0"},
		{name: "what was added has no former value", kind: "added", before: `null`, after: `{"b":1,"a":"\u003c"}`, want: `added {"a":"<","b":1}`},
		{name: "what was removed has none now", kind: "removed", before: `["a","b"]`, after: `null`, want: `removed ["a","b"]`},
		{name: "large numbers stay", kind: "changed", before: `18446744073709551615`, after: `1`, want: "18446744073709551615 → 1"},
		{name: "a long value is shortened", kind: "added", after: long(""), most: 10, want: "added " + strings.Repeat("x", 19) + "…"},
		{name: "one sees where long values differ", kind: "changed", before: long("abc"), after: long("xyz"), most: 12, want: "…xxxabc → …xxxxyz"},
		{name: "long values that differ at once are cut at their ends", kind: "changed", before: `"a` + strings.Repeat("x", 50) + `"`, after: `"b"`, most: 10, want: "axxxxxxxx… → b"},
		{name: "nothing is shortened without a terminal", kind: "changed", before: long("a"), after: `1`, want: strings.Repeat("x", 50) + "a → 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := difference{test.kind, json.RawMessage(test.before), json.RawMessage(test.after)}
			if got := d.text(test.most); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestNearPaths(t *testing.T) {
	t.Parallel()
	paths := []string{"arch", "kernel.release", "kernel.version", `packages."dpkg:a".version`, `packages."dpkg:b".version`, `packages."dpkg:c".version`, `packages."dpkg:d".version`, `packages."dpkg:e".version`}
	for _, test := range []struct {
		asked string
		want  []string
	}{
		{"Kernel", paths[1:3]},
		{"os.release", paths[1:2]},
		{"packages.dpkg:a", paths[3:4]},
		{"version", append(slices.Clone(paths[2:7]), "…")},
		{"nonesuch", append(slices.Clone(paths[:5]), "…")},
		{"**", append(slices.Clone(paths[:5]), "…")},
	} {
		if got := near(test.asked, paths); !slices.Equal(got, test.want) {
			t.Errorf("near %q there is %q, want %q", test.asked, got, test.want)
		}
	}
	if got := near("x", nil); got != nil {
		t.Errorf("near nothing there is %q", got)
	}
}

func TestOrElse(t *testing.T) {
	t.Parallel()
	errNone, errBroken := errors.New("there is none"), errors.New("it broke off")
	failing := func(yield func(int, error) bool) { yield(0, errBroken) }
	for _, test := range []struct {
		name  string
		items iter.Seq2[int, error]
		why   error
		want  []int
		err   error
	}{
		{"items that count are passed on with those before them", seqOf([]int{-1, 2, -3}), errNone, []int{-1, 2, -3}, nil},
		{"none is told", seqOf([]int{}), errNone, nil, errNone},
		{"none that counts is told", seqOf([]int{-1}), errNone, nil, errNone},
		{"none that counts is passed on if that is right", seqOf([]int{-1}), nil, []int{-1}, nil},
		{"an error of theirs comes first", failing, errNone, nil, errBroken},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []int
			var failed error
			for n, err := range orElse(test.items, func(n int) bool { return n > 0 }, func() error { return test.why }) {
				if err != nil {
					failed = err
					continue
				}
				got = append(got, n)
			}
			if !slices.Equal(got, test.want) || !errors.Is(failed, test.err) {
				t.Errorf("got %v, %v; want %v, %v", got, failed, test.want, test.err)
			}
		})
	}
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	for want, averages := range map[string][]float64{
		"":         nil,
		"▁":        {7},
		"▁▁▁":      {7, 7, 7},
		"▁▂▃▄▅▆▇█": {0, 1, 2, 3, 4, 5, 6, 7},
		"█▁":       {math.MaxFloat64, -math.MaxFloat64},
	} {
		var points []wire.MetricPoint
		for _, v := range averages {
			points = append(points, wire.MetricPoint{Avg: v})
		}
		if got := sparkline(points); got != want {
			t.Errorf("%v is %q, want %q", averages, got, want)
		}
	}
}

func TestRounded(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 1.5: "1.5", 0.12345: "0.123", 100: "100", 24401502208: "24401502208", 1234.56: "1235", -2.25: "-2.25", 1e21: "1000000000000000000000"} {
		if got := rounded(v); got != want {
			t.Errorf("%g is %q, want %q", v, got, want)
		}
	}
}
