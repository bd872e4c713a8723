package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// facts are what the templates of the sections are filled with: what stays of a host, and what moves.
type facts struct {
	Name, MachineID, BootID, RootUUID, EFIUUID, DataUUID, DiskSerial string

	OS          distribution
	BootTime    int64
	InstalledAt int64
	CPUs        []int
	CPUList     string
	MemTotal    int64 // KiB, as all of memory
	CommitLimit int64

	RootKB, DataKB                            int64
	RootSectors, RootPartSectors, DataSectors int64
	MAC, IPv4, LinkLocal, LinkLocalHex        string
	MetricsPort                               string // of the exporter, in hexadecimal

	drifted
	moving
}

// moving are the numbers that are different at each execution.
type moving struct {
	Uptime, Idle                                        string
	Load1, Load5, Load15                                string
	Running, Processes, LastPID                         int64
	MHz                                                 string
	MemFree, MemAvailable, MemCached, Dirty             int64
	RootUsedKB, RootFreeKB, DataUsedKB, DataFreeKB      int64
	RxBytes, RxPackets, TxBytes, TxPackets, Connections int64
	Waiting                                             int64  // connections that are over
	LastLogin                                           string // as last -F prints it
}

// A distribution is what tells one operating system from another.
type distribution struct {
	Release               []string // lines of os-release
	Files                 []string // further lines of the form path:content
	Exists                []string
	Kernel, KernelVersion string
	RPMKernel             string // the line of rpm -q --last, where there is rpm
	FSType                string
	Packages              string // the manager: dpkg or rpm
}

func distributions() []distribution {
	return []distribution{
		{
			Release: []string{
				`PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`, `NAME="Debian GNU/Linux"`, `VERSION_ID="12"`,
				`VERSION="12 (bookworm)"`, `VERSION_CODENAME=bookworm`, `ID=debian`,
			},
			Files:  []string{"/etc/debian_version:12.8", "/etc/timezone:Etc/UTC", "/sys/module/apparmor/parameters/enabled:Y"},
			Exists: []string{"/var/lib/dpkg/status"}, FSType: "ext4", Packages: "dpkg",
			Kernel: "6.1.0-28-amd64", KernelVersion: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)",
		},
		{
			Release: []string{
				`PRETTY_NAME="Ubuntu 24.04.1 LTS"`, `NAME="Ubuntu"`, `VERSION_ID="24.04"`,
				`VERSION="24.04.1 LTS (Noble Numbat)"`, `VERSION_CODENAME=noble`, `ID=ubuntu`, `ID_LIKE=debian`,
			},
			Files:  []string{"/etc/debian_version:trixie/sid", "/etc/timezone:Etc/UTC", "/sys/module/apparmor/parameters/enabled:Y"},
			Exists: []string{"/var/lib/dpkg/status"}, FSType: "ext4", Packages: "dpkg",
			Kernel: "6.8.0-49-generic", KernelVersion: "#49-Ubuntu SMP PREEMPT_DYNAMIC Mon Nov  4 02:06:24 UTC 2024",
		},
		{
			Release: []string{
				`NAME="Rocky Linux"`, `VERSION="9.5 (Blue Onyx)"`, `ID="rocky"`, `ID_LIKE="rhel centos fedora"`, `VERSION_ID="9.5"`,
				`PLATFORM_ID="platform:el9"`, `PRETTY_NAME="Rocky Linux 9.5 (Blue Onyx)"`,
			},
			Files: []string{
				"/etc/redhat-release:Rocky Linux release 9.5 (Blue Onyx)", "/sys/fs/selinux/enforce:1",
				"/etc/selinux/config:SELINUX=enforcing", "/etc/selinux/config:SELINUXTYPE=targeted",
			},
			Exists: []string{"/var/lib/rpm/rpmdb.sqlite"}, FSType: "xfs", Packages: "rpm",
			Kernel: "5.14.0-503.14.1.el9_5.x86_64", KernelVersion: "#1 SMP PREEMPT_DYNAMIC Fri Nov 15 12:04:32 UTC 2024",
			RPMKernel: "kernel-core-5.14.0-503.14.1.el9_5.x86_64  Fri 09 Jan 2026 09:40:00 AM UTC",
		},
	}
}

// distribution returns what runs on the host.
func (h *host) distribution() distribution { return pick(h.random[13], distributions()...) }

// factsAt returns what the host says at that time, at that execution.
func (h *host) factsAt(now time.Time, execution int64) facts {
	r := h.random
	cpus := pick(r[4], 2, 2, 4, 8, 16)
	f := facts{
		Name: h.name, MachineID: h.machineID(), BootID: uuidOf(h.random, "boot"), RootUUID: uuidOf(h.random, "root"),
		EFIUUID: fmt.Sprintf("%02X%02X-%02X%02X", r[5], r[6], r[7], r[8]), DataUUID: uuidOf(h.random, "data"),
		DiskSerial: "sim" + hex.EncodeToString(r[9:13]), OS: h.distribution(),
		BootTime: h.bootedAt().Unix(), InstalledAt: h.bootedAt().AddDate(0, -6, 0).Unix(),
		CPUList: fmt.Sprintf("0-%d", cpus-1), MemTotal: int64(cpus)*2*1024*1024 - 74_092,
		RootSectors: int64(pick(r[14], 40, 64, 100)) << 21, DataSectors: int64(pick(r[15], 100, 200, 500)) << 21,
	}
	for cpu := range cpus {
		f.CPUs = append(f.CPUs, cpu)
	}
	f.CommitLimit = f.MemTotal / 2
	f.RootPartSectors = f.RootSectors - 1_052_672
	f.RootKB, f.DataKB = f.RootPartSectors/2*97/100, f.DataSectors/2*97/100 // the file system takes its share
	address := h.number + 10
	f.IPv4 = fmt.Sprintf("10.%d.%d.%d", 80+address>>16, address>>8&0xff, address&0xff)
	f.MAC = fmt.Sprintf("52:54:00:%02x:%02x:%02x", r[20], address>>8&0xff, address&0xff)
	f.LinkLocalHex = fmt.Sprintf("fe80000000000000505400fffe%02x%02x%02x", r[20], address>>8&0xff, address&0xff)
	f.LinkLocal = fmt.Sprintf("fe80::5054:ff:fe%02x:%x", r[20], address&0xffff)
	f.MetricsPort = fmt.Sprintf("%04X", 9100+h.number%1000)
	f.drifted = h.driftedAt(execution)
	f.moving = f.move(h, now, execution)
	return f
}

// move returns the numbers of one execution. Each follows from the host and the number of the execution, and differs
// from the one before also where two executions fall into the same instant.
func (f facts) move(h *host, now time.Time, execution int64) moving {
	dice := sha256.Sum256(fmt.Appendf(nil, "%x %d", h.random, execution))
	up := max(now.Sub(h.bootedAt()).Seconds(), 0) + float64(execution)/100
	load := float64(dice[0])/256*float64(len(f.CPUs))/2 + float64(execution%2)/100
	free := f.MemTotal/8 + int64(dice[1])*f.MemTotal/2048 + execution%2*4
	cached := f.MemTotal / 4
	rootUsed, dataUsed := f.RootKB*3/10+int64(dice[2])*64+execution%2*4, f.DataKB*4/10+int64(dice[3])*64+execution%2*4
	traffic := int64(up * 1000)
	return moving{
		Uptime: fmt.Sprintf("%.2f", up), Idle: fmt.Sprintf("%.2f", up*float64(len(f.CPUs))*0.9),
		Load1: fmt.Sprintf("%.2f", load), Load5: fmt.Sprintf("%.2f", load*0.8), Load15: fmt.Sprintf("%.2f", load*0.7),
		Running: 1 + int64(dice[4]%3), Processes: 120 + int64(dice[5]%16), LastPID: groupOf(execution),
		MHz:     "2445.406",
		MemFree: free, MemCached: cached, MemAvailable: free + cached*9/10, Dirty: int64(dice[6]) * 4,
		RootUsedKB: rootUsed, RootFreeKB: f.RootKB - rootUsed, DataUsedKB: dataUsed, DataFreeKB: f.DataKB - dataUsed,
		RxBytes: traffic, RxPackets: traffic / 700, TxBytes: traffic / 3, TxPackets: traffic / 900, Connections: 3 + int64(dice[7]%8),
		Waiting: 10 + execution%1000, LastLogin: h.bootedAt().Add(time.Duration(execution) * time.Minute).Format("Mon Jan _2 15:04:05 2006"),
	}
}

func hashOf(random []byte, purpose string) string {
	sum := sha256.Sum256(append([]byte(purpose), random...))
	return hex.EncodeToString(sum[:])
}

func uuidOf(random []byte, purpose string) string {
	s := hashOf(random, purpose)
	return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-a" + s[17:20] + "-" + s[20:32]
}

// groupOf returns the process group that the script of an execution runs in.
func groupOf(execution int64) int64 { return 20_000 + execution%10_000 }
