package collector

// diskFacts are what seldom changes about file systems and block devices. Sizes are in bytes; null means unknown.
type diskFacts struct {
	Filesystems map[string]filesystemFacts `json:"filesystems"` // by mount point, without those that are mounted when somebody looks
	Block       map[string]blockFacts      `json:"block"`       // by name
	LVM         lvmFacts                   `json:"lvm"`
	MD          map[string]mdFacts         `json:"md"`        // by name
	ZFSPools    map[string]zfsFacts        `json:"zfs_pools"` // by name
	Btrfs       map[string]btrfsFacts      `json:"btrfs"`     // by file system UUID
	Multipath   []string                   `json:"multipath"` // names of block devices, sorted
	Crypt       []string                   `json:"crypt"`     // names of block devices, sorted
}

// diskMetrics are what always changes.
type diskMetrics struct {
	Filesystems     map[string]filesystemMetrics `json:"filesystems"`
	CollapsedMounts int64                        `json:"collapsed_mounts"` // of containers and sessions, not listed
	KernelNames     map[string]string            `json:"kernel_names"`     // of the device mapper's devices, by name
	MD              map[string]mdMetrics         `json:"md"`
	ZFSPools        map[string]zfsMetrics        `json:"zfs_pools"`
}

// readDisks makes the report of type disks.
func readDisks(r *reader) (facts, metrics any) {
	mounts, ok := r.needs("mounts", "filesystems")
	if !ok {
		return nil, nil
	}
	table := readMounts(r, mounts)
	if len(table.filesystems) == 0 && table.collapsed == 0 && table.pseudo == 0 {
		r.failWith("mounts", ReasonParseFailed)
		return nil, nil
	}
	var f diskFacts
	m := diskMetrics{CollapsedMounts: table.collapsed}
	f.Block, m.KernelNames = readBlocks(r)
	f.Filesystems, m.Filesystems = readFilesystems(r, table.filesystems, f.Block)
	for point := range table.onDemand {
		delete(f.Filesystems, point)
	}
	f.Multipath, f.Crypt = namesOfType(f.Block, typeMultipath), namesOfType(f.Block, typeCrypt)
	f.MD, m.MD = readMD(r)
	f.LVM = readLVM(r)
	f.ZFSPools, m.ZFSPools = readZFS(r)
	f.Btrfs = readBtrfs(r)
	return f, m
}
