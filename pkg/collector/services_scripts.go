package collector

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// scriptsOf returns the scripts of services by name.
func scriptsOf(b bag) map[string]string {
	scripts := map[string]string{}
	for name, file := range b.values {
		name, found := strings.CutPrefix(name, "script:")
		if found && name != "README" && name != "skeleton" && name != "functions" && name != "functions.sh" {
			scripts[name] = file
		}
	}
	return scripts
}

// scriptFacts returns what a script tells of its service.
func scriptFacts(b bag, manager, name, file string) serviceFacts {
	s := serviceFacts{Manager: manager, Name: name, Enabled: enabledNo, State: new(stateUnknown), UnitPath: text(file)}
	if _, description, found := strings.Cut(b.first(file), "Short-Description:"); found {
		s.Description = text(description)
	}
	return s
}

// readSysV lists the scripts and the runlevels that start them. What is running is not asked: only the scripts could tell.
func readSysV(b bag, f *servicesFacts) {
	scripts, levels := scriptsOf(b), runlevelLinks(b)
	initial := ""
	for _, line := range b.files["/etc/inittab"] {
		if fields := strings.Split(line, ":"); len(fields) > 2 && fields[2] == "initdefault" {
			initial = fields[1]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		if len(f.Services) >= maxServices || !isWord(name) {
			continue
		}
		s := scriptFacts(b, "sysv", name, scripts[name])
		for _, level := range levels[name] {
			if level == "S" || level == initial || initial == "" && slices.Contains([]string{"2", "3", "4", "5"}, level) {
				s.Enabled = enabledYes
			}
		}
		s.EnabledState = text(strings.Join(levels[name], " "))
		f.Services["sysv:"+name] = s
	}
}

// runlevelLinks returns the runlevels that start each service, in order, from links such as /etc/rc2.d/S01ssh.
func runlevelLinks(b bag) map[string][]string {
	levels := map[string][]string{}
	for file := range b.exists {
		dir, link := path.Split(file)
		level, found := strings.CutPrefix(path.Base(dir), "rc")
		level, isLevel := strings.CutSuffix(level, ".d")
		if found && isLevel && len(level) == 1 && len(link) > 3 && link[0] == 'S' {
			levels[link[3:]] = append(levels[link[3:]], level)
		}
	}
	for name, list := range levels {
		levels[name] = sortedSet(list)
	}
	return levels
}

// readOpenRC lists the scripts, the runlevels that start them, and what OpenRC says of them.
func readOpenRC(r *reader, b bag, f *servicesFacts, m *servicesMetrics) {
	out := splitParts(r.section("svc_tools", "services.*.state"), "openrc")["openrc"]
	states := map[string]string{}
	for line := range strings.Lines(out) {
		name, state, found := strings.Cut(strings.TrimSpace(line), "[")
		if found {
			state, _, _ = strings.Cut(state, "]")
			states[strings.TrimSpace(name)] = strings.TrimSpace(state)
		}
	}
	// What is linked below /run tells where rc-status does not, but not of what has crashed.
	linked, levels := map[string]string{}, map[string][]string{}
	for file := range b.exists {
		dir, name := path.Split(file)
		if level, found := strings.CutPrefix(path.Clean(dir), "/etc/runlevels/"); found {
			levels[name] = append(levels[name], level)
		}
		if state, found := strings.CutPrefix(path.Clean(dir), "/run/openrc/"); found {
			linked[name] = state
		}
	}
	for name, state := range linked {
		if states[name] == "" {
			states[name] = state
		}
	}
	scripts := scriptsOf(b)
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		s := scriptFacts(b, "openrc", name, scripts[name])
		if slices.ContainsFunc(levels[name], func(level string) bool { return level != "shutdown" }) {
			s.Enabled = enabledYes
		}
		s.EnabledState = text(strings.Join(sortedSet(levels[name]), " "))
		now := openRCState(states[name])
		s.State = &now
		if now == stateActivating {
			s.State = nil
		}
		f.addService(r, m, s, passingMetrics(now))
	}
}

// openRCState reads a state in OpenRC's words. A service that it says nothing of was never started.
func openRCState(word string) string {
	word, _, _ = strings.Cut(word, " ") // such as "started 00:12:34 (0)"
	switch word {
	case "started":
		return stateRunning
	case "stopped", "":
		return stateStopped
	case "crashed", "failed", "unsupervised":
		return stateFailed
	case "starting", "stopping", "inactive", "scheduled":
		return stateActivating
	}
	return stateUnknown
}

// passingMetrics returns the metrics of a service of which nothing is known but its state; nil if it is just stopped.
func passingMetrics(state string) *serviceMetrics {
	if state == stateStopped {
		return nil
	}
	return &serviceMetrics{State: state}
}

// readProcd lists the scripts of OpenWrt, the links that start them, and which of them have processes that run. A script
// that leaves no process behind has nothing to run.
func readProcd(r *reader, b bag, f *servicesFacts, m *servicesMetrics) {
	out, told := splitParts(r.section("svc_tools", "services.*.state"), "procd")["procd"]
	known := told && strings.TrimSpace(out) != ""
	if !known && r.reasonFor("svc_tools") == "" {
		reason := ReasonToolMissing
		if !r.run.Root() {
			reason = ReasonNoPermission
		}
		r.note(reason, "services.*.state")
	}
	states, pids := procdStates(out)
	levels := map[string]bool{}
	for file := range b.exists {
		if dir, link := path.Split(file); dir == "/etc/rc.d/" && len(link) > 3 && link[0] == 'S' {
			levels[link[3:]] = true
		}
	}
	scripts := scriptsOf(b)
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		s := scriptFacts(b, "procd", name, scripts[name])
		if levels[name] {
			s.Enabled = enabledYes
		}
		if !known {
			s.State = nil
			f.addService(r, m, s, nil)
			continue
		}
		state, found := states[name]
		if !found {
			state = stateStopped
		}
		s.State = &state
		metrics := passingMetrics(state)
		if metrics != nil {
			metrics.MainPID = pids[name]
		}
		f.addService(r, m, s, metrics)
	}
}

// procdStates reads the lines of procd's list that are sent: the names of services, and below each what its instances do.
// One of several is enough to call the service running.
func procdStates(out string) (states map[string]string, pids map[string]*int64) {
	states, pids = map[string]string{}, map[string]*int64{}
	name := ""
	for line := range strings.Lines(out) {
		key, value, found := strings.Cut(strings.TrimSpace(line), ": ")
		key, value = strings.Trim(key, `"`), strings.Trim(value, ", ")
		switch {
		case !found:
		case value == "{":
			name = key
		case key == "running" && value == "true":
			states[name] = stateRunning
		case key == "running" && states[name] == "":
			states[name] = stateStopped
		case key == "pid" && pids[name] == nil:
			pids[name] = number(value)
		}
	}
	return states, pids
}

// readSupervised lists the directories of runit's or s6's services. Those that nobody has linked are not started.
func readSupervised(r *reader, b bag, manager string, f *servicesFacts, m *servicesMetrics) {
	told := map[string]string{}
	for line := range strings.Lines(splitParts(r.section("svc_tools", "services.*.state"), "s6")["s6"]) {
		name, state, _ := strings.Cut(strings.TrimSpace(line), "\t")
		told[name] = state
	}
	services := map[string]serviceFacts{}
	for file := range b.exists {
		dir, name := path.Split(file)
		switch linked := slices.Contains([]string{"/etc/service/", "/var/service/", "/service/", "/run/service/"}, dir); {
		case strings.HasPrefix(name, "."), name == "":
		case linked || dir == "/etc/sv/":
			s, known := services[name]
			if !known || linked {
				s = scriptFacts(b, manager, name, file)
			}
			if linked && !b.exists[file+"/down"] {
				s.Enabled = enabledYes
			} else if !linked {
				s.State = new(stateStopped)
			}
			if !known || linked {
				services[name] = s
			}
		}
	}
	denied := false
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		var metrics *serviceMetrics
		if strings.HasPrefix(*s.UnitPath, "/etc/sv/") {
			f.addService(r, m, s, nil)
			continue
		}
		words := strings.Fields(told[name] + " " + b.first(*s.UnitPath+"/supervise/stat"))
		if len(words) == 0 {
			denied = true
			s.State = nil
			f.addService(r, m, s, nil)
			continue
		}
		switch words[0] {
		case "run", "up":
			s.State = new(stateRunning)
		case "down":
			s.State = new(stateStopped)
		case "finish":
			s.State = nil
		}
		if deref(s.State) != stateStopped {
			metrics = passingMetrics(stateRunning)
			metrics.MainPID = number(b.first(*s.UnitPath + "/supervise/pid"))
		}
		f.addService(r, m, s, metrics)
	}
	if denied {
		r.note(ReasonNoPermission, "services.*.state")
	}
}
