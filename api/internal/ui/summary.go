package ui

import (
	"encoding/json"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A digest reads single values out of a host's reports.
type digest map[string]fleet.Report

// text returns the value at the path of the facts, or of the metrics, of the report of the type; empty if it is not known.
func (d digest) text(reportType string, path ...string) string {
	report := d[reportType]
	raw, ok := facts.At(report.Facts, path)
	if !ok {
		raw, ok = facts.At(report.Metrics, path)
	}
	if !ok || kindOfJSON(raw) == 'n' {
		return ""
	}
	return showValue(raw, unitOf(reportType, path)).Text
}

// number returns the number at the path of the facts or metrics; ok is false if it is not known.
func (d digest) number(reportType string, path ...string) (n float64, ok bool) {
	report := d[reportType]
	for _, doc := range [][]byte{report.Facts, report.Metrics} {
		if raw, there := facts.At(doc, path); there && json.Unmarshal(raw, &n) == nil && kindOfJSON(raw) != 'n' {
			return n, true
		}
	}
	return 0, false
}

// summarise returns what one wants to know first about a host.
func summarise(reports []fleet.Report) []factRow {
	d := digest{}
	for _, r := range reports {
		d[r.Type] = r
	}
	var rows []factRow
	add := func(name string, texts ...string) {
		var known []string
		for _, text := range texts {
			if text != "" {
				known = append(known, text)
			}
		}
		if len(known) > 0 {
			rows = append(rows, factRow{Name: name, Value: folded("string", strings.Join(known, ", "))})
		}
	}
	system := d.text("os", "pretty_name")
	if system == "" {
		system = d.text("os", "name")
	}
	add("System", system)
	add("Kernel", d.text("os", "kernel", "release"), d.text("os", "arch"))
	add("Hardware", strings.TrimSpace(d.text("os", "hw", "vendor")+" "+d.text("os", "hw", "product")), virtual(d))
	add("Processor", d.text("cpu", "model"), worded(d, "cores", "cpu", "cores"), worded(d, "threads", "cpu", "threads"))
	add("Memory", d.text("memory", "total"), after(d.text("memory", "available"), " available"))
	add("Root filesystem", rootUse(d))
	add("Address", d.text("network", "primary_ip"), d.text("os", "fqdn"))
	add("Up for", d.text("os", "uptime_seconds"))
	if d.text("os", "reboot_required", "required") == "yes" {
		add("Restart", "needed", d.text("os", "reboot_required", "reasons"))
	}
	return rows
}

func virtual(d digest) string {
	kind := d.text("os", "virt", "type")
	if container := d.text("os", "virt", "container"); container != "" && container != "none" {
		return container + " container"
	}
	if kind == "" || kind == "none" {
		return ""
	}
	return kind + " " + d.text("os", "virt", "role")
}

func rootUse(d digest) string {
	used, ok1 := d.number("disks", "filesystems", "/", "used")
	size, ok2 := d.number("disks", "filesystems", "/", "size")
	if !ok1 || !ok2 || size <= 0 {
		return ""
	}
	return trim(100*used/size, 0) + " % of " + showBytes(size)
}

func worded(d digest, word, reportType string, path ...string) string {
	return after(d.text(reportType, path...), " "+word)
}

// after returns the text with an ending, and nothing for nothing.
func after(text, ending string) string {
	if text == "" {
		return ""
	}
	return text + ending
}
