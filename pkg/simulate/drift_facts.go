package simulate

import (
	"bytes"
	"encoding/json"
)

// drifted are the facts that drift, for the templates of the sections.
type drifted struct {
	Timezone        string // all of them lie where UTC is, so that nothing follows from it
	BIOSVersion     string
	Lockdown        string
	Microcode       string
	SpecStoreBypass string
	HugePages       int64
	SRVOptions      []string       // of the mount, sorted
	Backup          map[string]any // the mount of another machine's file system; nil: it is not mounted
	StaticRoute     map[string]any // nil: there is none
	DNSServers      []string
	MTU             int64
	HostsSHA256     string
	Forwarding      bool
	AppShell        string
	Deploy          map[string]any // an account; nil: there is none
	Port            map[string]any // a socket that waits for others; nil: there is none
	AgentVersion    string         // of the package sim-agent
	AgentState      string         // of its service: running, stopped or failed
}

// A driftingFact is a fact that changes by itself: exactly one change at one path, from which nothing else in any
// report follows.
type driftingFact struct {
	reportType string
	path       func(h *host) string
	// values are what the report tells of the host, canonical, in the order in which they are taken; nil: nothing
	// is there. The first is what the host starts with.
	values func(h *host) []json.RawMessage
	// plant fills in the value at that place of the order.
	plant func(f *drifted, h *host, index int64)
}

// driftingFacts returns the facts that drift, in the order in which a host changes them. Each has at least two values.
func driftingFacts() []driftingFact {
	return []driftingFact{
		drifting("os", `timezone`, func(f *drifted) *string { return &f.Timezone }, "Etc/UTC", "Africa/Abidjan", "Atlantic/Reykjavik"),
		drifting("network", `dns.servers`, func(f *drifted) *[]string { return &f.DNSServers },
			[]string{"10.80.0.1"}, []string{"10.80.0.1", "10.80.0.2"}, []string{"10.80.0.2", "10.80.0.1"}),
		drifting("disks", `filesystems."/mnt/backup"`, func(f *drifted) *map[string]any { return &f.Backup }, nil, backupMount()),
		drifting("memory", `hugepages.total`, func(f *drifted) *int64 { return &f.HugePages }, 0, 64, 128),
		drifting("network", `interfaces.eth0.mtu`, func(f *drifted) *int64 { return &f.MTU }, 1500, 1450, 9000),
		drifting("cpu", `microcode`, func(f *drifted) *string { return &f.Microcode }, "0x1", "0xa0011d1", "0xa0011d5"),
		drifting("network", `routes."inet:main:198.51.100.0/24:0:eth0"`, func(f *drifted) *map[string]any { return &f.StaticRoute }, nil, staticRoute()),
		drifting("disks", `filesystems."/srv".options`, func(f *drifted) *[]string { return &f.SRVOptions },
			[]string{"noatime", "rw"}, []string{"noatime", "nodev", "nosuid", "rw"}),
		drifting("os", `bios.version`, func(f *drifted) *string { return &f.BIOSVersion }, "1.16.3-debian-1.16.3-2", "1.17.0-debian-1.17.0-1"),
		hostsFile(),
		drifting("network", `forwarding.v4`, func(f *drifted) *bool { return &f.Forwarding }, false, true),
		drifting("cpu", `vulnerabilities.spec_store_bypass`, func(f *drifted) *string { return &f.SpecStoreBypass },
			"Mitigation: Speculative Store Bypass disabled via prctl", "Vulnerable"),
		drifting("users", `users.app.shell`, func(f *drifted) *string { return &f.AppShell }, "/bin/bash", "/bin/zsh", "/bin/sh"),
		drifting("users", `users.deploy`, func(f *drifted) *map[string]any { return &f.Deploy }, nil, deployAccount()),
		drifting("ports", `listening."tcp:0.0.0.0:8080"`, func(f *drifted) *map[string]any { return &f.Port }, nil, appPort()),
		agentPackage(),
		drifting("services", `services."systemd:sim-agent.service".state`, func(f *drifted) *string { return &f.AgentState }, "running", "stopped", "failed"),
		drifting("os", `security.lockdown`, func(f *drifted) *string { return &f.Lockdown }, "none", "integrity"),
	}
}

// drifting makes a fact whose values are the same on every host, and reported as the templates are given them.
func drifting[T any](reportType, path string, field func(*drifted) *T, values ...T) driftingFact {
	return driftingFact{
		reportType: reportType, path: func(*host) string { return path },
		values: func(*host) []json.RawMessage { return encodeAll(values) },
		plant:  func(f *drifted, _ *host, index int64) { *field(f) = values[index%int64(len(values))] },
	}
}

// hostsFile is the one whose values are the host's own.
func hostsFile() driftingFact {
	sums := func(h *host) []string { return []string{hashOf(h.random, "hosts"), hashOf(h.random, "hosts, edited")} }
	return driftingFact{
		reportType: "network", path: func(*host) string { return `hosts_file_sha256` },
		values: func(h *host) []json.RawMessage { return encodeAll(sums(h)) },
		plant:  func(f *drifted, h *host, index int64) { f.HostsSHA256 = sums(h)[index%2] },
	}
}

// agentPackage is the version of a package whose source and release stay. It is called by its manager's words for this machine.
func agentPackage() driftingFact {
	versions := []string{"1.4.2-1", "1.4.3-1", "1.5.0-1"}
	return driftingFact{
		reportType: "packages",
		path: func(h *host) string {
			if h.distribution().Packages == "rpm" {
				return `packages."rpm:sim-agent:x86_64".version`
			}
			return `packages."dpkg:sim-agent:amd64".version`
		},
		values: func(*host) []json.RawMessage { return encodeAll(versions) },
		plant:  func(f *drifted, _ *host, index int64) { f.AgentVersion = versions[index%int64(len(versions))] },
	}
}

func backupMount() map[string]any {
	return map[string]any{
		"device": "nas.sim.example:/backup", "mountpoint": "/mnt/backup", "fstype": "nfs4",
		"options": []string{"hard", "rw", "vers=4.2"}, "readonly": false, "remote": true, "snap": false,
		"size": nil, "inodes_total": nil, "state": nil, "uuid": nil, "label": nil,
	}
}

func staticRoute() map[string]any {
	return map[string]any{
		"family": "inet", "table": "main", "dst": "198.51.100.0/24", "metric": 0, "dev": "eth0", "gateway": "10.80.0.1",
		"type": "unicast", "protocol": "static", "scope": nil, "src": nil, "nexthops": []string{},
	}
}

func deployAccount() map[string]any {
	return map[string]any{
		"name": "deploy", "uid": 1001, "gid": 100, "gecos": nil, "home": "/home/deploy", "home_mode": "0750", "shell": "/bin/bash",
		"system": false, "login_allowed": true, "password_state": nil, "password_changed_at": nil, "password_min_days": nil,
		"password_max_days": nil, "password_warn_days": nil, "inactive_days": nil, "expires_at": nil,
		"groups": []string{"users"}, "admin": nil, "admin_via": nil, "ssh_keys": nil,
	}
}

func appPort() map[string]any {
	return map[string]any{
		"proto": "tcp", "family": "inet", "address": "0.0.0.0", "port": 8080, "exposure": "any", "process": "app",
		"exe": "/opt/app/bin/app", "user": "app", "uid": 1000, "unit": "app.service", "container": nil,
	}
}

// encodeAll encodes values as canonical JSON: object members in order, no escapes of HTML. A nil map is nothing.
func encodeAll[T any](values []T) []json.RawMessage {
	list := make([]json.RawMessage, len(values))
	for i, value := range values {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			continue // the values are those above, and all of them can be encoded
		}
		if line := bytes.TrimSpace(text.Bytes()); !bytes.Equal(line, []byte("null")) {
			list[i] = line
		}
	}
	return list
}
