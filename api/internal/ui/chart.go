package ui

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A size is the measures of a chart, in the units of its view box.
type size struct{ Width, Height, Left, Right, Top, Bottom float64 }

func small() size { return size{480, 132, 58, 472, 8, 110} }
func large() size { return size{960, 280, 58, 952, 8, 256} }

// Times returns where the labels of the times stand.
func (s size) Times() float64 { return s.Height - 6 }

// Plot returns the height of the plot.
func (s size) Plot() float64 { return s.Bottom - s.Top }

// A chart is the course of one metric, ready to be drawn.
type chart struct {
	Size  size
	Name  string
	Link  string // to the chart alone
	Last  string // the newest value
	Label string // all of it in words
	Lines []string
	Bands []string // between the lowest and the highest value of each step
	Dots  []mark   // values without neighbours
	Y, X  []tick
	Hits  []hit
}

type mark struct{ X, Y string }

// A tick is a mark at an axis.
type tick struct{ At, Label string }

// A hit is the part of the plot that tells about one point.
type hit struct{ X, Width, Text string }

// frame turns times and values into places.
type frame struct {
	size
	since, until time.Time
	low, high    float64
}

func (f frame) x(t time.Time) float64 {
	return f.Left + (f.Right-f.Left)*float64(t.Sub(f.since))/float64(f.until.Sub(f.since))
}

func (f frame) y(v float64) float64 {
	return f.Bottom - (f.Bottom-f.Top)*(v-f.low)/(f.high-f.low)
}

func place(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// draw returns the chart of a series from since to until, in steps.
func draw(s fleet.MetricSeries, u unit, rate bool, in size, since, until time.Time, step time.Duration) chart {
	c := chart{Size: in, Name: s.Path}
	points := s.Points
	show := u.show
	if rate {
		points = rates(points)
		show = func(v float64) string { return u.show(v) + "/s" }
	}
	f := frame{size: in, since: since, until: until}
	f.low, f.high = bounds(points)
	c.Y = f.values(u, rate)
	c.X = f.times()
	if len(points) == 0 {
		c.Last, c.Label = "too few values", s.Path+": too few values in this time"
		return c
	}
	half := step / 2
	for _, run := range unbroken(points, step) {
		if len(run) == 1 {
			c.Dots = append(c.Dots, mark{place(f.x(run[0].At.Add(half))), place(f.y(run[0].Avg))})
			continue
		}
		c.draw(f, run, half)
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, p := range points {
		low, high = min(low, p.Min), max(high, p.Max)
		from, to := f.x(p.At), f.x(p.At.Add(step))
		if i > 0 {
			from = max(from, (f.x(points[i-1].At)+f.x(p.At))/2+(to-from)/2)
		}
		text := p.At.UTC().Format("2 Jan 15:04") + " UTC: " + show(p.Avg)
		if p.Min != p.Max {
			text += " (" + show(p.Min) + " to " + show(p.Max) + ")"
		}
		c.Hits = append(c.Hits, hit{place(from), place(max(1, to-from)), text})
	}
	last := points[len(points)-1].Last
	c.Last = show(last)
	c.Label = s.Path + ": lowest " + show(low) + ", highest " + show(high) + ", last " + show(last)
	return c
}

// draw adds a line through the run and the band of what was between the steps' lowest and highest values.
func (c *chart) draw(f frame, run []fleet.MetricPoint, half time.Duration) {
	var line, lower, upper strings.Builder
	varies := false
	for i, p := range run {
		x := place(f.x(p.At.Add(half)))
		line.WriteString(x + "," + place(f.y(p.Avg)) + " ")
		upper.WriteString(x + "," + place(f.y(p.Max)) + " ")
		back := run[len(run)-1-i]
		lower.WriteString(place(f.x(back.At.Add(half))) + "," + place(f.y(back.Min)) + " ")
		varies = varies || p.Min != p.Max
	}
	c.Lines = append(c.Lines, strings.TrimSpace(line.String()))
	if varies {
		c.Bands = append(c.Bands, upper.String()+strings.TrimSpace(lower.String()))
	}
}

// rates returns how much a counter grew a second between its points. Where it fell the host has started again.
func rates(points []fleet.MetricPoint) []fleet.MetricPoint {
	var out []fleet.MetricPoint
	for i := 1; i < len(points); i++ {
		took := points[i].At.Sub(points[i-1].At).Seconds()
		grown := points[i].Last - points[i-1].Last
		if took <= 0 || grown < 0 {
			continue
		}
		v := grown / took
		out = append(out, fleet.MetricPoint{At: points[i].At, Min: v, Max: v, Avg: v, Last: v, Count: points[i].Count})
	}
	return out
}

// unbroken splits the points where there was nothing for much longer than usual: a line there would tell what nobody
// knows.
func unbroken(points []fleet.MetricPoint, step time.Duration) [][]fleet.MetricPoint {
	usual := step
	if n := len(points); n > 2 {
		usual = max(step, points[n-1].At.Sub(points[0].At)/time.Duration(n-1))
	}
	var runs [][]fleet.MetricPoint
	start := 0
	for i := 1; i <= len(points); i++ {
		if i == len(points) || points[i].At.Sub(points[i-1].At) > 3*usual {
			runs = append(runs, points[start:i])
			start = i
		}
	}
	return runs
}

// bounds returns what the axis of the values spans: from zero, unless the values are far from it and close together.
func bounds(points []fleet.MetricPoint) (low, high float64) {
	if len(points) == 0 {
		return 0, 1
	}
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		low, high = min(low, p.Min), max(high, p.Max)
	}
	if low >= 0 && low < 0.75*high || low == high && low > 0 {
		low = 0
	}
	if least := 0.02 * math.Abs(high); high-low < least { // what hardly moves is shown as a calm line
		low, high = (low+high-least)/2, (low+high+least)/2
	}
	if high == low {
		high = low + 1
	}
	if pad := (high - low) * 0.06; low == 0 {
		high += pad
	} else {
		low, high = low-pad, high+pad
	}
	return low, high
}

// values returns the ticks of the vertical axis, at round numbers of the unit.
func (f frame) values(u unit, rate bool) []tick {
	size, name := u.scale(max(math.Abs(f.low), math.Abs(f.high)))
	if rate {
		name += "/s"
	}
	step := roundStep((f.high - f.low) / size / 3)
	if name == "B" { // there are no halves
		step = max(step, 1)
	}
	var ticks []tick
	for v := math.Ceil(f.low/size/step) * step; v*size <= f.high && len(ticks) < 8; v += step {
		label := trim(v, 4)
		if math.Abs(v) >= 1e5 && name == "" {
			label = strconv.FormatFloat(v, 'g', 4, 64)
		}
		ticks = append(ticks, tick{place(f.y(v * size)), strings.TrimSpace(label + " " + name)})
	}
	return ticks
}

// roundStep returns the smallest of 1, 2, 5, 10, 20, 50 … that is not below v.
func roundStep(v float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*base >= v {
			return m * base
		}
	}
	return 10 * base
}

// times returns the ticks of the horizontal axis, at round times.
func (f frame) times() []tick {
	step, layout := 6*time.Hour, "15:04"
	switch d := f.until.Sub(f.since); {
	case d > 14*24*time.Hour:
		step, layout = 7*24*time.Hour, "2 Jan"
	case d > 48*time.Hour:
		step, layout = 24*time.Hour, "2 Jan"
	}
	var ticks []tick
	for t := f.since.UTC().Truncate(step).Add(step); !t.After(f.until); t = t.Add(step) {
		if x := f.x(t); x > f.Left+10 && x < f.Right-8 {
			ticks = append(ticks, tick{place(x), t.Format(layout)})
		}
	}
	return ticks
}
