package collector

import (
	"cmp"
	"strings"
)

// readDpkg reads what dpkg-query tells, or the database itself where there is no such program.
func readDpkg(out string, cut bool) (list []packageFacts, bad int) {
	parts := splitParts(out, "query", "status", "known", "auto", "lists")
	if status, told := parts["status"]; told {
		list, bad = readDpkgStatus(status, cut && parts["known"] == "" && parts["lists"] == "" && parts["auto"] == "")
	} else {
		list, bad = readDpkgQuery(parts["query"])
		// A program that has nothing to say of a database with something in it does not work.
		if known := number(strings.TrimSpace(parts["known"])); parts["query"] == "" && timeOf(known) > 0 {
			bad++
		}
	}
	auto, kept := readAutoInstalled(parts["auto"])
	times := readListTimes(parts["lists"])
	for i := range list {
		p := &list[i]
		arch := deref(p.Arch)
		if kept {
			p.Auto = new(auto[p.Name+":"+arch] || arch == "all" && auto[p.Name])
		}
		// The list of a package that was removed is that of its configuration.
		if p.Status == pkgConfig {
			continue
		}
		if p.InstalledAt = times[p.Name+":"+arch]; p.InstalledAt == nil {
			p.InstalledAt = times[p.Name]
		}
	}
	return list, bad
}

// readDpkgQuery reads lines of eight fields: name, version, architecture, status, name and version of the source, size in
// KiB, maintainer. A package that is known and not installed has no version.
func readDpkgQuery(out string) (list []packageFacts, bad int) {
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimRight(line, "\r\n"), "\t", 8)
		if len(fields) < 8 {
			bad++
			continue
		}
		status := dpkgStatus(fields[3])
		if status == "" {
			continue
		}
		p := packageFacts{
			Manager: managerDpkg, Name: fields[0], Arch: text(fields[2]), Status: status, SourceName: text(fields[4]),
			SourceVersion: text(fields[5]), Size: scaled(fields[6], 1024), Vendor: text(fields[7]),
		}
		p.setVersion(fields[1])
		list = append(list, p)
	}
	return list, bad
}

// dpkgStatus reads the abbreviated status of dpkg: what is wanted of the package, and how far it has come. It is empty for a
// package of which nothing is there.
func dpkgStatus(abbreviated string) string {
	if len(abbreviated) < 2 {
		return pkgHalf
	}
	switch wanted, state := abbreviated[0], abbreviated[1]; {
	case state == 'n':
		return ""
	case state == 'c':
		return pkgConfig
	case state != 'i':
		return pkgHalf
	case wanted == 'h':
		return pkgHeld
	}
	return pkgInstalled
}

// readDpkgStatus reads stanzas of the database.
func readDpkgStatus(out string, cut bool) (list []packageFacts, bad int) {
	for _, s := range readStanzas(out, cut) {
		// Such as "hold ok installed".
		words := strings.Fields(s["Status"])
		if s["Package"] == "" || len(words) != 3 {
			bad++
			continue
		}
		states := map[string]string{"installed": "i", "config-files": "c", "not-installed": "n"}
		status := dpkgStatus(words[0][:1] + cmp.Or(states[words[2]], "H"))
		if status == "" {
			continue
		}
		p := packageFacts{
			Manager: managerDpkg, Name: s["Package"], Arch: text(s["Architecture"]), Status: status,
			Size: scaled(s["Installed-Size"], 1024), Vendor: text(s["Maintainer"]),
		}
		p.setVersion(s["Version"])
		p.setSource(s["Source"])
		list = append(list, p)
	}
	return list, bad
}

// setSource reads the source of a binary package, such as "gcc-defaults (1.203)". What is not said is as the package's own.
func (p *packageFacts) setSource(source string) {
	name, version, _ := strings.Cut(source, " ")
	version = strings.Trim(strings.TrimSpace(version), "()")
	p.SourceName, p.SourceVersion = text(cmp.Or(name, p.Name)), text(cmp.Or(version, p.Version))
}

// readAutoInstalled reads which packages apt installed because others need them: by name and architecture, which is that of
// the machine for packages of all, and by name alone. Where apt has noted nothing, nothing is known.
func readAutoInstalled(out string) (auto map[string]bool, kept bool) {
	auto = map[string]bool{}
	for _, s := range readStanzas(out, false) {
		if s["Auto-Installed"] == "1" {
			auto[s["Package"]], auto[s["Package"]+":"+s["Architecture"]] = true, true
		}
		kept = true
	}
	return auto, kept
}

// readListTimes reads when the lists of files were written, by the name that they have there.
func readListTimes(out string) map[string]*int64 {
	times := map[string]*int64{}
	for line := range strings.Lines(out) {
		at, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name, found := strings.CutSuffix(file, ".list"); found {
			times[name] = instant(at)
		}
	}
	return times
}

// readStanzas reads lines of the form "Name: value" into stanzas, each of which begins with its Package. Of text that was
// cut the last one is left out.
func readStanzas(out string, cut bool) []map[string]string {
	var stanzas []map[string]string
	for line := range strings.Lines(out) {
		name, value, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		if name == "Package" || len(stanzas) == 0 {
			stanzas = append(stanzas, map[string]string{})
		}
		last := stanzas[len(stanzas)-1]
		if _, told := last[name]; !told {
			last[name] = strings.TrimSpace(value)
		}
	}
	if cut && len(stanzas) > 0 {
		stanzas = stanzas[:len(stanzas)-1]
	}
	return stanzas
}
