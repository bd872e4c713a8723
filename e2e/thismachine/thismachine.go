// Package thismachine compares reports about this very machine with what the machine itself says: uname, getconf,
// /proc/meminfo, /proc/mounts, df and ip.
package thismachine

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// object is a decoded JSON object.
type object = map[string]any

// A comparison gathers what differs.
type comparison struct {
	facts, metrics map[string]object // by report type
	differences    []string
}

// Differences returns what is not true in the output of "rollcall up --once -o json", a JSON array of reports. It is
// an error if the output is none, if a report of a built-in type is missing, or if the machine cannot be asked.
func Differences(ctx context.Context, output []byte) ([]string, error) {
	c, err := read(output)
	if err != nil {
		return nil, err
	}
	for _, q := range []struct {
		what    string
		got     any
		command string
	}{
		{"os kernel.release", dig(c.facts["os"], "kernel", "release"), "uname -r"},
		{"os arch", dig(c.facts["os"], "arch"), "uname -m"},
		{"os hostname", dig(c.facts["os"], "hostname"), "uname -n"},
		{"cpu online", dig(c.facts["cpu"], "online"), "getconf _NPROCESSORS_ONLN"},
		{"memory total", dig(c.facts["memory"], "total"), `awk '/^MemTotal:/ {printf "%.0f", $2*1024}' /proc/meminfo`},
		{"disks size of /", c.rootSize(), `df -PTk / | awk 'NR==2 {printf "%.0f", $3*1024}'`},
		{"disks fstype of /", dig(c.facts["disks"], "filesystems", "/", "fstype"), `awk '$2=="/" {t=$3} END {print t}' /proc/mounts`},
	} {
		if err := c.compare(ctx, q.what, q.got, q.command); err != nil {
			return nil, err
		}
	}
	if uptime, ok := dig(c.metrics["os"], "uptime_seconds").(float64); !ok || uptime <= 0 {
		c.differ("os uptime_seconds is missing")
	}
	if available, ok := dig(c.metrics["memory"], "available").(float64); !ok || available <= 0 {
		c.differ("memory available is missing")
	}
	err = c.addresses(ctx)
	return c.differences, err
}

func read(output []byte) (*comparison, error) {
	var reports []struct {
		Type    string `json:"type"`
		Host    string `json:"host"`
		Facts   object `json:"facts"`
		Metrics object `json:"metrics"`
	}
	if err := json.Unmarshal(output, &reports); err != nil {
		return nil, fmt.Errorf("reading the reports: %w", err)
	}
	c := &comparison{facts: map[string]object{}, metrics: map[string]object{}}
	for _, r := range reports {
		if r.Host == "localhost" {
			c.facts[r.Type], c.metrics[r.Type] = r.Facts, r.Metrics
		}
	}
	for _, t := range []string{"os", "cpu", "memory", "disks", "network", "packages", "services", "users", "ports"} {
		if c.facts[t] == nil {
			return nil, fmt.Errorf("there is no %s report of this machine", t)
		}
	}
	return c, nil
}

func (c *comparison) differ(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

// compare holds got against what the command prints.
func (c *comparison) compare(ctx context.Context, what string, got any, command string) error {
	out, err := exec.CommandContext(ctx, "sh", "-c", command).Output() //nolint:gosec // constants
	if err != nil {
		return fmt.Errorf("asking the machine (%s): %w", command, err)
	}
	if number, ok := got.(float64); ok {
		got = strconv.FormatFloat(number, 'f', -1, 64)
	}
	if want := strings.TrimSpace(string(out)); fmt.Sprint(got) != want {
		c.differ("%s is %v, and %s says %s", what, got, command, want)
	}
	return nil
}

// rootSize returns the size of the root file system, which is a fact unless it is of a kind whose size moves.
func (c *comparison) rootSize() any {
	if size := dig(c.facts["disks"], "filesystems", "/", "size"); size != nil {
		return size
	}
	return dig(c.metrics["disks"], "filesystems", "/", "size")
}

// generated matches the interfaces of container engines, which are counted and not listed, by design.
var generated = regexp.MustCompile(`^(veth.*|br-[0-9a-f]{12}|cali.*)$`)

func (c *comparison) addresses(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "-j", "addr").Output()
	if err != nil {
		return fmt.Errorf("asking the machine (ip -j addr): %w", err)
	}
	var links []struct {
		Name      string `json:"ifname"`
		Addresses []struct {
			Local     string `json:"local"`
			Prefixlen int    `json:"prefixlen"`
			Temporary bool   `json:"temporary"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(out, &links); err != nil {
		return fmt.Errorf("reading ip -j addr: %w", err)
	}
	for _, link := range links {
		for _, a := range link.Addresses {
			key := fmt.Sprintf("%s/%d", a.Local, a.Prefixlen)
			if !a.Temporary && !generated.MatchString(link.Name) && dig(c.facts["network"], "interfaces", link.Name, "addresses", key) == nil {
				c.differ("network interfaces.%s lacks %s, which ip -j addr lists", link.Name, key)
			}
		}
	}
	return nil
}

// dig follows keys through objects; nil if one is missing.
func dig(v any, keys ...string) any {
	for _, key := range keys {
		m, ok := v.(object)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}
