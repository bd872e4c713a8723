package collector

import (
	"slices"
	"strings"
)

// A cpuInfo is the first value of each name in the beginning of /proc/cpuinfo, by lower-case name.
type cpuInfo map[string]string

// readCPUInfo reads the beginning of /proc/cpuinfo, which differs between architectures in all but its form.
func readCPUInfo(text string) cpuInfo {
	info := cpuInfo{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, known := info[name]; found && !known {
			info[name] = strings.TrimSpace(value)
		}
	}
	return info
}

// model names the processor: as x86, MIPS, RISC-V, POWER and s390 do themselves, or by the numbers of an ARM core.
func (c cpuInfo) model() string {
	for _, name := range []string{"model name", "cpu model", "cpu", "processor 0", "uarch"} {
		if c[name] != "" {
			return c[name]
		}
	}
	if part := armPart(c["cpu implementer"], c["cpu part"]); part != "" {
		return part
	}
	return c["hardware"]
}

// vendor names who made it.
func (c cpuInfo) vendor() string {
	if c["vendor_id"] != "" {
		return c["vendor_id"]
	}
	if c["mvendorid"] != "" {
		return c["mvendorid"]
	}
	return armVendor(c["cpu implementer"])
}

// flags returns what the processor can do, sorted, each once; never nil.
func (c cpuInfo) flags() []string {
	for _, name := range []string{"flags", "features", "isa"} {
		if c[name] != "" {
			flags := strings.Fields(c[name])
			slices.Sort(flags)
			return slices.Compact(flags)
		}
	}
	return []string{}
}

// armVendor names the implementer of an ARM core by its MIDR number.
func armVendor(implementer string) string {
	return map[string]string{
		"0x41": "ARM", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA",
		"0x50": "APM", "0x51": "Qualcomm", "0x53": "Samsung", "0x56": "Marvell", "0x61": "Apple", "0x6d": "Microsoft",
		"0x70": "Phytium", "0xc0": "Ampere",
	}[implementer]
}

// armPart names an ARM core by its MIDR numbers, and says the numbers themselves where it is not known.
func armPart(implementer, part string) string {
	if implementer == "" || part == "" {
		return ""
	}
	known := map[string]string{
		"0x41/0xd03": "Cortex-A53", "0x41/0xd04": "Cortex-A35", "0x41/0xd05": "Cortex-A55", "0x41/0xd07": "Cortex-A57",
		"0x41/0xd08": "Cortex-A72", "0x41/0xd09": "Cortex-A73", "0x41/0xd0a": "Cortex-A75", "0x41/0xd0b": "Cortex-A76",
		"0x41/0xd0c": "Neoverse-N1", "0x41/0xd40": "Neoverse-V1", "0x41/0xd41": "Cortex-A78", "0x41/0xd49": "Neoverse-N2",
		"0x41/0xd4f": "Neoverse-V2", "0x41/0xc07": "Cortex-A7", "0x41/0xc08": "Cortex-A8", "0x41/0xc09": "Cortex-A9",
		"0x41/0xc0f": "Cortex-A15", "0x41/0xb76": "ARM1176", "0xc0/0xac3": "Ampere-1", "0xc0/0xac4": "Ampere-1a",
		"0x43/0x0a1": "ThunderX", "0x43/0x0af": "ThunderX2", "0x48/0xd01": "Kunpeng-920",
	}
	if name := known[implementer+"/"+part]; name != "" {
		return name
	}
	return strings.TrimSpace(armVendor(implementer) + " " + part)
}
