package collector

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// cpuFacts are what seldom changes about the processors. null means unknown.
type cpuFacts struct {
	Model           *string           `json:"model"`
	Vendor          *string           `json:"vendor"`
	Arch            *string           `json:"arch"`
	Sockets         *int64            `json:"sockets"`
	Cores           *int64            `json:"cores"`   // physical ones of the processors that are online
	Threads         *int64            `json:"threads"` // logical processors that are present
	Online          *int64            `json:"online"`
	ThreadsPerCore  *int64            `json:"threads_per_core"`
	NUMANodes       *int64            `json:"numa_nodes"`
	MHzMin          *float64          `json:"mhz_min"`
	MHzMax          *float64          `json:"mhz_max"`
	MHzBase         *float64          `json:"mhz_base"`
	Cache           cacheFacts        `json:"cache"` // of the first core, in bytes
	Flags           []string          `json:"flags"` // sorted
	Microcode       *string           `json:"microcode"`
	Vulnerabilities map[string]string `json:"vulnerabilities"` // state by name
	VirtExt         *string           `json:"virt_ext"`        // vmx or svm
	Governor        *string           `json:"governor"`
	QuotaCores      *float64          `json:"cgroup_quota_cores"` // null without a quota
}

type cacheFacts struct {
	L1D *int64 `json:"l1d"`
	L1I *int64 `json:"l1i"`
	L2  *int64 `json:"l2"`
	L3  *int64 `json:"l3"`
}

// cpuMetrics are what always changes.
type cpuMetrics struct {
	Load1        *float64 `json:"load1"`
	Load5        *float64 `json:"load5"`
	Load15       *float64 `json:"load15"`
	ProcsRunning *int64   `json:"procs_running"`
	ProcsTotal   *int64   `json:"procs_total"`
	MHzCurrent   *float64 `json:"mhz_current"` // mean of the processors that tell
}

// readCPU makes the report of type cpu.
func readCPU(r *reader) (facts, metrics any) {
	content, ok := r.needs("cpu", "*")
	if !ok {
		return nil, nil
	}
	parts := splitParts(content, "cpuinfo", "processors")
	b := readBag(parts[""])
	info := readCPUInfo(parts["cpuinfo"])
	all := parts["processors"]
	f := cpuFacts{
		Model: text(info.model()), Vendor: text(info.vendor()), Arch: text(r.run.identity.arch),
		Flags: info.flags(), Microcode: text(info["microcode"]), Vulnerabilities: map[string]string{},
		Governor: text(b.first("cpufreq/policy0/scaling_governor")),
		MHzMin:   megahertz(b.first("cpufreq/policy0/cpuinfo_min_freq")), MHzMax: megahertz(b.first("cpufreq/policy0/cpuinfo_max_freq")),
		MHzBase: megahertz(b.first("cpufreq/policy0/base_frequency")), QuotaCores: quotaCores(b), Cache: readCache(b),
	}
	f.setTopology(b, all)
	for path, lines := range b.files {
		if name, found := strings.CutPrefix(path, "vulnerabilities/"); found && len(lines) > 0 && isWord(name) {
			f.Vulnerabilities[name] = strings.TrimSpace(lines[0])
		}
	}
	for _, ext := range []string{"vmx", "svm"} {
		if slices.Contains(f.Flags, ext) {
			f.VirtExt = new(ext)
		}
	}
	if f.MHzMax == nil {
		r.lack(ReasonNotApplicable, "mhz_min", "mhz_max", "mhz_base", "governor")
	}
	if f.Threads == nil {
		r.lose(ReasonParseFailed, "threads", "online", "sockets", "cores")
	}
	return f, readCPUMetrics(r, b, all)
}

// setTopology counts processors by what /sys says of each. /proc/cpuinfo is wrong about cores and sockets on too many
// machines to be asked, and counts the processors only where /sys does not.
func (f *cpuFacts) setTopology(b bag, processors string) {
	f.Threads, f.Online = countList(b.first("present")), countList(b.first("online"))
	if f.Online == nil {
		var n int64
		for line := range strings.Lines(processors) {
			if strings.HasPrefix(line, "processor") {
				n++
			}
		}
		if n > 0 {
			f.Online = &n
		}
	}
	if f.Threads == nil {
		f.Threads = f.Online
	}
	f.NUMANodes = countList(b.first("/sys/devices/system/node/online"))
	sockets, cores := map[string]bool{}, map[string]bool{}
	for path := range b.files {
		dir, found := strings.CutSuffix(path, "/physical_package_id")
		if !found {
			continue
		}
		socket, core := b.first(path), b.first(dir+"/core_id")
		sockets[socket] = true
		cores[socket+":"+core] = true
	}
	if len(sockets) == 0 {
		return
	}
	f.Sockets, f.Cores = new(int64(len(sockets))), new(int64(len(cores)))
	if f.Online != nil && *f.Online%int64(len(cores)) == 0 {
		f.ThreadsPerCore = new(*f.Online / int64(len(cores)))
	}
}

// countList counts the members of a kernel list such as 0-3,8,10-11.
func countList(s string) *int64 {
	if s == "" {
		return nil
	}
	var n int64
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		low := number(from)
		high := low
		if isRange {
			high = number(to)
		}
		if low == nil || high == nil || *high < *low || *high > 1<<20 {
			return nil
		}
		n += *high - *low + 1
	}
	return &n
}

// megahertz reads a frequency of cpufreq, which is in kHz.
func megahertz(khz string) *float64 {
	v := number(khz)
	if v == nil || *v == 0 {
		return nil
	}
	return new(float64(*v) / 1000)
}

// quotaCores reads how many cores' worth of time the control group allows.
func quotaCores(b bag) *float64 {
	quota, period := b.first("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), b.first("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
	if fields := strings.Fields(b.first("/sys/fs/cgroup/cpu.max")); len(fields) == 2 {
		quota, period = fields[0], fields[1]
	}
	q, p := number(quota), number(period) // "max" and -1 are no quota
	if q == nil || p == nil || *p == 0 {
		return nil
	}
	return new(float64(*q) / float64(*p))
}

// readCache reads the sizes of the first core's caches.
func readCache(b bag) cacheFacts {
	var f cacheFacts
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		dir, found := strings.CutSuffix(path, "/size")
		if !found {
			continue
		}
		size := cacheSize(b.first(path))
		switch b.first(dir+"/level") + strings.ToLower(b.first(dir+"/type")) {
		case "1data":
			f.L1D = size
		case "1instruction":
			f.L1I = size
		case "2unified":
			f.L2 = size
		case "3unified":
			f.L3 = size
		}
	}
	return f
}

// cacheSize reads a size such as 48K in bytes.
func cacheSize(s string) *int64 {
	for _, unit := range []struct {
		suffix string
		bytes  int64
	}{{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}} {
		if digits, found := strings.CutSuffix(s, unit.suffix); found {
			return scaled(digits, unit.bytes)
		}
	}
	return number(s)
}

// readCPUMetrics reads the load and what the processors do right now.
func readCPUMetrics(r *reader, b bag, processors string) cpuMetrics {
	var m cpuMetrics
	if load := strings.Fields(b.first("/proc/loadavg")); len(load) >= 4 {
		m.Load1, m.Load5, m.Load15 = decimal(load[0]), decimal(load[1]), decimal(load[2])
		running, total, _ := strings.Cut(load[3], "/")
		m.ProcsRunning, m.ProcsTotal = number(running), number(total)
	}
	if m.Load1 == nil {
		r.lack(ReasonDenied, "load1", "load5", "load15", "procs_running", "procs_total")
	}
	m.MHzCurrent = currentMHz(b, processors)
	return m
}

// currentMHz returns the mean of the current frequencies, by cpufreq, else by /proc/cpuinfo.
func currentMHz(b bag, processors string) *float64 {
	var sum float64
	var n int
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		if strings.HasSuffix(path, "/scaling_cur_freq") {
			if v := megahertz(b.first(path)); v != nil {
				sum, n = sum+*v, n+1
			}
		}
	}
	if n == 0 {
		for line := range strings.Lines(processors) {
			name, value, _ := strings.Cut(line, ":")
			if name = strings.TrimSpace(strings.ToLower(name)); name == "cpu mhz" || name == "clock" {
				if v := decimal(strings.TrimSuffix(strings.TrimSpace(value), "MHz")); v != nil {
					sum, n = sum+*v, n+1
				}
			}
		}
	}
	if n == 0 {
		return nil
	}
	mean, err := strconv.ParseFloat(strconv.FormatFloat(sum/float64(n), 'f', 3, 64), 64)
	if err != nil {
		return nil
	}
	return &mean
}
