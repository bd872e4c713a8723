package collector

import (
	"strings"
)

// setRelease fills in what the distribution says of itself, from os-release or what came before it.
func (f *osFacts) setRelease(b bag) {
	release := readOSRelease(b)
	f.ID = text(release["ID"])
	f.IDLike = strings.Fields(release["ID_LIKE"])
	if f.IDLike == nil {
		f.IDLike = []string{}
	}
	f.Name, f.PrettyName = text(release["NAME"]), text(release["PRETTY_NAME"])
	f.VersionID, f.Codename = text(release["VERSION_ID"]), text(release["VERSION_CODENAME"])
	f.Variant, f.Build = text(release["VARIANT_ID"]), text(release["BUILD_ID"])
	f.Version = f.VersionID
	switch deref(f.ID) {
	case "debian":
		// os-release knows the major release only. Testing calls itself by a name there, without a number.
		if point := b.first("/etc/debian_version"); point != "" && strings.Trim(point, "0123456789.") == "" {
			f.Version = text(point)
		}
	case "alpine":
		if point := b.first("/etc/alpine-release"); point != "" {
			f.Version = text(point)
		}
	}
	major, _, _ := strings.Cut(deref(f.Version), ".")
	f.VersionMajor = text(major)
	f.Family = text(familyOf(deref(f.ID), f.IDLike))
}

// readOSRelease returns the variables of os-release, or what the files before it allow to say.
func readOSRelease(b bag) map[string]string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if release := shellVariables(b.files[path]); release["ID"] != "" {
			return release
		}
	}
	if line := b.first("/etc/redhat-release"); line != "" {
		return fromRedHatRelease(line)
	}
	if line := b.first("/etc/SuSE-release"); line != "" {
		release := map[string]string{"ID": "sles", "ID_LIKE": "suse", "NAME": "SUSE", "PRETTY_NAME": line}
		for _, l := range b.files["/etc/SuSE-release"] {
			if name, value, found := strings.Cut(l, "="); found && strings.TrimSpace(name) == "VERSION" {
				release["VERSION_ID"] = strings.TrimSpace(value)
			}
		}
		return release
	}
	if v := b.first("/etc/alpine-release"); v != "" {
		return map[string]string{"ID": "alpine", "NAME": "Alpine Linux", "VERSION_ID": v}
	}
	if v := b.first("/etc/debian_version"); v != "" {
		return map[string]string{"ID": "debian", "NAME": "Debian GNU/Linux", "VERSION_ID": v}
	}
	if _, there := b.files["/etc/arch-release"]; there {
		return map[string]string{"ID": "arch", "NAME": "Arch Linux"}
	}
	return map[string]string{}
}

// shellVariables reads assignments as os-release has them: unquoted, or quoted with escapes.
func shellVariables(lines []string) map[string]string {
	out := map[string]string{}
	for _, line := range lines {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found || name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		out[name] = unquote(value)
	}
	return out
}

// unquote undoes the quoting of a shell word.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	escaped := false
	for _, c := range s {
		if c == '\\' && !escaped {
			escaped = true
			continue
		}
		out.WriteRune(c)
		escaped = false
	}
	return out.String()
}

// fromRedHatRelease reads the one line that systems before EL 7 have, such as "CentOS release 6.10 (Final)".
func fromRedHatRelease(line string) map[string]string {
	release := map[string]string{"ID": "rhel", "ID_LIKE": "rhel fedora", "PRETTY_NAME": line}
	name, rest, _ := strings.Cut(line, " release ")
	release["NAME"] = strings.TrimSpace(name)
	if version, _, _ := strings.Cut(rest, " "); version != "" {
		release["VERSION_ID"] = version
	}
	lower := strings.ToLower(line)
	for _, id := range []string{"centos", "fedora", "oracle", "scientific", "amazon"} {
		if strings.HasPrefix(lower, id) {
			release["ID"] = id
		}
	}
	return release
}

// familyOf names the family of distributions by which tools and habits are told apart.
func familyOf(id string, like []string) string {
	families := map[string]string{
		"debian": "debian", "ubuntu": "debian", "raspbian": "debian", "linuxmint": "debian", "devuan": "debian",
		"rhel": "rhel", "centos": "rhel", "fedora": "rhel", "rocky": "rhel", "almalinux": "rhel", "ol": "rhel",
		"oracle": "rhel", "amzn": "rhel", "amazon": "rhel", "scientific": "rhel",
		"suse": "suse", "opensuse": "suse", "sles": "suse", "opensuse-leap": "suse", "opensuse-tumbleweed": "suse",
		"arch": "arch", "alpine": "alpine", "gentoo": "gentoo", "void": "void", "nixos": "nixos", "openwrt": "openwrt",
	}
	for _, name := range append([]string{id}, like...) {
		if family := families[name]; family != "" {
			return family
		}
	}
	return id
}
