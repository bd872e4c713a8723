package collector

import (
	"slices"
	"strings"
)

// readAPK reads the database of Alpine, whose records begin with their checksum or their name and have one letter before
// each value. The package that somebody asked for is in another file.
func readAPK(out string, cut bool) (list []packageFacts, bad int) {
	var records []map[byte]string
	for line := range strings.Lines(out) {
		if len(line) < 2 || line[1] != ':' {
			bad++
			continue
		}
		if line[0] == 'P' {
			records = append(records, map[byte]string{})
		}
		if len(records) == 0 {
			bad++
			continue
		}
		records[len(records)-1][line[0]] = strings.TrimSpace(line[2:])
	}
	if cut && len(records) > 0 {
		records = records[:len(records)-1]
	}
	for _, fields := range records {
		p := packageFacts{
			Manager: managerAPK, Name: fields['P'], Arch: text(fields['A']), Status: pkgInstalled, SourceName: text(fields['o']),
			SourceVersion: text(fields['V']), Vendor: text(fields['m']), Size: number(fields['I']), License: text(fields['L']),
		}
		p.setVersion(fields['V'])
		list = append(list, p)
	}
	return list, bad
}

// setWorld tells which of apk's packages nobody asked for: they are not named in the file that the lines are of.
func (f *packagesFacts) setWorld(world []string) {
	if len(world) == 0 {
		return
	}
	asked := map[string]bool{}
	for _, line := range world {
		for word := range strings.FieldsSeq(line) {
			if i := strings.IndexAny(word, "@<>=~"); i >= 0 {
				word = word[:i]
			}
			asked[word] = true
		}
	}
	for key, p := range f.Packages {
		if p.Manager == managerAPK {
			p.Auto = new(!asked[p.Name])
			f.Packages[key] = p
		}
	}
}

// readPacman reads the descriptions of Arch's packages: a line with the name of a field between percent signs, the lines of
// its values, an empty line.
func readPacman(out string, cut bool) (list []packageFacts, bad int) {
	var records []map[string]string
	field := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%':
			if field = strings.Trim(line, "%"); field == "NAME" {
				records = append(records, map[string]string{})
			}
		case line == "":
			field = ""
		case len(records) == 0 || field == "":
			bad++
		default:
			last := records[len(records)-1]
			if last[field] != "" {
				line = last[field] + ", " + line
			}
			last[field] = line
		}
	}
	if cut && len(records) > 0 {
		records = records[:len(records)-1]
	}
	for _, fields := range records {
		p := packageFacts{
			Manager: managerPacman, Name: fields["NAME"], Arch: text(fields["ARCH"]), Status: pkgInstalled, Vendor: text(fields["PACKAGER"]),
			SourceName: text(fields["BASE"]), Size: number(fields["SIZE"]), InstalledAt: instant(fields["INSTALLDATE"]),
			Auto: new(fields["REASON"] == "1"), License: text(fields["LICENSE"]),
		}
		if p.SourceName != nil {
			p.SourceVersion = text(fields["VERSION"])
		}
		p.setVersion(fields["VERSION"])
		list = append(list, p)
	}
	return list, bad
}

// readOpkg reads the status of OpenWrt's packages, and what their control files add.
func readOpkg(out string, cut bool) (list []packageFacts, bad int) {
	parts := splitParts(out, "status", "control")
	_, told := parts["control"]
	controls := map[string]map[string]string{}
	for _, s := range readStanzas(parts["control"], cut) {
		controls[s["Package"]] = s
	}
	for _, s := range readStanzas(parts["status"], cut && !told) {
		words := strings.Fields(s["Status"]) // such as "install user installed"
		if s["Package"] == "" || len(words) != 3 {
			bad++
			continue
		}
		control := controls[s["Package"]]
		p := packageFacts{
			Manager: managerOpkg, Name: s["Package"], Arch: text(s["Architecture"]), Status: pkgHalf, Vendor: text(control["Maintainer"]),
			SourceName: text(control["SourceName"]), Size: number(control["Installed-Size"]), InstalledAt: instant(s["Installed-Time"]),
			Auto: new(s["Auto-Installed"] == "yes"), License: text(control["License"]),
		}
		flags := strings.Split(words[1], ",")
		switch {
		case words[2] == "not-installed":
			continue
		case words[2] == "installed" && slices.Contains(flags, "hold"):
			p.Status = pkgHeld
		case words[2] == "installed":
			p.Status = pkgInstalled
		}
		if p.SourceName != nil {
			p.SourceVersion = text(s["Version"])
		}
		p.setVersion(s["Version"])
		list = append(list, p)
	}
	return list, bad
}
