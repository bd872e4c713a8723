package ui

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestNumbersAreReadable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reportType, path string
		value            float64
		want             string
	}{
		{"disks", `filesystems."/".used`, 18198736896, "16.9 GiB"},
		{"disks", `filesystems."/".inodes_used`, 546084, "546\u202f084"},
		{"memory", "total", 25276510208, "23.5 GiB"},
		{"memory", "hugepages.total", 64, "64"},
		{"memory", "zswap.max_pool_percent", 20, "20 %"},
		{"os", "uptime_seconds", 2807.48, "46.8 min"},
		{"os", "uptime_seconds", 86400 * 344, "344 days"},
		{"os", "installed_at", 1750775860, "2025-06-24 14:37:40 UTC"},
		{"cpu", "load1", 0.5, "0.5"},
		{"cpu", "cache.l3", 314572800, "300 MiB"},
		{"network", "interfaces.eth0.counters.rx_bytes", 1023, "1023 B"},
		{"x", "y", math.Inf(1), "+Inf"},
		{"x", "y", -12345, "-12\u202f345"},
		{"x", "y", -0.0001, "0"},
	}
	for _, tt := range tests {
		path, err := facts.ParsePath(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := unitOf(tt.reportType, path).show(tt.value); got != tt.want {
			t.Errorf("%s of %s: %v is shown as %q, want %q", tt.path, tt.reportType, tt.value, got, tt.want)
		}
	}
}

func series(at time.Time, step time.Duration, values ...float64) fleet.MetricSeries {
	s := fleet.MetricSeries{Path: "m"}
	for i, v := range values {
		if !math.IsNaN(v) {
			s.Points = append(s.Points, fleet.MetricPoint{At: at.Add(time.Duration(i) * step), Min: v, Max: v, Avg: v, Last: v, Count: 1})
		}
	}
	return s
}

func TestChartsBreakWhereNobodyLooked(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	step, nan := 30*time.Minute, math.NaN()
	gap := series(since, step, 1, 2, 3, 4, 5, nan, nan, nan, nan, nan, nan, nan, 6, 7, 8, 9)
	c := draw(gap, plain, false, small(), since, since.Add(24*time.Hour), step)
	if len(c.Lines) != 2 || len(c.Hits) != 9 || c.Last != "9" {
		t.Errorf("%d lines with %d points, last %s; want 2 with 9, last 9", len(c.Lines), len(c.Hits), c.Last)
	}
	alone := draw(series(since, step, 1), plain, false, small(), since, since.Add(24*time.Hour), step)
	if len(alone.Lines) != 0 || len(alone.Dots) != 1 {
		t.Errorf("one point is %d lines and %d dots", len(alone.Lines), len(alone.Dots))
	}
	none := draw(series(since, step), plain, false, small(), since, since.Add(24*time.Hour), step)
	if !strings.Contains(none.Label, "too few values") || len(none.Y) == 0 {
		t.Errorf("nothing is drawn as %q with %d marks", none.Label, len(none.Y))
	}
}

func TestCountersAreRates(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	counter := series(since, time.Minute, 0, 600, 1200, 60, 660) // it began anew at 60
	c := draw(counter, amount, true, small(), since, since.Add(24*time.Hour), time.Minute)
	if c.Last != "10 B/s" || len(c.Hits) != 3 || !strings.Contains(c.Label, "highest 10 B/s") {
		t.Errorf("last %s, %d points, %s", c.Last, len(c.Hits), c.Label)
	}
}

func TestChartsStayInTheirPlot(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 1, 7, 13, 0, 0, time.UTC)
	for _, values := range [][]float64{
		{0, 0, 0}, {-5, 5}, {1e-9, 2e-9}, {1e18, 2e18}, {5, 5, 5}, {-3, -3}, {0.1, 0.2, 99999}, {28.961e9, 28.962e9, 28.963e9},
	} {
		for _, length := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
			c := draw(series(since, length/48, values...), amount, false, small(), since, since.Add(length), length/48)
			if n := len(c.Y); n < 1 || n > 8 {
				t.Errorf("%v: %d marks at the axis of the values", values, n)
			}
			if n := len(c.X); n < 3 || n > 8 {
				t.Errorf("%v over %s: %d marks at the axis of the times", values, length, n)
			}
			for _, line := range c.Lines {
				for point := range strings.FieldsSeq(line) {
					_, text, _ := strings.Cut(point, ",")
					if y, err := strconv.ParseFloat(text, 64); err != nil || y < c.Size.Top || y > c.Size.Bottom {
						t.Errorf("%v: a point at %s", values, point)
					}
				}
			}
		}
	}
}

func TestNamesAreInTheirNaturalOrder(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"eth2", "eth10"}, {"a", "b"}, {"a", "a1"}, {"a1b2", "a1b10"}, {"a1", "a01"}, {"", "a"}} {
		if natural(pair[0], pair[1]) >= 0 || natural(pair[1], pair[0]) <= 0 {
			t.Errorf("%q does not come before %q", pair[0], pair[1])
		}
	}
}
