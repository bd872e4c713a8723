package up

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// The few values of each report type that its line shows. Anything unknown is left out.
type (
	osShort struct {
		PrettyName *string `json:"pretty_name"`
		Arch       *string `json:"arch"`
		Hostname   *string `json:"hostname"`
		Kernel     struct {
			Release *string `json:"release"`
		} `json:"kernel"`
		Uptime *float64 `json:"uptime_seconds"`
	}
	cpuShort struct {
		Model  *string  `json:"model"`
		Online *int     `json:"online"`
		Load1  *float64 `json:"load1"`
	}
	memoryShort struct {
		Total     *int64 `json:"total"`
		Available *int64 `json:"available"`
		Swap      struct {
			Total *int64 `json:"total"`
		} `json:"swap"`
	}
	filesystemShort struct {
		FSType string `json:"fstype"`
		Size   *int64 `json:"size"`
		Used   *int64 `json:"used"`
	}
	disksShort struct {
		Filesystems map[string]filesystemShort `json:"filesystems"`
	}
	packagesShort struct {
		Managers map[string]*int64 `json:"managers"`
	}
	servicesShort struct {
		Manager  *string `json:"manager"`
		Services map[string]struct {
			State *string `json:"state"`
		} `json:"services"`
	}
	usersShort struct {
		Users map[string]struct {
			LoginAllowed bool `json:"login_allowed"`
			Admin        bool `json:"admin"`
		} `json:"users"`
	}
	portsShort struct {
		Listening map[string]struct {
			Exposure string `json:"exposure"`
		} `json:"listening"`
	}
	networkShort struct {
		PrimaryIP  *string                    `json:"primary_ip"`
		Interfaces map[string]json.RawMessage `json:"interfaces"`
	}
)

// inShort returns a report in one line for people.
func inShort(r fleet.Report) string {
	switch r.Type {
	case "os":
		return shortOS(read[osShort](r))
	case "cpu":
		return shortCPU(read[cpuShort](r))
	case "memory":
		return shortMemory(read[memoryShort](r))
	case "disks":
		return shortDisks(r)
	case "packages":
		return shortPackages(readFacts[packagesShort](r))
	case "services":
		return shortServices(readFacts[servicesShort](r))
	case "users":
		return shortUsers(readFacts[usersShort](r))
	case "ports":
		return shortPorts(readFacts[portsShort](r))
	case "network":
		n := read[networkShort](r)
		return list(text("%s", n.PrimaryIP), fmt.Sprintf("%d interfaces: %s", len(n.Interfaces), strings.Join(slices.Sorted(maps.Keys(n.Interfaces)), " ")))
	}
	return fmt.Sprintf("%d bytes of facts", len(r.Facts))
}

// readFacts reads facts alone into T, where the metrics have something else under the same names; what does not fit stays
// unknown.
func readFacts[T any](r fleet.Report) T {
	var v T
	_ = json.Unmarshal(r.Facts, &v)
	return v
}

// read reads facts and then metrics into T; what does not fit stays unknown.
func read[T any](r fleet.Report) T {
	v := readFacts[T](r)
	if len(r.Metrics) > 0 {
		_ = json.Unmarshal(r.Metrics, &v)
	}
	return v
}

func shortOS(o osShort) string {
	up := ""
	if o.Uptime != nil {
		if up = fmt.Sprintf("up %.1f h", *o.Uptime/3600); *o.Uptime > 2*24*3600 {
			up = fmt.Sprintf("up %.0f days", *o.Uptime/(24*3600))
		}
	}
	return list(text("%s", o.Hostname), text("%s", o.PrettyName), text("kernel %s", o.Kernel.Release), text("%s", o.Arch), up)
}

func shortCPU(c cpuShort) string {
	return list(text("%d online", c.Online), text("%s", c.Model), text("load %.2f", c.Load1))
}

func shortMemory(m memoryShort) string {
	return list(size("%s", m.Total), size("%s available", m.Available), size("swap %s", m.Swap.Total))
}

func shortDisks(r fleet.Report) string {
	facts, metrics := disksShort{}, disksShort{}
	_ = json.Unmarshal(r.Facts, &facts)
	_ = json.Unmarshal(r.Metrics, &metrics)
	root := ""
	if fs, ok := facts.Filesystems["/"]; ok && fs.Size != nil && *fs.Size > 0 {
		root = "/ " + fs.FSType + size(" %s", fs.Size)
		if used := metrics.Filesystems["/"].Used; used != nil {
			root += fmt.Sprintf(", %.0f %% used", 100*float64(*used)/float64(*fs.Size))
		}
	}
	return list(root, fmt.Sprintf("%d file systems", len(facts.Filesystems)))
}

func shortPackages(p packagesShort) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p.Managers)) {
		if count := p.Managers[name]; count != nil {
			parts = append(parts, fmt.Sprintf("%d of %s", *count, name))
		}
	}
	return list(parts...)
}

func shortServices(s servicesShort) string {
	states := map[string]int{}
	for _, service := range s.Services {
		if service.State != nil {
			states[*service.State]++
		}
	}
	parts := []string{text("%s", s.Manager), fmt.Sprintf("%d services", len(s.Services))}
	for _, state := range []string{"running", "failed"} {
		if states[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[state], state))
		}
	}
	return list(parts...)
}

func shortUsers(u usersShort) string {
	login, admins := 0, 0
	for _, user := range u.Users {
		if user.LoginAllowed {
			login++
		}
		if user.Admin {
			admins++
		}
	}
	return fmt.Sprintf("%d accounts, %d may log in, %d may become root", len(u.Users), login, admins)
}

func shortPorts(p portsShort) string {
	outside := 0
	for _, port := range p.Listening {
		if port.Exposure != "loopback" {
			outside++
		}
	}
	return fmt.Sprintf("%d listening, %d of them to other machines", len(p.Listening), outside)
}

func list(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func text[T any](format string, v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(format, *v)
}

// size returns a number of bytes in the unit that people read it in.
func size(format string, n *int64) string {
	if n == nil {
		return ""
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, unit := float64(*n), 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf(format, fmt.Sprintf("%.1f %s", v, units[unit]))
}
