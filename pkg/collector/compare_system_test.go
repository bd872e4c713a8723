package collector_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	mebibytes   = "MiB, cut, to bytes"
	lowerCase   = "in lower case"
	sectorBytes = "sectors of 512 bytes to bytes"
)

// system compares what the machine is called and what runs on it.
func (c *comparison) system(facter, ansible document) {
	for _, s := range []struct {
		path, theirs string
		want         any
		rule         rule
	}{
		{"os.kernel.name", "facter kernel", at(facter, "kernel"), rule{}},
		{"os.kernel.name", "ansible system", at(ansible, "system"), rule{}},
		{"os.kernel.release", "facter kernelrelease", at(facter, "kernelrelease"), rule{}},
		{"os.kernel.release", "ansible kernel", at(ansible, "kernel"), rule{}},
		{"os.kernel.version", "ansible kernel_version", at(ansible, "kernel_version"), rule{}},
		{"os.kernel.cmdline", "ansible proc_cmdline", words(object(at(ansible, "proc_cmdline"))), rule{how: "a set of words", convert: commandLine}},
		{"os.arch", "facter os.hardware", at(facter, "os", "hardware"), rule{}},
		{"os.arch", "ansible machine", at(ansible, "machine"), rule{}},
		{"os.hostname", "facter networking.hostname", told(at(facter, "networking", "hostname")), rule{how: "up to the first dot", convert: firstLabel}},
		{"os.hostname", "ansible nodename", at(ansible, "nodename"), rule{}},
		{"os.fqdn", "facter networking.fqdn", told(at(facter, "networking", "fqdn")), rule{}},
		{"os.fqdn", "ansible fqdn", told(at(ansible, "fqdn")), rule{reason: "it asks for the name of an address, which is localhost", purpose: wantIs("localhost")}},
		{"os.domain", "facter networking.domain", told(at(facter, "networking", "domain")), rule{}},
		{"os.machine_id", "ansible machine_id", told(at(ansible, "machine_id")), rule{}},
		{"os.id", "facter os.distro.id", lower(at(facter, "os", "distro", "id")), rule{how: lowerCase}},
		{"os.id", "ansible distribution", lower(at(ansible, "distribution")), rule{how: lowerCase}},
		{"os.family", "facter os.family", lower(at(facter, "os", "family")), rule{how: lowerCase}},
		{"os.family", "ansible os_family", lower(at(ansible, "os_family")), rule{how: lowerCase}},
		{"os.version", "facter os.release.full", told(at(facter, "os", "release", "full")), rule{}},
		{"os.version", "ansible distribution_version", told(at(ansible, "distribution_version")), rule{}},
		{"os.version_id", "ansible lsb.release", told(at(ansible, "lsb", "release")), rule{}},
		{"os.version_major", "facter os.release.major", told(at(facter, "os", "release", "major")), rule{}},
		{"os.version_major", "ansible distribution_major_version", told(at(ansible, "distribution_major_version")), rule{}},
		{"os.codename", "facter os.distro.codename", told(at(facter, "os", "distro", "codename")), rule{}},
		{"os.codename", "ansible distribution_release", told(at(ansible, "distribution_release")), rule{}},
		{"os.pretty_name", "facter os.distro.description", told(at(facter, "os", "distro", "description")), rule{}},
		{"os.pretty_name", "ansible lsb.description", told(at(ansible, "lsb", "description")), rule{}},
		{"os.timezone", "facter timezone", told(at(facter, "timezone")), rule{how: "a zone to its abbreviation of now", convert: abbreviation}},
		{"os.utc_offset_s", "ansible date_time.tz_offset", seconds(at(ansible, "date_time", "tz_offset")), rule{how: "±hhmm to seconds"}},
		{"os.uptime_seconds", "facter system_uptime.seconds", at(facter, "system_uptime", "seconds"), rule{tolerance: 120}},
		{"os.uptime_seconds", "ansible uptime_seconds", at(ansible, "uptime_seconds"), rule{tolerance: 120}},
		{"os.boot_time", "ansible date_time.epoch, uptime_seconds", minus(numberIn(at(ansible, "date_time", "epoch"), 1), at(ansible, "uptime_seconds")), rule{how: "now without the uptime", tolerance: 30}},
		{"os.security.selinux.mode", "facter os.selinux.enabled", mode(at(facter, "os", "selinux", "enabled"), at(facter, "os", "selinux", "current_mode")), rule{how: "false is disabled"}},
		{"os.security.selinux.mode", "ansible selinux.status, mode", mode(at(ansible, "selinux", "status") == "enabled", at(ansible, "selinux", "mode")), rule{}},
		{"os.security.apparmor", "ansible apparmor.status", at(ansible, "apparmor", "status") == "enabled", rule{how: "enabled is true"}},
		{"os.security.fips", "facter fips_enabled", at(facter, "fips_enabled"), rule{reason: "null where the kernel has no such mode, not false", purpose: nullFor(false)}},
		{"os.security.fips", "ansible fips", at(ansible, "fips"), rule{reason: "null where the kernel has no such mode, not false", purpose: nullFor(false)}},
		{"os.virt.role", "facter is_virtual", role(at(facter, "is_virtual")), rule{how: "true is guest"}},
		{"os.virt.role", "ansible virtualization_role", told(at(ansible, "virtualization_role")), rule{how: "NA is none"}},
		{"os.init", "ansible service_mgr", told(at(ansible, "service_mgr")), rule{}},
		{"os.pkg_managers", "ansible pkg_mgr", managerOf(at(ansible, "pkg_mgr")), rule{how: "apt is dpkg's, dnf, yum and zypper are rpm's; one of ours", convert: oneOf(managerOf(at(ansible, "pkg_mgr")))}},
	} {
		c.hold(s.path, s.theirs, s.want, s.rule)
	}
	technology := word(told(at(ansible, "virtualization_type")))
	path := "os.virt.type"
	if slices.Contains([]string{"docker", "podman", "lxc", "openvz", "systemd-nspawn", "container", "containerd"}, technology) {
		path = "os.virt.container"
	}
	c.hold(path, "ansible virtualization_type", told(at(ansible, "virtualization_type")), rule{how: "a container's engine or a hypervisor"})
}

// hardware compares what the firmware says.
func (c *comparison) hardware(ansible document) {
	for path, theirs := range map[string]string{
		"hw.vendor": "system_vendor", "hw.product": "product_name", "hw.version": "product_version", "hw.serial": "product_serial", "hw.uuid": "product_uuid",
		"bios.vendor": "bios_vendor", "bios.version": "bios_version", "bios.date": "bios_date", "chassis.asset_tag": "chassis_asset_tag",
		"board.vendor": "board_vendor", "board.name": "board_name", "board.version": "board_version", "board.serial": "board_serial",
	} {
		c.hold("os."+path, "ansible "+theirs, told(at(ansible, theirs)), rule{
			how: "NA is null", reason: "what makers leave unsaid, such as Not Specified, is null", purpose: func(got, _ any) bool { return got == nil },
		})
	}
}

// load compares processors and memory.
func (c *comparison) load(facter, ansible document) {
	processor := list(at(ansible, "processor"))
	if len(processor) > 2 && processor[0] == "0" { // elsewhere than on x86 they list other things
		c.hold("cpu.vendor", "ansible processor.1", processor[1], rule{})
		c.hold("cpu.model", "ansible processor.2", processor[2], rule{})
	}
	if models := list(at(facter, "processors", "models")); len(models) > 0 {
		c.hold("cpu.model", "facter processors.models.0", models[0], rule{})
	}
	const perSocket = "of one socket, times the sockets"
	for _, s := range []struct {
		path, theirs string
		want         any
		rule         rule
	}{
		{"cpu.sockets", "facter processors.physicalcount", at(facter, "processors", "physicalcount"), rule{}},
		{"cpu.sockets", "ansible processor_count", at(ansible, "processor_count"), rule{}},
		{"cpu.cores", "facter processors.cores", times(at(facter, "processors", "cores"), at(facter, "processors", "physicalcount")), rule{how: perSocket}},
		{"cpu.cores", "ansible processor_cores", times(at(ansible, "processor_cores"), at(ansible, "processor_count")), rule{how: perSocket}},
		{"cpu.threads", "facter processors.count", at(facter, "processors", "count"), rule{}},
		{"cpu.threads", "ansible processor_vcpus", at(ansible, "processor_vcpus"), rule{}},
		{"cpu.online", "ansible processor_nproc", at(ansible, "processor_nproc"), rule{}},
		{"cpu.threads_per_core", "facter processors.threads", at(facter, "processors", "threads"), rule{}},
		{"cpu.threads_per_core", "ansible processor_threads_per_core", at(ansible, "processor_threads_per_core"), rule{}},
		{"cpu.load15", "facter load_averages.15m", at(facter, "load_averages", "15m"), rule{tolerance: 6}},
		{"cpu.load15", "ansible loadavg.15m", at(ansible, "loadavg", "15m"), rule{tolerance: 6}},
		{"cpu.load5", "ansible loadavg.5m", at(ansible, "loadavg", "5m"), rule{tolerance: 12}},
		{"memory.total", "facter memory.system.total_bytes", at(facter, "memory", "system", "total_bytes"), rule{}},
		{"memory.total", "ansible memtotal_mb", at(ansible, "memtotal_mb"), rule{how: mebibytes, convert: inMebibytes}},
		{"memory.free", "ansible memfree_mb", at(ansible, "memfree_mb"), rule{how: mebibytes, convert: inMebibytes, tolerance: 4096}},
		{"memory.swap.total", "facter memory.swap.total_bytes", at(facter, "memory", "swap", "total_bytes"), rule{}},
		{"memory.swap.total", "ansible swaptotal_mb", at(ansible, "swaptotal_mb"), rule{how: mebibytes, convert: inMebibytes}},
		{"memory.swap.free", "ansible swapfree_mb", at(ansible, "swapfree_mb"), rule{how: mebibytes, convert: inMebibytes, tolerance: 1024}},
	} {
		c.hold(s.path, s.theirs, s.want, s.rule)
	}
}

// wantIs explains that the other tool says this.
func wantIs(word string) func(got, want any) bool {
	return func(_, want any) bool { return want == word }
}

// nullFor explains that we say null for this.
func nullFor(said any) func(got, want any) bool {
	return func(got, want any) bool { return got == nil && want == said }
}

// abbreviation returns what the time of a zone is called now.
func abbreviation(v any) any {
	zone, err := time.LoadLocation(word(v))
	if err != nil {
		return v
	}
	name, _ := time.Now().In(zone).Zone()
	return name
}

// inMebibytes is what Ansible makes of bytes.
func inMebibytes(v any) any {
	if n, ok := v.(float64); ok {
		return math.Floor(n / (1 << 20))
	}
	return v
}

func times(a, b any) any {
	x, ok := a.(float64)
	y, both := b.(float64)
	if !ok || !both {
		return nil
	}
	return x * y
}

func minus(a, b any) any {
	x, ok := a.(float64)
	y, both := b.(float64)
	if !ok || !both {
		return nil
	}
	return x - y
}

// words returns the words of the kernel's command line as Ansible has taken it apart, sorted, each once.
func words(cmdline document) any {
	var out []string
	for name, value := range cmdline {
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		for _, v := range values {
			if v == true {
				out = append(out, name)
			} else {
				out = append(out, fmt.Sprintf("%s=%v", name, v))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// commandLine takes our command line apart in the same way.
func commandLine(v any) any {
	out := strings.Fields(strings.ReplaceAll(word(v), `"`, ""))
	slices.Sort(out)
	return slices.Compact(out)
}

func firstLabel(v any) any {
	name, _, _ := strings.Cut(word(v), ".")
	return name
}

// seconds reads an offset such as +0130.
func seconds(v any) any {
	var sign rune
	var hours, minutes float64
	if n, _ := fmt.Sscanf(word(v), "%c%2f%2f", &sign, &hours, &minutes); n != 3 {
		return nil
	}
	offset := hours*3600 + minutes*60
	if sign == '-' {
		return -offset
	}
	return offset
}

// mode returns the mode of SELinux.
func mode(enabled, current any) any {
	switch enabled {
	case false:
		return "disabled"
	case true:
		return told(current)
	}
	return nil
}

func role(virtual any) any {
	if virtual == true {
		return "guest"
	}
	return nil // it may still be a host
}

// managerOf returns whose database a package manager of Ansible's reads.
func managerOf(v any) any {
	switch name := word(v); name {
	case "apt":
		return "dpkg"
	case "dnf", "dnf5", "yum", "zypper":
		return "rpm"
	case "":
		return nil
	default:
		return name
	}
}

// oneOf finds a value in one of our lists.
func oneOf(want any) func(any) any {
	return func(v any) any {
		if slices.Contains(list(v), want) {
			return want
		}
		return v
	}
}
