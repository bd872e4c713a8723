package collector

import "strings"

// rpmFields is how many fields a line about a package has: name, epoch, version, release, architecture, source package,
// size, time of installation, vendor, license.
const rpmFields = 10

// readRPM reads the list of rpm. Keys that were imported are packages to rpm, and to nobody else.
func readRPM(out string, _ bool) (list []packageFacts, bad int) {
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimRight(line, "\r\n"), "\t", rpmFields)
		if len(fields) < rpmFields {
			bad++
			continue
		}
		for i, field := range fields {
			if field == "(none)" {
				fields[i] = ""
			}
		}
		if fields[0] == "gpg-pubkey" {
			continue
		}
		p := packageFacts{
			Manager: managerRPM, Name: fields[0], Epoch: number(fields[1]), Release: text(fields[3]), Arch: text(fields[4]),
			Status: pkgInstalled, Size: number(fields[6]), InstalledAt: instant(fields[7]), Vendor: text(fields[8]), License: text(fields[9]),
		}
		if p.Version = fields[2]; fields[3] != "" {
			p.Version += "-" + fields[3]
		}
		if p.Epoch != nil {
			p.Version = fields[1] + ":" + p.Version
		}
		p.SourceName, p.SourceVersion = readSourceRPM(fields[5])
		list = append(list, p)
	}
	return list, bad
}

// readSourceRPM reads the name of a source package, such as openssl-3.0.7-28.el9_4.src.rpm.
func readSourceRPM(file string) (name, version *string) {
	rest, found := strings.CutSuffix(file, ".rpm")
	if !found {
		return nil, nil
	}
	if i := strings.LastIndexByte(rest, '.'); i > 0 { // src or nosrc
		rest = rest[:i]
	}
	i := strings.LastIndexByte(rest, '-')
	if i <= 0 {
		return text(rest), nil
	}
	if i = strings.LastIndexByte(rest[:i], '-'); i <= 0 {
		return text(rest), nil
	}
	return text(rest[:i]), text(rest[i+1:])
}

// isRPMKernel reports whether new versions of a package are installed beside the former ones. It goes by the names that
// dnf and zypper have for that, because asking for what each package provides takes long.
func isRPMKernel(name string) bool {
	switch name {
	case "kernel-headers", "kernel-doc", "kernel-srpm-macros", "kernel-rpm-macros", "kernel-macros", "kernel-abi-stablelists", "kernel-abi-whitelists":
		return false
	}
	rest, found := strings.CutPrefix(name, "kernel")
	return found && (rest == "" || rest[0] == '-' && !strings.HasPrefix(rest, "-tools") && !strings.HasPrefix(rest, "-firmware"))
}
