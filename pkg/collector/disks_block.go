package collector

import (
	"maps"
	"slices"
	"strings"
)

type blockFacts struct {
	Name           string   `json:"name"`
	KName          *string  `json:"kname"` // the kernel's name; null for the device mapper's, numbered as they are found
	Type           string   `json:"type"`  // disk, part, lvm, crypt, mpath, dm, raid, rom or loop
	Size           *int64   `json:"size"`
	Model          *string  `json:"model"`
	Vendor         *string  `json:"vendor"`
	Serial         *string  `json:"serial"`
	WWN            *string  `json:"wwn"`
	Transport      *string  `json:"transport"`
	Rotational     *bool    `json:"rotational"`
	Removable      *bool    `json:"removable"`
	ReadOnly       *bool    `json:"readonly"`
	LogicalSector  *int64   `json:"logical_sector"`
	PhysicalSector *int64   `json:"physical_sector"`
	Parents        []string `json:"parent"`   // names, sorted
	Children       []string `json:"children"` // names, sorted
	FSType         *string  `json:"fstype"`
	UUID           *string  `json:"uuid"`
	Label          *string  `json:"label"`
	PartUUID       *string  `json:"partuuid"`
	Start          *int64   `json:"start"` // of a partition, in bytes from the start of its disk
}

const (
	typeCrypt     = "crypt"
	typeMultipath = "mpath"

	sectorSize = 512 // the unit of /sys/block, whatever the device's own
)

// readBlocks reads the block devices that hold something, by name, and the kernel's names of those that it numbers as it
// finds them.
func readBlocks(r *reader) (map[string]blockFacts, map[string]string) {
	b := readBag(r.section("blk", "block"))
	devices := map[string]*blockFacts{} // by the kernel's name
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		dir, found := strings.CutSuffix(path, "/size")
		if !found {
			continue
		}
		if disk, part, isPart := strings.Cut(dir, "/"); isPart {
			if b.has(dir+"/partition") && isWord(disk) && isWord(part) {
				devices[part] = readPartition(b, disk, part)
			}
		} else if d := readDisk(b, dir); d != nil && isWord(dir) {
			devices[dir] = d
		}
	}
	addLinks(b, devices)
	addLsblk(r, devices)
	joinBlocks(b, devices)
	out, numbered := map[string]blockFacts{}, map[string]string{}
	for kname, d := range devices {
		out[d.Name] = *d
		if d.KName == nil {
			numbered[d.Name] = kname
		}
	}
	return out, numbered
}

// readDisk reads a whole device. A loop or memory device without a size is not in use, and nil.
func readDisk(b bag, kname string) *blockFacts {
	d := &blockFacts{
		Name: kname, KName: &kname, Type: "disk", Size: scaled(b.first(kname+"/size"), sectorSize),
		Model: text(b.first(kname + "/device/model")), Vendor: text(b.first(kname + "/device/vendor")),
		Serial:     text(b.first(kname+"/device/serial", kname+"/serial")),
		WWN:        text(b.first(kname+"/wwid", kname+"/device/wwid")),
		Rotational: flag(b.first(kname + "/queue/rotational")), Removable: flag(b.first(kname + "/removable")),
		ReadOnly: flag(b.first(kname + "/ro")), LogicalSector: number(b.first(kname + "/queue/logical_block_size")),
		PhysicalSector: number(b.first(kname + "/queue/physical_block_size")),
		Transport:      text(transportOf(b.links[kname], kname)),
	}
	if strings.HasPrefix(deref(d.Vendor), "0x") { // the number of the bus, not a name
		d.Vendor = nil
	}
	if name := b.first(kname + "/dm/name"); name != "" {
		d.Name = name
	}
	if strings.HasPrefix(kname, "dm-") {
		d.KName = nil
	}
	uuid := b.first(kname + "/dm/uuid")
	switch {
	case strings.HasPrefix(uuid, "LVM-"):
		d.Type = "lvm"
	case strings.HasPrefix(uuid, "CRYPT-"):
		d.Type = typeCrypt
	case strings.HasPrefix(uuid, "mpath-"):
		d.Type = typeMultipath
	case strings.HasPrefix(kname, "dm-"):
		d.Type = "dm"
	case b.has(kname + "/md/level"):
		d.Type = "raid"
	case strings.HasPrefix(kname, "sr"):
		d.Type = "rom"
		return d
	case strings.HasPrefix(kname, "loop"):
		d.Type = "loop"
	case strings.HasPrefix(kname, "ram"):
		return nil
	}
	if d.Size == nil || *d.Size == 0 {
		return nil
	}
	return d
}

// readPartition reads a partition of a disk.
func readPartition(b bag, disk, part string) *blockFacts {
	dir := disk + "/" + part
	return &blockFacts{
		Name: part, KName: &part, Type: "part", Parents: []string{disk},
		Size: scaled(b.first(dir+"/size"), sectorSize), Start: scaled(b.first(dir+"/start"), sectorSize),
		Rotational: flag(b.first(disk + "/queue/rotational")), Removable: flag(b.first(disk + "/removable")),
		ReadOnly: flag(b.first(disk + "/ro")), LogicalSector: number(b.first(disk + "/queue/logical_block_size")),
		PhysicalSector: number(b.first(disk + "/queue/physical_block_size")),
	}
}

// transportOf tells how a disk is attached, by where it hangs in the tree of devices.
func transportOf(place, kname string) string {
	for _, t := range []struct{ part, name string }{
		{"/usb", "usb"},
		{"/session", "iscsi"},
		{"/rport-", "fc"},
		{"/sas_", "sas"},
		{"/end_device-", "sas"},
		{"/nvme", "nvme"},
		{"/ata", "sata"},
		{"/mmc", "mmc"},
		{"/virtio", "virtio"},
		{"/vbd-", "xen"},
		{"/vmbus", "vmbus"},
	} {
		if strings.Contains(place, t.part) && !strings.HasPrefix(kname, "dm-") {
			return t.name
		}
	}
	return ""
}

// addLinks adds what the links of udev say.
func addLinks(b bag, devices map[string]*blockFacts) {
	for _, path := range slices.Sorted(maps.Keys(b.links)) {
		target := b.links[path]
		d := devices[target[strings.LastIndexByte(target, '/')+1:]]
		if d == nil {
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		switch {
		case strings.HasPrefix(path, "/dev/disk/by-uuid/"):
			d.UUID = text(name)
		case strings.HasPrefix(path, "/dev/disk/by-label/"):
			d.Label = text(unescapeHex(name))
		case strings.HasPrefix(path, "/dev/disk/by-partuuid/"):
			d.PartUUID = text(name)
		}
	}
}

// unescapeHex undoes the escapes of udev, such as \x20.
func unescapeHex(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if v, ok := hexByte(s[i+2 : i+4]); ok {
				out.WriteByte(v)
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return clean([]byte(out.String()))
}

// joinBlocks fills in parents and children by name, both ways.
func joinBlocks(b bag, devices map[string]*blockFacts) {
	for path := range b.exists {
		if kname, parent, found := strings.Cut(path, "/slaves/"); found && devices[kname] != nil {
			devices[kname].Parents = append(devices[kname].Parents, parent)
		}
	}
	for _, d := range devices {
		for i, kname := range d.Parents {
			if parent := devices[kname]; parent != nil {
				d.Parents[i] = parent.Name
				parent.Children = append(parent.Children, d.Name)
			}
		}
	}
	for _, d := range devices {
		d.Parents, d.Children = sortedSet(d.Parents), sortedSet(d.Children)
	}
}

// sortedSet returns names sorted, each once; never nil.
func sortedSet(names []string) []string {
	if len(names) == 0 {
		return []string{}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// namesOfType returns the names of the block devices of a type, sorted.
func namesOfType(blocks map[string]blockFacts, kind string) []string {
	var names []string
	for name, b := range blocks {
		if b.Type == kind {
			names = append(names, name)
		}
	}
	return sortedSet(names)
}
