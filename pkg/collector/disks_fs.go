package collector

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

type filesystemFacts struct {
	Device      string   `json:"device"`
	Mountpoint  string   `json:"mountpoint"`
	FSType      string   `json:"fstype"`
	Options     []string `json:"options"` // sorted, without relatime
	ReadOnly    bool     `json:"readonly"`
	Remote      bool     `json:"remote"`
	Snap        bool     `json:"snap"`         // the image of a snap package
	Size        *int64   `json:"size"`         // null where it moves by itself; the metrics have it then
	InodesTotal *int64   `json:"inodes_total"` // null where they are made on demand
	State       *string  `json:"state"`        // ok or denied; null if it was not asked
	UUID        *string  `json:"uuid"`
	Label       *string  `json:"label"`
}

type filesystemMetrics struct {
	Size        *int64 `json:"size"`
	Used        *int64 `json:"used"`
	Free        *int64 `json:"free"`  // what root could still use
	Avail       *int64 `json:"avail"` // what others could still use
	InodesTotal *int64 `json:"inodes_total"`
	InodesUsed  *int64 `json:"inodes_used"`
	InodesFree  *int64 `json:"inodes_free"`
}

// A mountTable is what is mounted, without what is not a file system to anybody but the kernel.
type mountTable struct {
	filesystems map[string]filesystemFacts
	onDemand    map[string]bool // those of them that an automounter mounts and unmounts
	collapsed   int64           // mounts of containers and sessions
	pseudo      int64
}

// maxFilesystems bounds what a report lists.
const maxFilesystems = 5000

// readMounts reads a mount table. Where one mount hides another, the last line holds.
func readMounts(r *reader, table string) mountTable {
	t := mountTable{filesystems: map[string]filesystemFacts{}, onDemand: map[string]bool{}}
	automounts := map[string]bool{}
	passing := regexp.MustCompile(passingMounts)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.TrimSpace(unescapeMount(fields[1])) == "" {
			if len(fields) > 0 {
				r.lose(ReasonParseFailed, "filesystems")
				r.warn("section mounts: not a mount")
			}
			continue
		}
		point, fstype := unescapeMount(fields[1]), unescapeMount(fields[2])
		switch {
		case fstype == "autofs":
			automounts[point] = true
			t.pseudo++
			continue
		case isPseudo(fstype):
			t.pseudo++
			delete(t.filesystems, point)
			continue
		case passing.MatchString(point):
			t.collapsed++
			continue
		case len(t.filesystems) >= maxFilesystems:
			r.lose(ReasonTruncated, "filesystems")
			continue
		}
		if within(point, automounts) {
			t.onDemand[point] = true
		}
		options := strings.Split(fields[3], ",")
		t.filesystems[point] = filesystemFacts{
			Device: unescapeMount(fields[0]), Mountpoint: point, FSType: fstype, Options: tidyOptions(options),
			ReadOnly: slices.Contains(options, "ro"), Remote: isRemote(fstype),
			Snap: fstype == "squashfs" && strings.HasPrefix(point, "/snap/"),
		}
	}
	return t
}

// within reports whether the path is one of the places or lies below one.
func within(path string, places map[string]bool) bool {
	for len(places) > 0 && path != "" {
		if places[path] {
			return true
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return false
}

// tidyOptions returns mount options sorted, each once, without the one that says nothing.
func tidyOptions(options []string) []string {
	out := make([]string, 0, len(options))
	for _, option := range options {
		if option != "" && option != "relatime" {
			out = append(out, unescapeMount(option))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isPseudo reports whether a file system holds nothing that anybody would store.
func isPseudo(fstype string) bool {
	switch fstype {
	case "proc", "sysfs", "cgroup", "cgroup2", "cpuset", "devpts", "debugfs", "tracefs", "securityfs", "pstore", "bpf",
		"autofs", "fusectl", "mqueue", "hugetlbfs", "nsfs", "configfs", "binfmt_misc", "rpc_pipefs", "nfsd", "efivarfs",
		"selinuxfs", "smackfs", "fuse.lxcfs", "fuse.gvfsd-fuse", "fuse.portal", "xenfs", "rootfs":
		return true
	}
	return false
}

// isRemote reports whether a file system lies on another machine, or behind a program that may not answer.
func isRemote(fstype string) bool {
	switch fstype {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "gpfs", "beegfs",
		"ocfs2", "gfs2", "orangefs", "pvfs2", "coda", "davfs":
		return true
	}
	return fstype == "fuse" || strings.HasPrefix(fstype, "fuse.") && fstype != "fuse.snapfuse" && fstype != "fuse.ntfs-3g"
}

// sizeMoves reports whether the size of a file system changes although nobody resizes it: pools share their space,
// memory is what is left of it, and what the machine below shares is as large as that machine says.
func sizeMoves(fstype string) bool {
	switch fstype {
	case "zfs", "btrfs", "bcachefs", "tmpfs", "devtmpfs", "ramfs", "virtiofs":
		return true
	}
	return false
}

// inodesFixed reports whether a file system has a number of inodes, rather than one that follows the free space.
func inodesFixed(fstype string) bool {
	return fstype == "ext2" || fstype == "ext3" || fstype == "ext4"
}

// dfLine matches a line of df -P. A device may hold spaces, and so may a mount point.
const dfLine = `^.*?\s+(\d+|-)\s+(-?\d+|-)\s+(-?\d+|-)\s+(-?\d+%|-)\s+(/.*)$`

// A usage is one line of df.
type usage struct{ total, used, left *int64 }

// readDF reads the output of df -P by mount point; its numbers are multiplied by unit. Lines of another form are
// headings and complaints.
func readDF(out string, unit int64) map[string]usage {
	line := regexp.MustCompile(dfLine)
	usages := map[string]usage{}
	for l := range strings.Lines(out) {
		fields := line.FindStringSubmatch(strings.TrimRight(l, "\r\n"))
		if fields == nil {
			continue
		}
		usages[fields[5]] = usage{scaled(fields[1], unit), scaled(fields[2], unit), scaled(fields[3], unit)}
	}
	return usages
}

// readFilesystems joins the mount table with what df and the block devices know of it.
func readFilesystems(r *reader, mounts map[string]filesystemFacts, blocks map[string]blockFacts,
) (map[string]filesystemFacts, map[string]filesystemMetrics) {
	const sizes, inodes, state = "filesystems.*.size", "filesystems.*.inodes_total", "filesystems.*.state"
	parts := splitParts(r.exact("df", sizes, inodes, state), "blocks", "inodes")
	spaces, nodes := readDF(parts["blocks"], 1024), readDF(parts["inodes"], 1)
	asked, whole := len(spaces) > 0, r.reasonFor("df") == ""
	if !asked && r.reasonFor("df") == "" && slices.ContainsFunc(mapValues(mounts), filesystemFacts.local) {
		r.lack(ReasonToolMissing, sizes, inodes, state)
	}
	for line := range strings.Lines(parts[""]) {
		if left, found := strings.CutPrefix(strings.TrimSpace(line), "#left "); found && number(left) != nil {
			r.warn(fmt.Sprintf("section df: %d file systems were not asked", *number(left)))
			r.note(ReasonTruncated, sizes, inodes, state)
			whole = false
		}
	}
	shareUsages(mounts, spaces, nodes)
	metrics := map[string]filesystemMetrics{}
	var denied []string
	for point, fs := range mounts {
		if b, found := blockOf(fs.Device, blocks); found {
			fs.UUID, fs.Label = b.UUID, b.Label
		}
		space, known := spaces[point]
		switch {
		case known:
			fs.State = new("ok")
			metrics[point] = metricsOf(space, nodes[point])
		case asked && whole && fs.local():
			fs.State = new("denied")
			denied = append(denied, point)
		}
		if !sizeMoves(fs.FSType) {
			fs.Size = space.total
		}
		if inodesFixed(fs.FSType) {
			fs.InodesTotal = nodes[point].total
		}
		mounts[point] = fs
	}
	lackSizes(r, denied)
	return mounts, metrics
}

// lackSizes notes that df was denied an answer at the mount points, one by one if they are few.
func lackSizes(r *reader, denied []string) {
	const few = 20
	if len(denied) > few {
		r.lack(ReasonDenied, "filesystems.*.size", "filesystems.*.inodes_total")
		return
	}
	for _, point := range denied {
		r.lack(ReasonDenied, facts.Path{"filesystems", point, "size"}.String(), facts.Path{"filesystems", point, "inodes_total"}.String())
	}
}

// shareUsages tells of a bind mount what is known of its device: BusyBox's df answers with the first mount of it.
func shareUsages(mounts map[string]filesystemFacts, spaces, nodes map[string]usage) {
	points := map[string]string{} // the first mount point that df told of, by device
	for point, fs := range mounts {
		first, found := points[fs.Device]
		if _, known := spaces[point]; known && strings.HasPrefix(fs.Device, "/dev/") && (!found || point < first) {
			points[fs.Device] = point
		}
	}
	for point, fs := range mounts {
		if _, known := spaces[point]; known {
			continue
		}
		if other, found := points[fs.Device]; found {
			spaces[point], nodes[point] = spaces[other], nodes[other]
		}
	}
}

// local reports whether df was to be asked about the file system.
func (f filesystemFacts) local() bool {
	return !f.Remote && !strings.HasPrefix(f.FSType, "fuse") && !strings.ContainsAny(f.Mountpoint, "'\\\n")
}

// metricsOf returns what df told about a file system. One that makes its inodes on demand has none to count.
func metricsOf(space, nodes usage) filesystemMetrics {
	m := filesystemMetrics{Size: space.total, Used: space.used, Free: less(space.total, space.used), Avail: space.left}
	if nodes.total != nil && *nodes.total > 0 {
		m.InodesTotal, m.InodesUsed, m.InodesFree = nodes.total, nodes.used, nodes.left
	}
	return m
}

// blockOf returns the block device of that path.
func blockOf(device string, blocks map[string]blockFacts) (blockFacts, bool) {
	for _, prefix := range []string{"/dev/mapper/", "/dev/"} {
		if name, found := strings.CutPrefix(device, prefix); found {
			if b, known := blocks[name]; known {
				return b, true
			}
		}
	}
	return blockFacts{}, false
}

// mapValues returns the values of m in no order.
func mapValues[K comparable, V any](m map[K]V) []V {
	return slices.Collect(maps.Values(m))
}
