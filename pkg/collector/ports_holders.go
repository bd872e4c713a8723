package collector

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A process is one that holds a socket.
type process struct {
	pid, started    int64 // started is in ticks since the machine was
	name, exe       string
	unit, container string
}

// before reports whether p was started before other.
func (p process) before(other process) bool {
	return cmp.Or(cmp.Compare(p.started, other.started), cmp.Compare(p.pid, other.pid)) < 0
}

// readHolders reads who holds which socket, by inode.
func readHolders(r *reader) map[int64][]process {
	fields := []string{"listening.*.process", "listening.*.exe", "listening.*.unit", "listening.*.container"}
	out := r.exact("holders", fields...)
	parts := splitParts(out, "awk", "inodes", "processes")
	if _, missing := parts["awk"]; missing {
		r.lack(ReasonToolMissing, append(fields, "listening.*.pid")...)
		return nil
	}
	processes := readProcesses(parts["processes"])
	holders := map[int64][]process{}
	for line := range strings.Lines(parts["inodes"]) {
		pid, inode, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, i := number(pid), number(inode)
		if id == nil || i == nil {
			continue
		}
		if p, known := processes[*id]; known {
			holders[*i] = append(holders[*i], p)
		}
	}
	return holders
}

// readProcesses reads what the processes are, by process ID. One without a name has ended meanwhile.
func readProcesses(lines string) map[int64]process {
	b := readBag(lines)
	units := unitReader{
		container: regexp.MustCompile(`(?:^|[/:-])([0-9a-f]{64})(?:\.scope|/|$)`), lxc: regexp.MustCompile(`/lxc(?:\.payload)?[./]([^/]+)`),
		passing: regexp.MustCompile(`^(session-|run-|user@|app-|vte-)|@[0-9a-f-]{8,}`),
	}
	processes := map[int64]process{}
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		dir, found := strings.CutSuffix(path, "/stat")
		pid := number(dir)
		if !found || pid == nil {
			continue
		}
		p, ok := readStat(strings.Join(b.files[path], "\n"))
		if !ok {
			continue
		}
		p.pid = *pid
		p.exe = strings.TrimSuffix(b.links[dir+"/exe"], " (deleted)")
		p.unit, p.container = units.read(b.files[dir+"/cgroup"])
		processes[*pid] = p
	}
	return processes
}

// readStat reads the name and the start of a process out of its stat, where the name stands in parentheses and may hold
// more of them.
func readStat(line string) (process, bool) {
	const start = 19 // counted from the state, which follows the name
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) <= start || number(fields[start]) == nil {
		return process{}, false
	}
	return process{name: line[open+1 : end], started: *number(fields[start])}, true
}

// A unitReader finds the unit of systemd and the container in the control groups of a process.
type unitReader struct {
	container, lxc *regexp.Regexp
	passing        *regexp.Regexp // units that are numbered as they come
}

// read returns both, "" for none. A unit that has another name each time is none.
func (u unitReader) read(groups []string) (unit, container string) {
	for _, line := range groups {
		number, rest, _ := strings.Cut(line, ":")
		controllers, path, found := strings.Cut(rest, ":")
		if !found {
			continue
		}
		if id := u.container.FindStringSubmatch(path); id != nil {
			container = id[1]
		} else if id := u.lxc.FindStringSubmatch(path); id != nil && container == "" {
			container = id[1]
		}
		if number != "0" && controllers != "name=systemd" {
			continue
		}
		for name := range strings.SplitSeq(path, "/") {
			kind := name[strings.LastIndexByte(name, '.')+1:]
			if (kind == "service" || kind == "scope") && !u.passing.MatchString(name) && (container == "" || !strings.Contains(name, container)) {
				unit = name
			}
		}
	}
	return unit, container
}
