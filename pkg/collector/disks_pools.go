package collector

import (
	"regexp"
	"strings"
)

type mdFacts struct {
	Name    string   `json:"name"`
	Level   *string  `json:"level"`
	State   string   `json:"state"`   // active, degraded or inactive
	Devices []string `json:"devices"` // sorted
	Failed  []string `json:"failed"`  // sorted
	Size    *int64   `json:"size"`
}

type mdMetrics struct {
	Sync        *string  `json:"sync"` // resync, recovery, reshape or check while one goes on
	SyncPercent *float64 `json:"sync_percent"`
}

type zfsFacts struct {
	Name   string  `json:"name"`
	Size   *int64  `json:"size"`
	Health *string `json:"health"`
}

type zfsMetrics struct {
	Alloc *int64   `json:"alloc"`
	Dedup *float64 `json:"dedup"`
}

type btrfsFacts struct {
	Label   *string  `json:"label"`
	Devices []string `json:"devices"` // sorted
}

// readMD reads /proc/mdstat.
func readMD(r *reader) (map[string]mdFacts, map[string]mdMetrics) {
	facts, metrics := map[string]mdFacts{}, map[string]mdMetrics{}
	b := readBag(r.section("md", "md"))
	members := regexp.MustCompile(`\[(\d+)/(\d+)\]`)
	progress := regexp.MustCompile(`(resync|recovery|reshape|check)\s*=\s*([0-9.]+)%`)
	current := ""
	for _, line := range b.files["/proc/mdstat"] {
		name, rest, found := strings.Cut(line, " : ")
		switch {
		case found && strings.HasPrefix(name, "md") && isWord(name):
			current = name
			facts[name], metrics[name] = readArray(name, strings.Fields(rest)), mdMetrics{}
			continue
		case !strings.HasPrefix(line, " "):
			current = ""
		}
		if current == "" {
			continue
		}
		f, m := facts[current], metrics[current]
		if size, _, isSize := strings.Cut(strings.TrimSpace(line), " blocks"); isSize {
			f.Size = scaled(size, 1024)
		}
		if n := members.FindStringSubmatch(line); n != nil && n[1] != n[2] && f.State == "active" {
			f.State = "degraded"
		}
		if p := progress.FindStringSubmatch(line); p != nil {
			m.Sync, m.SyncPercent = text(p[1]), percent(p[2])
		}
		facts[current], metrics[current] = f, m
	}
	return facts, metrics
}

// readArray reads the words that follow an array's name: its state, its level unless it is inactive, its members.
func readArray(name string, words []string) mdFacts {
	f := mdFacts{Name: name, State: "inactive"}
	var devices, failed []string
	for i, word := range words {
		device, slot, isMember := strings.Cut(word, "[")
		switch {
		case isMember && strings.Contains(slot, "(F)"):
			failed = append(failed, device)
			devices = append(devices, device)
		case isMember:
			devices = append(devices, device)
		case i == 0:
			f.State = word
		case !strings.HasPrefix(word, "("):
			f.Level = text(word)
		}
	}
	f.Devices, f.Failed = sortedSet(devices), sortedSet(failed)
	return f
}

// readZFS reads the list of pools in exact numbers. The facts are nil where the kernel has ZFS and the host no tool.
func readZFS(r *reader) (map[string]zfsFacts, map[string]zfsMetrics) {
	facts, metrics := map[string]zfsFacts{}, map[string]zfsMetrics{}
	out := r.section("zfs", "zfs_pools")
	if hasLine(out, "#missing") {
		r.lack(ReasonToolMissing, "zfs_pools")
		return nil, metrics
	}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(fields) != 5 || !isWord(fields[0]) {
			r.lose(ReasonParseFailed, "zfs_pools")
			continue
		}
		facts[fields[0]] = zfsFacts{
			Name: fields[0], Size: number(fields[1]), Health: text(fields[3]),
		}
		metrics[fields[0]] = zfsMetrics{Alloc: number(fields[2]), Dedup: decimal(strings.TrimSuffix(fields[4], "x"))}
	}
	return facts, metrics
}

// readBtrfs reads what the kernel says of mounted btrfs file systems.
func readBtrfs(r *reader) map[string]btrfsFacts {
	out := map[string]btrfsFacts{}
	b := readBag(r.section("btrfs", "btrfs"))
	devices := map[string][]string{}
	for path := range b.exists {
		if uuid, device, found := strings.Cut(path, "/devices/"); found && isWord(uuid) && isWord(device) {
			devices[uuid] = append(devices[uuid], device)
		}
	}
	for uuid, names := range devices {
		out[uuid] = btrfsFacts{Label: text(b.first(uuid + "/label")), Devices: sortedSet(names)}
	}
	return out
}
