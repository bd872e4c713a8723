package collector

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// kernelNames matches the packages that hold a kernel, by manager; the last group is the version or the flavour.
func kernelNames() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		managerDpkg:   regexp.MustCompile(`^linux-image-(?:unsigned-)?(\d.*)$`),
		managerRPM:    regexp.MustCompile(`^kernel(?:-(default|azure|preempt|PAE|(?:rt|uek|64k|debug|ml|lt)(?:-core)?|core))?$`),
		managerAPK:    regexp.MustCompile(`^linux-(lts|virt|stable|edge|hardened|vanilla|rpi\d?)$`),
		managerPacman: regexp.MustCompile(`^linux(?:-(lts|zen|hardened|rt|rt-lts))?$`),
		managerOpkg:   regexp.MustCompile(`^kernel()$`),
	}
}

// setKernels finds the packages of kernels, and that of the one that runs.
func (f *packagesFacts) setKernels(release string) {
	names := kernelNames()
	for key, p := range f.Packages {
		pattern := names[p.Manager]
		if pattern == nil || p.Status == pkgConfig {
			continue
		}
		m := pattern.FindStringSubmatch(p.Name)
		if m == nil {
			continue
		}
		f.Kernels = append(f.Kernels, key)
		// Of kernel and kernel-core, which come in pairs, the longer name is the one with the kernel.
		if p.runsAs(release, m[1]) && (f.RunningKernel == nil || cmp.Or(cmp.Compare(len(key), len(*f.RunningKernel)), cmp.Compare(key, *f.RunningKernel)) > 0) {
			f.RunningKernel = &key
		}
	}
	slices.Sort(f.Kernels)
}

// runsAs reports whether a kernel of the package calls itself by that release. variant is its version or its flavour.
func (p packageFacts) runsAs(release, variant string) bool {
	version := p.Version
	if p.Epoch != nil {
		_, version, _ = strings.Cut(version, ":")
	}
	base := strings.TrimSuffix(release, "-"+variant)
	switch p.Manager {
	case managerDpkg:
		return variant == release
	case managerRPM:
		full := version + "." + deref(p.Arch)
		// SUSE counts rebuilds behind the release that the kernel knows.
		return release == full || strings.HasPrefix(release, full+"+") || base != release && (version == base || strings.HasPrefix(version, base+"."))
	case managerAPK:
		return strings.Replace(version, "-r", "-", 1) == base
	case managerPacman:
		return strings.ReplaceAll(version, "-", ".") == strings.ReplaceAll(base, "-", ".")
	case managerOpkg:
		rest, found := strings.CutPrefix(version, release)
		return found && (rest == "" || !strings.ContainsAny(rest[:1], "0123456789."))
	}
	return false
}
