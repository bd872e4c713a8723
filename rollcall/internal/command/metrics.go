package command

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type reportsMetricsCommand struct {
	Host  string `arg:"" help:"Name or ID."`
	Type  string `arg:"" help:"Of the reports, such as memory."`
	Path  string `arg:"" help:"Of the metric, as rollcall reports show HOST TYPE lists it; * stands for any part of a name."`
	Since moment `help:"From when on (24h)." placeholder:"TIME"`
	Until moment `help:"Until when (now)." placeholder:"TIME"`
	Step  step   `help:"How much time each line sums up: 300, 5m, 1h, 1d (what makes about 24 lines, or 240 points with another format)." placeholder:"TIME"`
	output
}

// Help is what --help adds.
func (reportsMetricsCommand) Help() string {
	return `  rollcall reports metrics web-1 memory available
  rollcall reports metrics web-1 disks 'filesystems.*.used' --since 7d --step 1d
  rollcall reports metrics web-1 cpu load5 -o csv > load.csv`
}

// A point is one of a series.
type point struct {
	Path string `json:"path"`
	wire.MetricPoint
}

// Run shows metrics over time.
func (c reportsMetricsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := findHost(ctx, server, c.Host)
	if err != nil {
		return err
	}
	q := client.MetricQuery{Type: c.Type, Path: c.Path, Since: c.Since.Time, Until: c.Until.Time, Step: time.Duration(c.Step)}
	if c.Step == 0 && c.Output == asTable {
		q.Step = stepOf(q, time.Now())
	}
	metrics, err := server.Metrics(ctx, host.ID, q)
	if err != nil {
		return err
	}
	if len(metrics.Series) == 0 {
		if err := noMetric(ctx, server, host, c.Type, c.Path); err != nil {
			return err
		}
	}
	switch c.Output {
	case asJSON:
		return printJSON(in.Stdout, metrics)
	case asTable:
		return printSeries(in, c.output, metrics)
	}
	return list(in, c.output, points(metrics),
		col("PATH", func(p point) any { return p.Path }),
		col("AT", func(p point) any { return p.At }),
		col("MIN", func(p point) any { return number(p.Min) }),
		col("AVG", func(p point) any { return number(p.Avg) }),
		col("MAX", func(p point) any { return number(p.Max) }),
		col("LAST", func(p point) any { return number(p.Last) }),
		col("COUNT", func(p point) any { return p.Count }))
}

// linesShown is about how many lines a series has in a table.
const linesShown = 24

// stepOf returns a round step that makes not much more lines than a person reads.
func stepOf(q client.MetricQuery, now time.Time) time.Duration {
	until := q.Until
	if until.IsZero() {
		until = now
	}
	span := day
	if !q.Since.IsZero() {
		span = until.Sub(q.Since)
	}
	steps := []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day,
	}
	for _, s := range steps {
		if span <= linesShown*s {
			return s
		}
	}
	return 28 * day
}

func points(m wire.HostMetrics) iter.Seq2[point, error] {
	return func(yield func(point, error) bool) {
		for _, s := range m.Series {
			for _, p := range s.Points {
				if !yield(point{s.Path, p}, nil) {
					return
				}
			}
		}
	}
}

// printSeries prints a table for each series, on a terminal below a small picture of it.
func printSeries(in Invocation, o output, m wire.HostMetrics) error {
	_, pictured := terminal(in.Stdout)
	for i, s := range m.Series {
		if i > 0 {
			_, _ = fmt.Fprintln(in.Stdout)
		}
		title := plain(s.Path)
		if pictured {
			title += "  " + sparkline(s.Points)
		}
		if _, err := fmt.Fprintln(in.Stdout, title); err != nil {
			return err
		}
		if err := list(in, o, seqOf(s.Points),
			col("TIME", func(p wire.MetricPoint) any { return p.At.UTC().Format(minuteForm) }),
			col("MIN", func(p wire.MetricPoint) any { return rounded(p.Min) }),
			col("AVG", func(p wire.MetricPoint) any { return rounded(p.Avg) }),
			col("MAX", func(p wire.MetricPoint) any { return rounded(p.Max) }),
			col("REPORTS", func(p wire.MetricPoint) any { return p.Count })); err != nil {
			return err
		}
	}
	if len(m.Series) == 0 {
		_, _ = fmt.Fprintf(in.Stderr, "There are none from %s to %s.\n", stamp(m.Since), stamp(m.Until))
	}
	return nil
}

// sparkline draws the averages, the lowest as ▁ and the highest as █.
func sparkline(points []wire.MetricPoint) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		low, high = min(low, p.Avg), max(high, p.Avg)
	}
	var b strings.Builder
	for _, p := range points {
		level := 0.0
		if high > low {
			level = (p.Avg/2 - low/2) / (high/2 - low/2) // the whole difference of two large numbers may be infinite
		}
		b.WriteRune(bars[min(max(int(level*float64(len(bars))), 0), len(bars)-1)])
	}
	return b.String()
}

// number returns a number in full.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// rounded returns a number for people: with as many decimals as tell something.
func rounded(v float64) string {
	decimals := 3
	if math.Abs(v) >= 1000 {
		decimals = 0
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// noMetric returns the error of a pattern that matches no metric; nil if the newest report has one.
func noMetric(ctx context.Context, server *client.Client, host wire.Host, reportType, asked string) error {
	report, err := server.HostReport(ctx, host.ID, reportType)
	if err != nil {
		return err
	}
	pattern, err := facts.ParsePattern(asked)
	if err != nil {
		return err
	}
	for path := range facts.Leaves(report.Metrics) {
		if pattern.Covers(path) {
			return nil
		}
	}
	return noSuchPath("metric", asked, report, report.Metrics)
}
