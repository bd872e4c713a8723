package collector

// passingMounts matches mount points that come and go with containers and sessions. They are counted, not listed. It
// is an extended regular expression that awk and Go read alike.
const passingMounts = `^(/var/lib/docker/(overlay2|containers|aufs|devicemapper|btrfs|zfs|vfs)/|` +
	`/var/lib/containers/storage/overlay|/var/lib/containerd/|/var/lib/kubelet/(pods|plugins)/|` +
	`/run/(docker|containerd|credentials|user|netns|k3s|snapd)/|` +
	`.*/overlay2?/[0-9a-f]+/merged$|.*/containers/[0-9a-f]+/mounts/|.*/pods/[0-9a-f-]+/volume)`

const (
	// A mount table may hold the same line thousands of times; the last mount on a point is the one that is seen.
	// Where an automounter sits is told first, and beside what it has mounted there.
	bodyMounts = `if have awk; then awk '$3 == "autofs" { auto[$2] = $0; next } { last[$2] = $0 } END { for (m in auto) print auto[m]; for (m in last) print last[m] }' /proc/self/mounts
else cat /proc/self/mounts; fi`

	// Only local file systems are asked, by name: a bare df blocks on dead network mounts and df has no portable
	// way of leaving them out. One awk writes the arguments as shell words, because appending to the positional
	// parameters in a loop is quadratic, and so are bash's pattern removals. A mount point with a quote or a
	// backslash in it is left out, so no name can be more than a word.
	bodyDF = `have awk && have df || return 0
eval "$(awk -v q="'" -v passing='` + passingMounts + `' '
  BEGIN { printf "set --" }
  $3 ~ /^(ext2|ext3|ext4|xfs|btrfs|zfs|f2fs|jfs|nilfs2|reiserfs|bcachefs|vfat|msdos|exfat|ntfs|ntfs3|hfsplus|iso9660|udf|squashfs|erofs|overlay|aufs|tmpfs|devtmpfs|ramfs|ubifs|jffs2|virtiofs|minix)$/ {
    m = $2
    gsub(/\\040/, " ", m)
    gsub(/\\011/, "\t", m)
    if (index(m, q) || index(m, "\\") || m in seen) next
    if (m ~ passing) next
    seen[m] = 1
    bytes += length(m)
    if (++n > 2000 || bytes > 900000) { left++; next }
    printf " %s%s%s", q, m, q
  }
  END { printf "\n"; if (left) printf "echo %s#left %d%s\n", q, left, q }' /proc/self/mounts)"
[ $# -gt 0 ] || return 0
echo '#blocks'
lim 10 df -Pk "$@"
echo '#inodes'
lim 10 df -Pi "$@"
:`

	bodyBlk = `cd /sys/block || return 0
g */size */removable */ro */queue/rotational */queue/logical_block_size */queue/physical_block_size */device/model */device/vendor */device/serial */serial */device/wwid */wwid */dm/name */dm/uuid */md/level
g */*/partition */*/start */*/size
ls -d */slaves/*
ls -ld -- *
cd /
ls -ld /dev/disk/by-uuid/* /dev/disk/by-label/* /dev/disk/by-partuuid/*
:`

	bodyLsblk = `have lsblk || return 0
lim 10 lsblk -J -b -o NAME,KNAME,TYPE,FSTYPE,UUID,LABEL,PARTUUID,MODEL,SERIAL,WWN,TRAN,PKNAME
:`

	bodyMD = `g /proc/mdstat`

	// LVM locks and may wait for them; reading the metadata needs root.
	bodyLVM = `[ "$(id -u)" = 0 ] && have lvs || return 0
echo '#pvs'
lim 10 pvs --readonly --reportformat json --units b --nosuffix -o pv_name,vg_name,pv_size,pv_free,pv_uuid
echo '#vgs'
lim 10 vgs --readonly --reportformat json --units b --nosuffix -o vg_name,vg_size,vg_free,vg_uuid,pv_count,lv_count
echo '#lvs'
lim 10 lvs --readonly --reportformat json --units b --nosuffix -o lv_name,vg_name,lv_size,lv_attr,lv_uuid,segtype
:`

	bodyZFS = `[ -e /proc/spl ] || return 0
have zpool || { echo '#missing'; return 0; }
lim 10 zpool list -Hp -o name,size,allocated,health,dedupratio
:`

	bodyBtrfs = `cd /sys/fs/btrfs || return 0
g */label */metadata_uuid
ls -d */devices/*
cd /
:`
)
