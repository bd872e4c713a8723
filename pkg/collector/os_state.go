package collector

import (
	"slices"
	"strings"
)

// readReboot tells whether the system waits for a reboot, by the habits of its distribution.
func readReboot(r *reader, b bag, f osFacts) rebootFacts {
	out := rebootFacts{Reasons: []string{}}
	for _, path := range []string{"/run/reboot-required.pkgs", "/var/run/reboot-required.pkgs"} {
		for _, line := range b.files[path] {
			out.Reasons = append(out.Reasons, strings.TrimSpace(line))
		}
	}
	running := deref(f.Kernel.Release)
	switch deref(f.Family) {
	case "debian":
		out.Required = new(b.any("/run/reboot-required", "/var/run/reboot-required"))
	case "suse":
		out.Required = new(b.any("/run/reboot-needed", "/var/run/reboot-needed"))
	case "rhel":
		newest := newestKernel(r.section("kernels", "reboot_required"))
		if newest == "" || running == "" {
			break
		}
		out.Required = new(newest != running)
		if *out.Required {
			out.Reasons = append(out.Reasons, "kernel "+newest)
		}
	case "arch", "alpine":
		// The modules of the running kernel go with its package. A machine without any has them built in.
		installed := strings.Fields(b.values["modules"])
		if len(installed) > 0 && running != "" {
			out.Required = new(!slices.Contains(installed, running))
		}
	}
	if out.Required == nil {
		r.lack(ReasonNotApplicable, "reboot_required.required")
	}
	slices.Sort(out.Reasons)
	out.Reasons = slices.Compact(out.Reasons)
	return out
}

// newestKernel returns the release of the kernel package that was installed last, from rpm -q --last.
func newestKernel(list string) string {
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, prefix := range []string{"kernel-core-", "kernel-default-", "kernel-"} {
			release, found := strings.CutPrefix(name, prefix)
			if found && release != "" && release[0] >= '0' && release[0] <= '9' {
				return release
			}
		}
	}
	return ""
}

// readTimeSync tells who keeps the clock right and whether it is.
func readTimeSync(r *reader, b bag) (timeSyncFacts, *bool) {
	answers := readBag(r.section("timesync", "time_sync.source", "time_synced"))
	var f timeSyncFacts
	switch {
	case b.any("/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/chrony.pid"), answers.values["chrony"] != "":
		f.Source = new("chrony")
		fields := strings.Split(answers.values["chrony"], ",")
		if leap := fields[len(fields)-1]; len(fields) > 1 {
			return f, new(leap != "Not synchronised")
		}
	case b.any("/var/run/ntpd.pid", "/run/ntpd.pid", "/run/ntp.pid"):
		f.Source = new("ntpd")
		if answer := answers.values["ntp"]; answer != "" {
			return f, new(!strings.Contains(answer, "leap_alarm") && !strings.Contains(answer, "sync_unspec"))
		}
	case b.any("/run/systemd/timesync", "/run/systemd/timesync/synchronized"):
		f.Source = new("systemd-timesyncd")
		return f, new(b.any("/run/systemd/timesync/synchronized"))
	}
	r.lack(ReasonNotApplicable, "time_synced")
	return f, nil
}
