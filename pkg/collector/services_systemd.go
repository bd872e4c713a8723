package collector

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// passingUnits matches the units that come and go with sessions, connections, devices and crashes.
const passingUnits = `^(user@|user-runtime-dir@|session-|run-[rpu]?[0-9]|systemd-coredump@|systemd-fsck@|modprobe@|lvm2-pvscan@|dbus-:|.*@[0-9]+-[0-9])`

// A unit is what systemctl show tells of one, by property. A property that may come several times has a value for each.
type unit map[string][]string

func (u unit) get(property string) string {
	if values := u[property]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// readUnits reads blocks of properties between empty lines, by the names of their units. Of text that was cut the last
// block is left out.
func readUnits(out string, cut bool) (units map[string]unit, bad int) {
	units = map[string]unit{}
	current := unit{}
	end := func() {
		if id := current.get("Id"); id != "" {
			units[id] = current
		} else if len(current) > 0 {
			bad++
		}
		current = unit{}
	}
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\r\n")
		name, value, found := strings.Cut(line, "=")
		switch {
		case line == "":
			end()
		case found:
			current[name] = append(current[name], value)
		default:
			bad++
		}
	}
	if !cut {
		end()
	}
	return units, bad
}

// readSystemd lists the units that are on the host, rather than those that happen to be loaded.
func readSystemd(r *reader, f *servicesFacts, m *servicesMetrics) {
	paths := []string{"services", "timers"}
	out := r.section("systemd", paths...)
	s, _ := r.run.Section("systemd")
	switch {
	case hasLine(out, "#missing"):
		r.note(ReasonToolMissing, paths...)
		return
	case r.reasonFor("systemd") == "" && (hasLine(out, "#failed") || strings.TrimSpace(out) == ""):
		// The bus does not answer, or refuses to.
		r.lose(ReasonDenied, paths...)
		r.warn("section systemd: " + ReasonDenied)
		return
	}
	units, bad := readUnits(out, s.Truncated || s.TimedOut || s.Status < 0)
	if bad > 0 {
		r.lose(ReasonParseFailed, paths...)
		r.warn("section systemd: " + ReasonParseFailed)
	}
	called := calledUnits(units)
	passing := regexp.MustCompile(passingUnits)
	for _, id := range slices.Sorted(maps.Keys(units)) {
		u := units[id]
		switch {
		case u.get("Transient") == "yes", u.get("UnitFileState") == "transient", passing.MatchString(id):
			m.Passing++
		case !u.there(id):
		case strings.HasSuffix(id, ".timer"):
			f.addTimer(r, m, id, u)
		default:
			facts := u.service(id, called)
			var metrics *serviceMetrics
			if u.get("ActiveState") != "inactive" {
				metrics = new(u.metrics())
			}
			f.addService(r, m, facts, metrics)
		}
	}
}

// there reports whether a unit is there in its own right. Others only name one that is not found, and one that is made of
// a template is loaded as long as another one names it.
func (u unit) there(id string) bool {
	active := u.get("ActiveState")
	inactive := active == "inactive" || active == ""
	switch {
	case u.get("LoadState") == "not-found":
		return !inactive
	case !strings.Contains(id, "@"), u.enabled() == enabledYes, active == stateFailed:
		return true
	}
	return !inactive && (u.get("Type") != "oneshot" || u.get("RemainAfterExit") == "yes")
}

// calledUnits returns the services that timers (true) and open sockets (false) start.
func calledUnits(units map[string]unit) map[string]bool {
	called := map[string]bool{}
	for id, u := range units {
		timer := strings.HasSuffix(id, ".timer")
		if !timer && u.get("ActiveState") != "active" {
			continue
		}
		for name := range strings.FieldsSeq(u.get("Triggers") + " " + u.get("Unit")) {
			called[name] = called[name] || timer
		}
	}
	return called
}

// onDemand reports whether the unit is started when something calls for it, and ends by itself: it does one thing, or a
// timer starts it, or it waits behind a socket or on the bus and no target wants it. One on the bus that somebody disabled
// was wanted, and is as it was.
func (u unit) onDemand(id string, called map[string]bool) bool {
	byTimer, isCalled := called[id]
	wanted := strings.Contains(u.get("WantedBy")+" "+u.get("RequiredBy"), ".target")
	switch {
	case !strings.HasSuffix(id, ".service"):
		return false
	case u.get("Type") == "oneshot":
		return u.get("RemainAfterExit") != "yes"
	case byTimer:
		return true
	}
	return !wanted && (isCalled || u.get("BusName") != "" && u.enabled() != enabledNo)
}

// settled returns the state as a fact: nil while the unit is on its way to another one.
func (u unit) settled(onDemand bool) *string {
	switch state := u.state(); {
	case state == stateActivating, u.get("ActiveState") == "deactivating":
		return nil
	case onDemand && state != stateFailed && state != stateUnknown:
		return new(stateOnDemand)
	default:
		return &state
	}
}

// state returns the state at this moment.
func (u unit) state() string {
	switch u.get("ActiveState") {
	case "active", "reloading", "refreshing", "deactivating":
		return stateRunning
	case "inactive":
		return stateStopped
	case "failed":
		return stateFailed
	case "activating":
		return stateActivating
	}
	return stateUnknown
}

// enabled returns whether the unit is started with the system.
func (u unit) enabled() string {
	switch strings.TrimSuffix(u.get("UnitFileState"), "-runtime") {
	case "enabled":
		return enabledYes
	case "disabled", "linked", "indirect":
		return enabledNo
	case "static":
		return enabledStatic
	case "masked":
		return enabledMasked
	case "generated":
		return enabledGenerated
	}
	return enabledUnknown
}

// service returns the facts of a service or a socket.
func (u unit) service(id string, called map[string]bool) serviceFacts {
	s := serviceFacts{
		Manager: "systemd", Name: id, Description: text(u.get("Description")), Type: text(u.get("Type")),
		State: u.settled(u.onDemand(id, called)), Enabled: u.enabled(), EnabledState: text(u.get("UnitFileState")),
		Preset: text(u.get("UnitFilePreset")), LoadState: text(u.get("LoadState")), UnitPath: u.path(),
	}
	if strings.HasSuffix(id, ".socket") {
		s.Type = new("socket")
		return s
	}
	if path, found := strings.CutPrefix(u.get("ExecStart"), "{ path="); found {
		path, _, _ = strings.Cut(path, " ; ")
		s.Exec = text(path)
	}
	if s.Exec != nil {
		s.User = new(u.get("User"))
		if *s.User == "" {
			*s.User = "root"
		}
	}
	return s
}

// path returns the file that the unit is made of: where it was generated, that which it was generated from.
func (u unit) path() *string {
	if source := text(u.get("SourcePath")); source != nil {
		return source
	}
	return text(u.get("FragmentPath"))
}

// metrics returns the numbers of a service that is not just stopped.
func (u unit) metrics() serviceMetrics {
	m := serviceMetrics{
		State: u.state(), ActiveState: text(u.get("ActiveState")), SubState: text(u.get("SubState")),
		StartedAt: systemdTime(u.get("ActiveEnterTimestamp")), Restarts: number(u.get("NRestarts")),
		MemoryBytes: number(u.get("MemoryCurrent")), CPUNS: number(u.get("CPUUsageNSec")),
	}
	if pid := number(u.get("MainPID")); pid != nil && *pid > 0 {
		m.MainPID = pid
	}
	return m
}

// addTimer lists a timer.
func (f *servicesFacts) addTimer(r *reader, all *servicesMetrics, id string, u unit) {
	if !isWord(id) || len(f.Timers) >= maxServices {
		r.lose(ReasonTruncated, "timers")
		return
	}
	t := timerFacts{
		Name: id, Unit: text(u.get("Unit")), State: u.settled(false), Enabled: u.enabled(),
		EnabledState: text(u.get("UnitFileState")), UnitPath: u.path(),
	}
	var schedule []string
	for _, value := range slices.Concat(u["TimersCalendar"], u["TimersMonotonic"]) {
		when, _, _ := strings.Cut(strings.TrimPrefix(value, "{ "), " ; next_elapse=")
		schedule = append(schedule, when)
	}
	t.Schedule = sortedSet(schedule)
	f.Timers[id] = t
	if state := u.state(); state == stateFailed {
		all.FailedCount++
	} else if state == stateRunning {
		all.Timers[id] = timerMetrics{
			Next: systemdTime(u.get("NextElapseUSecRealtime")), Last: systemdTime(u.get("LastTriggerUSec")), Result: text(u.get("Result")),
		}
	}
}

// systemdTime reads a time as systemctl writes it where the time zone is UTC.
func systemdTime(s string) *int64 {
	at, err := time.Parse("Mon 2006-01-02 15:04:05 UTC", s)
	if err != nil || at.Unix() <= 0 {
		return nil
	}
	return new(at.Unix())
}
