package collector

import (
	"slices"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// servicesFacts are what the init of the host is to run.
type servicesFacts struct {
	Manager  *string                 `json:"manager"`  // systemd, openrc, sysv, procd, runit or s6; null if there is none that we know
	Services map[string]serviceFacts `json:"services"` // by manager and name; systemd's sockets are among them
	Timers   map[string]timerFacts   `json:"timers"`   // by name
}

// serviceFacts are one service. null is unknown, or is nothing that its manager has.
type serviceFacts struct {
	Manager      string  `json:"manager"`
	Name         string  `json:"name"`
	Description  *string `json:"description"`
	Type         *string `json:"type"`          // how systemd starts it, such as notify or oneshot; socket
	State        *string `json:"state"`         // running, stopped, failed, on_demand or unknown; null while it starts or stops
	Enabled      string  `json:"enabled"`       // yes, no, static, masked, generated or unknown
	EnabledState *string `json:"enabled_state"` // the same in systemd's own words, or the runlevels of OpenRC and SysV
	Preset       *string `json:"preset"`        // whether the distribution would enable it
	LoadState    *string `json:"load_state"`
	User         *string `json:"user"`      // whom systemd runs it as
	Exec         *string `json:"exec"`      // the program, without its arguments
	UnitPath     *string `json:"unit_path"` // the unit or the script
}

type timerFacts struct {
	Name         string   `json:"name"`
	Schedule     []string `json:"schedule"` // such as OnCalendar=*-*-* 06,18:00:00; sorted
	Unit         *string  `json:"unit"`
	State        *string  `json:"state"`
	Enabled      string   `json:"enabled"`
	EnabledState *string  `json:"enabled_state"`
	UnitPath     *string  `json:"unit_path"`
}

// servicesMetrics are what moves although nobody does anything.
type servicesMetrics struct {
	Services    map[string]serviceMetrics `json:"services"`     // of those that are not just stopped
	Timers      map[string]timerMetrics   `json:"timers"`       // of those that run
	FailedCount int64                     `json:"failed_count"` // of the services and timers that are listed
	Passing     int64                     `json:"passing"`      // units of sessions, connections and programs, not listed
}

type serviceMetrics struct {
	State       string  `json:"state"` // running, stopped, failed, activating or unknown, also of those on demand
	ActiveState *string `json:"active_state"`
	SubState    *string `json:"sub_state"`
	MainPID     *int64  `json:"main_pid"`
	StartedAt   *int64  `json:"started_at"` // Unix seconds
	Restarts    *int64  `json:"restarts"`   // by systemd itself, since somebody started it
	MemoryBytes *int64  `json:"memory_bytes"`
	CPUNS       *int64  `json:"cpu_ns"`
}

type timerMetrics struct {
	Next   *int64  `json:"next"` // Unix seconds; null if it counts from something else than the calendar
	Last   *int64  `json:"last"`
	Result *string `json:"result"`
}

// The states of a service. A service that starts or stops has none: it keeps the one that it had.
const (
	stateRunning    = "running"
	stateStopped    = "stopped"
	stateFailed     = "failed"
	stateOnDemand   = "on_demand" // it runs when something calls for it, and ends: whether it does now is a metric
	stateUnknown    = "unknown"
	stateActivating = "activating" // only in metrics
)

// Whether a service is started with the system.
const (
	enabledYes       = "yes"
	enabledNo        = "no"
	enabledStatic    = "static"
	enabledMasked    = "masked"
	enabledGenerated = "generated"
	enabledUnknown   = "unknown"
)

// ReasonUnsettled says that a value was on its way to another one when it was asked for.
const ReasonUnsettled = "unsettled"

// maxServices bounds what a report lists.
const maxServices = 10_000

// readServices makes the report of type services.
func readServices(r *reader) (facts, metrics any) {
	text, ok := r.needs("svc", "manager", "services")
	if !ok {
		return nil, nil
	}
	b := readBag(text)
	f := servicesFacts{Services: map[string]serviceFacts{}, Timers: map[string]timerFacts{}}
	m := servicesMetrics{Services: map[string]serviceMetrics{}, Timers: map[string]timerMetrics{}}
	manager := serviceManagerOf(b)
	if manager != "" {
		f.Manager = &manager
	}
	switch manager {
	case "systemd":
		readSystemd(r, &f, &m)
	case "openrc":
		readOpenRC(r, b, &f, &m)
	case "procd":
		readProcd(r, b, &f, &m)
	case "runit", "s6":
		readSupervised(r, b, manager, &f, &m)
	case "sysv":
		readSysV(b, &f)
	default:
		r.lack(ReasonNotApplicable, "manager", "services", "timers")
	}
	if manager != "" && manager != "systemd" {
		r.lack(ReasonNotApplicable, "timers")
	}
	for _, s := range m.Services {
		if s.State == stateFailed {
			m.FailedCount++
		}
	}
	unsettled(r, f)
	return f, m
}

// serviceManagerOf names what starts the services. Where process 1 is a program of its own, as in a container, scripts may
// be there all the same.
func serviceManagerOf(b bag) string {
	switch manager := initOf(b); {
	case slices.Contains([]string{"systemd", "openrc", "procd", "runit", "s6"}, manager):
		return manager
	case len(scriptsOf(b)) > 0:
		return "sysv"
	}
	return ""
}

// addService lists a service. m is nil if it is just stopped.
func (f *servicesFacts) addService(r *reader, all *servicesMetrics, s serviceFacts, m *serviceMetrics) {
	if !isWord(s.Name) {
		r.lose(ReasonParseFailed, "services")
		return
	}
	if len(f.Services) >= maxServices {
		r.lose(ReasonTruncated, "services")
		return
	}
	key := s.Manager + ":" + s.Name
	f.Services[key] = s
	if m != nil {
		all.Services[key] = *m
	}
}

// unsettled notes which services were starting or stopping, one by one if they are few: they keep the state that they had.
func unsettled(r *reader, f servicesFacts) {
	const few = 20
	if _, told := r.unavailable["services.*.state"]; told {
		return
	}
	var moving []string
	for key, s := range f.Services {
		if s.State == nil {
			moving = append(moving, facts.Path{"services", key, "state"}.String())
		}
	}
	for name, t := range f.Timers {
		if t.State == nil {
			moving = append(moving, facts.Path{"timers", name, "state"}.String())
		}
	}
	if len(moving) > few {
		moving = []string{"services.*.state", "timers.*.state"}
	}
	slices.Sort(moving)
	r.note(ReasonUnsettled, moving...)
}
