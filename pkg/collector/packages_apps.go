package collector

import (
	"slices"
	"strings"
)

// readSnap reads the table of snap: name, version, revision, channel, publisher, notes. The headings are its first line.
func readSnap(out string, _ bool) (list []packageFacts, bad int) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "Name" {
			continue
		}
		if len(fields) < 6 {
			bad++
			continue
		}
		p := packageFacts{
			Manager: managerSnap, Name: fields[0], Version: fields[1], Release: text(fields[2]), Status: pkgInstalled,
			Origin: text(strings.Trim(fields[3], "-")), Vendor: text(strings.TrimRight(strings.Trim(fields[4], "-"), "*✓✪")),
		}
		if slices.Contains(strings.Split(fields[5], ","), "held") {
			p.Status = pkgHeld
		}
		list = append(list, p)
	}
	return list, bad
}

// readFlatpak reads lines of five fields: application, version, architecture, branch, remote. Several branches of an
// application may be installed side by side, and some have no version but that.
func readFlatpak(out string, _ bool) (list []packageFacts, bad int) {
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(fields) < 5 {
			bad++
			continue
		}
		if fields[1] == "" {
			fields[1] = fields[3]
		}
		list = append(list, packageFacts{
			Manager: managerFlatpak, Name: fields[0], Version: strings.ReplaceAll(fields[1], " ", "_"), Arch: text(fields[2]),
			Release: text(fields[3]), Status: pkgInstalled, Origin: text(fields[4]),
		})
	}
	return list, bad
}
