package collector

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// portsFacts are the sockets that wait for others, in the network namespace of whoever asked. null means unknown.
type portsFacts struct {
	Listening map[string]portFacts `json:"listening"` // by protocol, address and port, without UDP ports that the kernel picked
}

type portFacts struct {
	Proto     string  `json:"proto"`  // tcp or udp
	Family    string  `json:"family"` // inet or inet6
	Address   string  `json:"address"`
	Port      int64   `json:"port"`
	Exposure  string  `json:"exposure"` // loopback, link, private, public, or any for all addresses of the host
	Process   *string `json:"process"`  // of those that hold it, the one that was started first
	Exe       *string `json:"exe"`
	User      *string `json:"user"` // null if the host itself knows no such account
	UID       *int64  `json:"uid"`
	Unit      *string `json:"unit"`
	Container *string `json:"container"` // the ID by which its engine knows it
}

// portsMetrics are what always changes.
type portsMetrics struct {
	Listening map[string]portMetrics `json:"listening"`
	Summary   portsSummary           `json:"summary"`
}

type portMetrics struct {
	Inode       *int64 `json:"inode"`
	PID         *int64 `json:"pid"`
	Sockets     int64  `json:"sockets"`      // that share the address and the port
	AcceptQueue *int64 `json:"accept_queue"` // connections that wait to be accepted; null for UDP
}

type portsSummary struct {
	TCPStates    map[string]int64 `json:"tcp_states"` // sockets by state; null if they could not be counted
	UDPBound     int64            `json:"udp_bound"`
	UDPEphemeral int64            `json:"udp_ephemeral"` // of them, on ports that the kernel picked
}

// maxPorts bounds what a report lists.
const maxPorts = 20_000

// A socket is one line of /proc/net/tcp and its like.
type socket struct {
	key                  string
	proto, family        string
	address              netip.Addr
	port, uid, inode, rx int64
}

// readPorts makes the report of type ports.
func readPorts(r *reader) (facts, metrics any) {
	content, ok := r.needs("sockets", "listening")
	if !ok {
		return nil, nil
	}
	parts := splitParts(content, "tcp", "tcp6", "udp", "udp6", "range", "names", "states")
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		// Without the heading, whoever was to pick the lines has not done so.
		if lines, there := parts[file]; there && !headed(lines) || !there && file == "tcp" {
			r.lose(ReasonDenied, "listening")
			r.warn("section sockets: " + file + " could not be read")
		}
	}
	f := portsFacts{Listening: map[string]portFacts{}}
	m := portsMetrics{Listening: map[string]portMetrics{}, Summary: portsSummary{TCPStates: readStates(parts["states"])}}
	if m.Summary.TCPStates == nil {
		r.lack(ReasonToolMissing, "summary.tcp_states")
	}
	byKey := map[string][]socket{}
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
		for _, s := range readSocketLines(r, proto, parts[proto]) {
			if s.proto == "udp" {
				m.Summary.UDPBound++
				if ephemeral(parts["range"], s.port) {
					m.Summary.UDPEphemeral++
					continue
				}
			}
			if _, known := byKey[s.key]; !known && len(byKey) >= maxPorts {
				r.lose(ReasonTruncated, "listening")
				continue
			}
			byKey[s.key] = append(byKey[s.key], s)
		}
	}
	names, holders := readNames(parts["names"]), readHolders(r)
	var unseen, ending []string
	for key, sockets := range byKey {
		port, metric, seen := describePort(sockets, holders, names)
		f.Listening[key], m.Listening[key] = port, metric
		if !seen {
			unseen = append(unseen, key)
		} else if port.Exe == nil {
			ending = append(ending, key)
		}
	}
	lackHolders(r, unseen)
	noteEnding(r, ending)
	return f, m
}

// describePort tells what is known of the sockets on one address and port, and whether who holds them could be seen.
func describePort(sockets []socket, holders map[int64][]process, names map[int64]string) (portFacts, portMetrics, bool) {
	slices.SortFunc(sockets, func(a, b socket) int { return int(a.inode - b.inode) })
	var first *process
	chosen := sockets[0]
	metric := portMetrics{Sockets: int64(len(sockets))}
	for _, s := range sockets {
		if s.proto == "tcp" {
			metric.AcceptQueue = new(s.rx + *orZero(metric.AcceptQueue))
		}
		for _, p := range holders[s.inode] {
			if first == nil || p.before(*first) {
				first, chosen = &p, s
			}
		}
	}
	metric.Inode = &chosen.inode
	f := portFacts{
		Proto: chosen.proto, Family: chosen.family, Address: chosen.address.String(), Port: chosen.port,
		Exposure: exposureOf(chosen.address), UID: &chosen.uid,
	}
	if name, known := names[chosen.uid]; known {
		f.User = &name
	}
	if first != nil {
		metric.PID = &first.pid
		f.Process, f.Exe, f.Unit, f.Container = text(first.name), text(first.exe), text(first.unit), text(first.container)
	}
	return f, metric, first != nil
}

// lackHolders says of sockets that nobody was seen to hold that this is not known, one by one if they are few. Without
// root only one's own processes can be seen; with it, not those of other namespaces nor the kernel.
func lackHolders(r *reader, keys []string) {
	const few = 20
	if _, whole := r.unavailable["listening.*.process"]; whole {
		return
	}
	reason := ReasonNoPermission
	if r.run.Root() {
		reason = ReasonDenied
	}
	fields := []string{"process", "exe", "unit", "container", "pid"}
	for _, field := range fields {
		if len(keys) > few {
			r.lack(reason, "listening.*."+field)
			continue
		}
		for _, key := range keys {
			r.lack(reason, facts.Path{"listening", key, field}.String())
		}
	}
}

// noteEnding says of sockets that their holder has no program any more, one by one if they are few: whose files can be seen
// and not its program is about to end, and lets go of its program first.
func noteEnding(r *reader, keys []string) {
	const few = 20
	if len(keys) > few {
		r.note(ReasonUnsettled, "listening.*.exe")
		return
	}
	for _, key := range keys {
		r.note(ReasonUnsettled, facts.Path{"listening", key, "exe"}.String())
	}
}

// readSocketLines reads the lines of one file of /proc/net. They have been picked by their state.
func readSocketLines(r *reader, file, lines string) []socket {
	var sockets []socket
	seen := map[int64]bool{}
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "sl" {
			continue
		}
		s, ok := readSocketLine(file, fields, isBigEndian(r.run.identity.arch))
		if !ok {
			r.lose(ReasonParseFailed, "listening")
			r.warn("section sockets: not a socket")
			continue
		}
		if s.port > 0 && (s.inode == 0 || !seen[s.inode]) { // one whose queue has grown comes twice
			seen[s.inode] = true
			sockets = append(sockets, s)
		}
	}
	return sockets
}

// headed reports whether there is the heading of /proc/net among the lines.
func headed(lines string) bool {
	return slices.ContainsFunc(strings.Split(lines, "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), "sl ")
	})
}

// readSocketLine reads the fields of a line: number, local and remote address, state, queues, timer, retransmissions,
// user ID, timeout, inode.
func readSocketLine(file string, fields []string, bigEndian bool) (socket, bool) {
	if len(fields) < 10 {
		return socket{}, false
	}
	proto, six := strings.CutSuffix(file, "6")
	host, port, _ := strings.Cut(fields[1], ":")
	address, ok := kernelAddress(host, bigEndian)
	number16, err := strconv.ParseUint(port, 16, 16)
	_, waiting, _ := strings.Cut(fields[4], ":")
	rx, err2 := strconv.ParseUint(waiting, 16, 32)
	uid, inode := numberID(fields[7]), number(fields[9])
	if !ok || err != nil || err2 != nil || uid == nil || inode == nil || address.Is6() != six {
		return socket{}, false
	}
	s := socket{proto: proto, family: familyV4, address: address, port: int64(number16), uid: *uid, inode: *inode, rx: int64(rx)}
	if six {
		s.family = familyV6
	}
	s.key = proto + ":" + netip.AddrPortFrom(address, uint16(number16)).String()
	return s, true
}

// kernelAddress reads an address as /proc/net has it: words of 32 bits, each in the byte order of the machine.
func kernelAddress(s string, bigEndian bool) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, false
	}
	for word := range slices.Chunk(b, 4) {
		if !bigEndian {
			slices.Reverse(word)
		}
	}
	return netip.AddrFromSlice(b)
}

// isBigEndian reports whether machines of that architecture keep the most significant byte first.
func isBigEndian(arch string) bool {
	switch arch {
	case "s390", "s390x", "ppc", "ppc64", "sparc64", "m68k":
		return true
	}
	return false
}

// exposureOf tells who can reach an address.
func exposureOf(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case a.IsUnspecified():
		return "any"
	case a.IsLoopback():
		return "loopback"
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		return "link"
	case a.IsPrivate(), netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a): // shared address space
		return "private"
	}
	return "public"
}

// ephemeral reports whether the kernel may have picked the port for a socket that asked for any.
func ephemeral(portRange string, port int64) bool {
	low, high := int64(32768), int64(60999)
	if bounds := strings.Fields(portRange); len(bounds) == 2 && number(bounds[0]) != nil && number(bounds[1]) != nil {
		low, high = *number(bounds[0]), *number(bounds[1])
	}
	return port >= low && port <= high
}

// readNames reads the names of accounts by user ID. The first one counts.
func readNames(lines string) map[int64]string {
	names := map[int64]string{}
	for line := range strings.Lines(lines) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), ":")
		uid := number(id)
		if uid == nil {
			continue
		}
		if _, known := names[*uid]; !known {
			names[*uid] = name
		}
	}
	return names
}

// readStates reads how many TCP sockets are in which state; nil if nobody counted.
func readStates(lines string) map[string]int64 {
	words := map[string]string{
		"01": "established", "02": "syn_sent", "03": "syn_recv", "04": "fin_wait1", "05": "fin_wait2", "06": "time_wait",
		"07": "close", "08": "close_wait", "09": "last_ack", "0A": "listen", "0B": "closing", "0C": "new_syn_recv",
	}
	var states map[string]int64
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) != 2 || words[fields[0]] == "" || number(fields[1]) == nil {
			continue
		}
		if states == nil {
			states = map[string]int64{}
		}
		states[words[fields[0]]] = *number(fields[1])
	}
	return states
}

// orZero returns p, or a zero to point to.
func orZero(p *int64) *int64 {
	if p == nil {
		return new(int64)
	}
	return p
}
