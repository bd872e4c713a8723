package collector

import (
	"math"
	"strings"
)

// memoryFacts are what seldom changes about memory, in bytes. null means unknown.
type memoryFacts struct {
	Total       *int64               `json:"total"`
	HugePages   hugePageFacts        `json:"hugepages"`
	Swap        swapFacts            `json:"swap"`
	Zram        map[string]zramFacts `json:"zram"` // by device
	Zswap       *zswapFacts          `json:"zswap"`
	CgroupLimit *int64               `json:"cgroup_limit"` // null without a limit
}

type hugePageFacts struct {
	Size  *int64 `json:"size"`
	Total *int64 `json:"total"` // number of pages that are set aside, without those that are lent on demand
}

type swapFacts struct {
	Total   *int64                `json:"total"`
	Devices map[string]swapDevice `json:"devices"` // by path
}

type swapDevice struct {
	Path     string  `json:"path"`
	Type     *string `json:"type"`
	Size     *int64  `json:"size"`
	Priority *int64  `json:"priority"`
}

type zramFacts struct {
	Size      *int64  `json:"size"`
	Algorithm *string `json:"algorithm"`
}

type zswapFacts struct {
	Enabled        *bool   `json:"enabled"`
	Compressor     *string `json:"compressor"`
	MaxPoolPercent *int64  `json:"max_pool_percent"`
}

// memoryMetrics are what always changes, in bytes.
type memoryMetrics struct {
	Available   *int64  `json:"available"`
	Confidence  *string `json:"confidence"` // estimated where the kernel does not tell what is available
	Free        *int64  `json:"free"`
	Used        *int64  `json:"used"` // total less available
	Buffers     *int64  `json:"buffers"`
	Cached      *int64  `json:"cached"` // the page cache with what is reclaimable of slab, without shared memory
	Shared      *int64  `json:"shared"`
	Slab        *int64  `json:"slab"`
	Dirty       *int64  `json:"dirty"`
	Writeback   *int64  `json:"writeback"`
	Active      *int64  `json:"active"`
	Inactive    *int64  `json:"inactive"`
	Committed   *int64  `json:"committed"`
	CommitLimit *int64  `json:"commit_limit"`
	ZFSARC      *int64  `json:"zfs_arc"` // null without ZFS

	HugePages hugePageMetrics `json:"hugepages"`
	Swap      swapMetrics     `json:"swap"`
	Pressure  pressureMetrics `json:"pressure"`
}

type hugePageMetrics struct {
	Free *int64 `json:"free"`
}

type swapMetrics struct {
	Free    *int64            `json:"free"`
	Used    *int64            `json:"used"`
	Devices map[string]*int64 `json:"devices_used"` // by path
}

type pressureMetrics struct {
	Some *float64 `json:"some"` // per cent of the last ten seconds
	Full *float64 `json:"full"`
}

// readMemory makes the report of type memory.
func readMemory(r *reader) (facts, metrics any) {
	content, ok := r.needs("mem", "*")
	if !ok {
		return nil, nil
	}
	b := readBag(content)
	total := kib(b, "MemTotal")
	if total == nil {
		r.failWith("mem", ReasonParseFailed)
		return nil, nil
	}
	f := memoryFacts{
		Total:       total,
		HugePages:   hugePageFacts{Size: kib(b, "Hugepagesize"), Total: hugePages(b)},
		Zram:        readZram(b),
		CgroupLimit: cgroupLimit(b, *total),
	}
	if b.has("/sys/module/zswap/parameters/enabled") {
		f.Zswap = &zswapFacts{
			Enabled:        flag(b.first("/sys/module/zswap/parameters/enabled")),
			Compressor:     text(b.first("/sys/module/zswap/parameters/compressor")),
			MaxPoolPercent: atMost(number(b.first("/sys/module/zswap/parameters/max_pool_percent")), 100),
		}
	}
	m := readMemoryMetrics(b, total)
	f.Swap.Total = kib(b, "SwapTotal")
	f.Swap.Devices, m.Swap.Devices = readSwaps(b)
	if m.Pressure.Some == nil {
		r.lack(ReasonNotApplicable, "pressure")
	}
	return f, m
}

// hugePages counts the pages that are set aside. What is lent beyond them comes and goes with who asks for it.
func hugePages(b bag) *int64 {
	total, lent := number(b.first("HugePages_Total")), number(b.first("HugePages_Surp"))
	if lent == nil {
		return total
	}
	return less(total, lent)
}

// kib reads a line of /proc/meminfo, whose kB are 1024 bytes.
func kib(b bag, name string) *int64 {
	digits, found := strings.CutSuffix(b.first(name), " kB")
	if !found {
		return nil
	}
	return scaled(digits, 1024)
}

// readMemoryMetrics reads what is in use and what is left.
func readMemoryMetrics(b bag, total *int64) memoryMetrics {
	m := memoryMetrics{
		Available: kib(b, "MemAvailable"), Free: kib(b, "MemFree"), Buffers: kib(b, "Buffers"), Shared: kib(b, "Shmem"),
		Slab: kib(b, "Slab"), Dirty: kib(b, "Dirty"), Writeback: kib(b, "Writeback"), Active: kib(b, "Active"),
		Inactive: kib(b, "Inactive"), Committed: kib(b, "Committed_AS"), CommitLimit: kib(b, "CommitLimit"),
		HugePages: hugePageMetrics{Free: number(b.first("HugePages_Free"))},
		Swap:      swapMetrics{Free: kib(b, "SwapFree"), Used: less(kib(b, "SwapTotal"), kib(b, "SwapFree"))},
		Pressure:  readPressure(b.files["/proc/pressure/memory"]),
		ZFSARC:    arcSize(b),
	}
	pageCache, reclaimable := kib(b, "Cached"), kib(b, "SReclaimable")
	if pageCache != nil && reclaimable != nil {
		m.Cached = less(new(*pageCache+*reclaimable), m.Shared)
	} else {
		m.Cached = pageCache
	}
	if m.Available == nil && m.Free != nil && m.Buffers != nil && pageCache != nil {
		// Kernels before 3.14 do not tell. This is an upper bound, since some of the cache is shared memory.
		m.Available = new(min(*m.Free+*m.Buffers+*pageCache, *total))
		m.Confidence = new("estimated")
	}
	m.Used = less(total, m.Available)
	return m
}

// less returns a − b, and nil where that is unknown or makes no sense.
func less(a, b *int64) *int64 {
	if a == nil || b == nil || *b > *a {
		return nil
	}
	return new(*a - *b)
}

// cgroupLimit reads how much the control group allows. A limit above what there is, is none.
func cgroupLimit(b bag, total int64) *int64 {
	limit := number(b.first("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"))
	if limit == nil || *limit >= total {
		return nil
	}
	return limit
}

// arcSize reads the size of the ZFS cache, which the kernel does not count as available although it mostly is.
func arcSize(b bag) *int64 {
	for _, line := range b.files["/proc/spl/kstat/zfs/arcstats"] {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "size" {
			return number(fields[2])
		}
	}
	return nil
}

// readPressure reads the ten-second averages of a pressure file.
func readPressure(lines []string) pressureMetrics {
	var m pressureMetrics
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		value, found := strings.CutPrefix(fields[1], "avg10=")
		if !found {
			continue
		}
		switch fields[0] {
		case "some":
			m.Some = percent(value)
		case "full":
			m.Full = percent(value)
		}
	}
	return m
}

// readSwaps reads /proc/swaps: what the devices are, and how much of each is used.
func readSwaps(b bag) (map[string]swapDevice, map[string]*int64) {
	devices, used := map[string]swapDevice{}, map[string]*int64{}
	for _, line := range b.files["/proc/swaps"] {
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[0] == "Filename" {
			continue
		}
		path := unescapeMount(fields[0])
		d := swapDevice{Path: path, Type: text(fields[1]), Size: scaled(fields[2], 1024)}
		if d.Priority = signed(fields[4]); d.Priority != nil && (*d.Priority < math.MinInt32 || *d.Priority > math.MaxInt32) {
			d.Priority = nil
		}
		devices[path], used[path] = d, scaled(fields[3], 1024)
	}
	return devices, used
}

// readZram reads the compressed block devices in memory that have a size.
func readZram(b bag) map[string]zramFacts {
	out := map[string]zramFacts{}
	for path := range b.files {
		name, found := strings.CutSuffix(path, "/disksize")
		if !found || !isWord(name) {
			continue
		}
		size := number(b.first(path))
		if size == nil || *size == 0 {
			continue
		}
		// The file lists every algorithm and brackets the one in use.
		_, rest, _ := strings.Cut(b.first(name+"/comp_algorithm"), "[")
		algorithm, _, _ := strings.Cut(rest, "]")
		out[name] = zramFacts{Size: size, Algorithm: text(algorithm)}
	}
	return out
}
