package ui

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// A unit is what a number counts, as far as its name tells.
type unit string

const (
	plain    unit = ""
	amount   unit = "bytes" // shown in powers of 1024
	duration unit = "seconds"
	percent  unit = "percent"
	epoch    unit = "epoch" // seconds since 1970
)

// unitOf returns what the number at the path of a report of the type counts. Fields whose names end in their unit tell
// by themselves; those of memory and disks are bytes unless they count something.
func unitOf(reportType string, p facts.Path) unit {
	if len(p) == 0 {
		return plain
	}
	switch leaf := p[len(p)-1]; {
	case strings.HasSuffix(leaf, "_bytes"):
		return amount
	case strings.HasSuffix(leaf, "_seconds"), strings.HasSuffix(leaf, "_offset_s"):
		return duration
	case strings.HasSuffix(leaf, "_percent"):
		return percent
	case strings.HasSuffix(leaf, "_at"), strings.HasSuffix(leaf, "_time"):
		return epoch
	case reportType == "cpu" && p[0] == "cache", reportType == "memory" && p[0] != "hugepages" && isAmount(leaf),
		reportType == "memory" && p[0] == "hugepages" && leaf == "size", reportType == "disks" && isAmount(leaf):
		return amount
	case reportType == "memory" && p[0] == "swap" && len(p) == 3 && p[1] == "devices_used":
		return amount
	}
	return plain
}

// isAmount reports whether the reports of memory and disks name an amount of bytes so.
func isAmount(name string) bool {
	switch name {
	case "size", "total", "used", "free", "avail", "available", "buffers", "cached", "shared", "slab", "dirty", "writeback", "active",
		"inactive", "committed", "commit_limit", "cgroup_limit", "zfs_arc", "alloc", "logical_sector", "physical_sector":
		return true
	}
	return false
}

// isCounter reports whether the metric only grows until the host starts again, so that its rate is what one looks at.
func isCounter(p facts.Path) bool {
	leaf := p[len(p)-1]
	return strings.HasPrefix(leaf, "rx_") || strings.HasPrefix(leaf, "tx_")
}

// show returns v for people.
func (u unit) show(v float64) string {
	switch u {
	case amount:
		return showBytes(v)
	case duration:
		return showSeconds(v)
	case percent:
		return trim(v, 1) + " %"
	case epoch:
		if v > 1e8 && v < 1e11 {
			return stamp(time.Unix(int64(v), 0))
		}
	case plain:
	}
	return showNumber(v)
}

// scale returns the size and name of the unit in which values up to most are read best.
func (u unit) scale(most float64) (float64, string) {
	switch {
	case u == amount:
		return scaleBytes(most)
	case u == duration && most >= 2*86400:
		return 86400, "d"
	case u == duration && most >= 2*3600:
		return 3600, "h"
	case u == duration:
		return 1, "s"
	case u == percent:
		return 1, "%"
	}
	return 1, ""
}

func scaleBytes(most float64) (float64, string) {
	names := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	size, i := 1.0, 0
	for math.Abs(most) >= 1024*size && i < len(names)-1 {
		size, i = size*1024, i+1
	}
	return size, names[i]
}

func showBytes(v float64) string {
	size, name := scaleBytes(v)
	digits := 1
	if size == 1 || math.Abs(v/size) >= 100 {
		digits = 0
	}
	return trim(v/size, digits) + " " + name
}

func showSeconds(v float64) string {
	switch abs := math.Abs(v); {
	case abs < 120:
		return trim(v, 2) + " s"
	case abs < 2*3600:
		return trim(v/60, 1) + " min"
	case abs < 48*3600:
		return trim(v/3600, 1) + " h"
	default:
		return trim(v/86400, 1) + " days"
	}
}

// showNumber returns v with as many digits as tell something; large ones in short.
func showNumber(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 1e15:
		return strconv.FormatFloat(v, 'g', 4, 64)
	case v == math.Trunc(v):
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case abs >= 100:
		return grouped(trim(v, 1))
	default:
		return trim(v, 3)
	}
}

// trim returns v with at most so many digits behind the point, and no zeros at its end.
func trim(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// grouped puts a narrow space between the thousands of a number of five digits and more.
func grouped(s string) string {
	whole, rest, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if len(whole) < 5 {
		return s
	}
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	if rest != "" {
		rest = "." + rest
	}
	return sign + b.String() + rest
}
