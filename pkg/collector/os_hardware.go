package collector

import (
	"slices"
	"strings"
)

type hwFacts struct {
	Vendor  *string `json:"vendor"`
	Product *string `json:"product"`
	Version *string `json:"version"`
	Serial  *string `json:"serial"`
	UUID    *string `json:"uuid"`
	SKU     *string `json:"sku"`
}

type biosFacts struct {
	Vendor  *string `json:"vendor"`
	Version *string `json:"version"`
	Date    *string `json:"date"`
}

type boardFacts struct {
	Vendor  *string `json:"vendor"`
	Name    *string `json:"name"`
	Version *string `json:"version"`
	Serial  *string `json:"serial"`
}

type chassisFacts struct {
	Type     *string `json:"type"`
	AssetTag *string `json:"asset_tag"`
}

type virtFacts struct {
	Role      *string `json:"role"`      // guest, host or none
	Type      *string `json:"type"`      // kvm, vmware, xen …; null where it runs on bare metal
	Container *string `json:"container"` // docker, lxc, podman …; null outside of containers
}

type securityFacts struct {
	SELinux    selinuxFacts `json:"selinux"`
	AppArmor   *bool        `json:"apparmor"`
	FIPS       *bool        `json:"fips"`
	SecureBoot *bool        `json:"secure_boot"`
	Lockdown   *string      `json:"lockdown"`
}

type selinuxFacts struct {
	Mode   *string `json:"mode"` // enforcing, permissive or disabled
	Policy *string `json:"policy"`
}

// setHardware fills in what the firmware says of the machine: DMI, the device tree of ARM boards, or s390's sysinfo.
func (f *osFacts) setHardware(r *reader) {
	b := readBag(r.section("dmi", "hw", "bios", "board", "chassis"))
	f.HW = hwFacts{
		Vendor: dmi(b, "sys_vendor"), Product: dmi(b, "product_name"), Version: dmi(b, "product_version"),
		Serial: dmi(b, "product_serial"), UUID: dmi(b, "product_uuid"), SKU: dmi(b, "product_sku"),
	}
	if f.HW.UUID != nil {
		f.HW.UUID = new(strings.ToLower(*f.HW.UUID))
	}
	f.BIOS = biosFacts{Vendor: dmi(b, "bios_vendor"), Version: dmi(b, "bios_version"), Date: dmi(b, "bios_date")}
	f.Board = boardFacts{
		Vendor: dmi(b, "board_vendor"), Name: dmi(b, "board_name"), Version: dmi(b, "board_version"),
		Serial: dmi(b, "board_serial"),
	}
	f.Chassis = chassisFacts{Type: text(chassisType(b.first("chassis_type"))), AssetTag: dmi(b, "chassis_asset_tag")}

	hasDMI := b.has("sys_vendor") || b.has("product_name") || b.has("bios_vendor")
	if !hasDMI {
		f.HW.Product, f.HW.Serial = text(b.values["dt_model"]), text(b.values["dt_serial-number"])
		if maker := b.first("Manufacturer"); maker != "" {
			f.HW.Vendor, f.HW.Product = text(maker), text(b.first("Type"))
			f.HW.Serial = text(b.first("Sequence Code"))
		}
	}
	switch {
	case f.HW.Serial == nil && hasDMI && !r.run.Root():
		r.lack(ReasonNoPermission, "hw.serial", "hw.uuid", "board.serial")
	case f.HW.Vendor == nil && f.HW.Product == nil:
		r.lack(ReasonNotApplicable, "hw", "bios", "board", "chassis")
	}
}

// dmi returns a DMI string, unless it is one of the fillers that firmware is delivered with.
func dmi(b bag, name string) *string {
	value := b.first(name)
	switch strings.ToLower(strings.Trim(value, " .")) {
	case "to be filled by o.e.m", "default string", "not specified", "none", "n/a", "system manufacturer",
		"system product name", "system version", "system serial number", "0", "unknown", "no asset tag", "not available",
		"no asset information", "o.e.m", "invalid", "chassis asset tag", "sku", "base board asset tag":
		return nil
	}
	return text(value)
}

// chassisType names the SMBIOS type of an enclosure in the way that matters to people.
func chassisType(number string) string {
	switch number {
	case "3", "4", "5", "6", "7", "13", "15", "16", "24", "35", "36":
		return "desktop"
	case "8", "9", "10", "14", "31", "32":
		return "laptop"
	case "30":
		return "tablet"
	case "11":
		return "handheld"
	case "17", "23", "25", "28", "29":
		return "server"
	case "1", "":
		return ""
	case "33", "34":
		return "embedded"
	}
	return "other"
}

// readVirt tells whether the machine is one, by systemd's judgement where it has one.
func readVirt(r *reader) virtFacts {
	b := readBag(r.section("virt", "virt"))
	f := virtFacts{Container: text(containerOf(b)), Type: text(hypervisorOf(b, r))}
	_, hypervisor := b.exists["hypervisor"]
	switch {
	case f.Type != nil || f.Container != nil || hypervisor:
		f.Role = new("guest")
	case b.any("/dev/kvm") || strings.Contains(b.first("/proc/xen/capabilities"), "control_d"):
		f.Role = new("host")
	default:
		f.Role = new("none")
	}
	return f
}

// containerOf names the kind of container, if it is one.
func containerOf(b bag) string {
	if name := b.values["detect_container"]; name != "" && name != "none" {
		return name
	}
	if name := b.first("/run/systemd/container"); name != "" {
		return name
	}
	if _, name, found := strings.Cut(b.values["container_env"], "container="); found && name != "" {
		return name
	}
	switch {
	case b.any("/run/.containerenv"):
		return "podman"
	case b.any("/.dockerenv"):
		return "docker"
	case b.any("/proc/user_beancounters") && !b.any("/proc/bc"):
		return "openvz"
	case b.any("/dev/lxd/sock"):
		return "lxc"
	case strings.Contains(b.first("/proc/sys/kernel/osrelease"), "microsoft"):
		return "wsl"
	}
	return ""
}

// hypervisorOf names the hypervisor by systemd's judgement, else by what the firmware calls itself.
func hypervisorOf(b bag, r *reader) string {
	if name := b.values["detect_vm"]; name != "" && name != "none" {
		return name
	}
	if kind := b.first("/sys/hypervisor/type"); kind != "" {
		return kind
	}
	firmware := readBag(r.peek("dmi"))
	names := strings.ToLower(firmware.first("sys_vendor") + " " + firmware.first("product_name") + " " + firmware.first("bios_vendor"))
	for _, known := range []struct{ part, name string }{
		{"vmware", "vmware"},
		{"virtualbox", "oracle"},
		{"innotek", "oracle"},
		{"amazon ec2", "amazon"},
		{"kvm", "kvm"},
		{"qemu", "kvm"},
		{"google compute", "google"},
		{"microsoft corporation virtual", "microsoft"},
		{"xen", "xen"},
		{"parallels", "parallels"},
		{"bhyve", "bhyve"},
		{"openstack", "kvm"},
		{"digitalocean", "kvm"},
		{"alibaba", "kvm"},
	} {
		if strings.Contains(names, known.part) {
			return known.name
		}
	}
	return ""
}

// readSecurity tells how the kernel is guarded.
func readSecurity(r *reader, b bag) securityFacts {
	f := securityFacts{
		AppArmor: flag(b.first("/sys/module/apparmor/parameters/enabled")),
		FIPS:     flag(b.first("/proc/sys/crypto/fips_enabled")),
	}
	switch b.first("/sys/fs/selinux/enforce") {
	case "1":
		f.SELinux.Mode = new("enforcing")
	case "0":
		f.SELinux.Mode = new("permissive")
	default:
		f.SELinux.Mode = new("disabled")
	}
	if *f.SELinux.Mode != "disabled" {
		f.SELinux.Policy = text(shellVariables(b.files["/etc/selinux/config"])["SELINUXTYPE"])
	}
	if f.AppArmor == nil {
		f.AppArmor = new(false)
	}
	if f.FIPS == nil { // the kernel was built without it
		r.lack(ReasonNotApplicable, "security.fips")
	}
	f.SecureBoot = flag(b.values["secure_boot"])
	if f.SecureBoot == nil {
		r.lack(ReasonNotApplicable, "security.secure_boot")
	}
	// The file lists every mode and brackets the one that holds.
	if _, rest, found := strings.Cut(b.first("/sys/kernel/security/lockdown"), "["); found {
		if mode, _, _ := strings.Cut(rest, "]"); slices.Contains([]string{"none", "integrity", "confidentiality"}, mode) {
			f.Lockdown = &mode
		}
	}
	if f.Lockdown == nil { // the kernel does not have it, or nobody has mounted where it tells
		r.lack(ReasonNotApplicable, "security.lockdown")
	}
	return f
}
