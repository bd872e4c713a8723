package collector

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// maxPreamble is how much of what a host says before the script speaks is kept for support.
const maxPreamble = 4 << 10

// A Section is what one section of the script printed.
type Section struct {
	Name      string
	Data      []byte // at most the section's cap; aliases the output that was read
	Status    int    // exit status of its last command; -1 if it never ended
	Truncated bool   // it printed more than its cap, or the output ends inside it
	TimedOut  bool   // one of its commands met its bound and was killed

	// Of a custom collector: the system whose script ran, empty if there is none for this host, and for how long it ran.
	System string
	Took   time.Duration
}

// A Run is the answer of one host, taken apart.
type Run struct {
	Preamble []byte    // what came before the first frame, at most 4 KiB
	ClockAt  time.Time // the host's own clock when the script began, in whole seconds; zero if unreadable
	PGID     int       // the process group that holds the script alone and may be killed; 0 if there is none
	Complete bool      // the script came to its end
	Bytes    int64     // of the whole answer
	Sections []Section // in the order they came

	identity identity
	overflow bool // the answer ends because it was too large
}

// Section returns the section of that name.
func (r Run) Section(name string) (Section, bool) {
	for _, s := range r.Sections {
		if s.Name == name {
			return s, true
		}
	}
	return Section{}, false
}

// MachineID returns the machine's identity as its operating system keeps it, and "" if the host told none.
func (r Run) MachineID() string { return r.identity.machineID }

// Kernel returns the name of the host's kernel, such as Linux, and "" if the host told none.
func (r Run) Kernel() string { return r.identity.kernel }

// Root reports whether the script ran with user ID 0.
func (r Run) Root() bool { return r.identity.root }

// Read takes the answer apart. An answer in which the script never spoke is a *fleet.Failure with code
// shell_restricted or protocol_noise, whose details hold the beginning of what was said instead. An answer without
// an end is a Run that is not Complete; the sections that ended before are as good as any. The Run aliases stdout.
func (p Plan) Read(stdout []byte) (Run, error) {
	begin, rest := p.findBegin(stdout)
	if begin < 0 {
		return Run{}, noBegin(stdout)
	}
	run := Run{Preamble: stdout[:min(begin, maxPreamble)], Bytes: int64(len(stdout))}
	line, rest, _ := bytes.Cut(rest, []byte{'\n'})
	run.readBegin(strings.Fields(string(line)))
	p.readSections(&run, rest)
	run.overflow = !run.Complete && run.Bytes >= p.MaxOutput()
	if id, ok := run.Section(sectionID); ok {
		run.identity = readIdentity(id)
	}
	return run, nil
}

// findBegin returns where the line of the BEGIN marker starts and what follows the marker. The marker need not stand
// at the start of a line: noise before it may lack a final newline.
func (p Plan) findBegin(stdout []byte) (int, []byte) {
	marker := []byte("@@" + p.options.Nonce + " BEGIN ")
	at := bytes.Index(stdout, marker)
	if at < 0 {
		return -1, nil
	}
	return at, stdout[at+len(marker):]
}

// readBegin reads the host's clock and the process group.
func (r *Run) readBegin(fields []string) {
	if len(fields) > 0 {
		if clock, err := strconv.ParseInt(fields[0], 10, 64); err == nil && clock > 0 && clock < 1<<40 {
			r.ClockAt = time.Unix(clock, 0).UTC()
		}
	}
	if len(fields) > 1 {
		// 1 and below would be init, everybody or nobody.
		if pgid, err := strconv.ParseInt(fields[1], 10, 32); err == nil && pgid > 1 {
			r.PGID = int(pgid)
		}
	}
}

// readSections reads the frames that follow BEGIN. Whatever lies outside a frame is ignored, and so is a section
// that was not asked for or comes again. A marker without its newline is the end of a cut answer.
func (p Plan) readSections(run *Run, rest []byte) {
	mark := []byte("\n@@" + p.options.Nonce + " ")
	open := "" // name of the section being read
	for {
		data, after, found := bytes.Cut(rest, mark)
		line, next, whole := bytes.Cut(after, []byte{'\n'})
		if !found || !whole {
			p.addSection(run, open, data, nil)
			return
		}
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 2 && fields[0] == "S":
			p.addSection(run, open, data, nil)
			open = fields[1]
		case len(fields) >= 3 && fields[0] == "E" && fields[1] == open:
			p.addSection(run, open, data, fields[2:])
			open = ""
		case len(fields) >= 1 && fields[0] == "END":
			p.addSection(run, open, data, nil)
			run.Complete = true
			return
		}
		rest = next
	}
}

// addSection appends the section of that name, unless the plan has none of that name or it came before. Without
// words, which are those of its end marker, the section never ended.
func (p Plan) addSection(run *Run, name string, data []byte, words []string) {
	if _, seen := run.Section(name); seen {
		return
	}
	for _, planned := range p.sections {
		if planned.name != name {
			continue
		}
		s := Section{Name: name, Data: data, Status: -1, Truncated: len(words) == 0}
		if int64(len(data)) > planned.cap {
			s.Data, s.Truncated = data[:planned.cap], true
		}
		for _, word := range words {
			if word == "t" {
				s.TimedOut = true
			} else if status, err := strconv.ParseUint(word, 10, 16); err == nil {
				s.Status = int(status)
			} else {
				s.readWord(word)
			}
		}
		run.Sections = append(run.Sections, s)
		return
	}
}

// noBegin returns the failure of an answer in which the script never spoke.
func noBegin(stdout []byte) *fleet.Failure {
	said := strings.TrimSpace(clean(stdout[:min(len(stdout), maxPreamble)]))
	code := fleet.CodeProtocolNoise
	if said == "" || speaksOfRestriction(said) {
		code = fleet.CodeShellRestricted
	}
	return fleet.Fail(code, errors.New("the script never began"), "preamble", said)
}

// speaksOfRestriction reports whether what a login said instead of running the script is the way nologin, restricted
// shells, forced commands and file-transfer accounts say no.
func speaksOfRestriction(said string) bool {
	said = strings.ToLower(said)
	for _, phrase := range []string{
		"account is currently not available", "nologin", "shell is disabled", "shell access is disabled",
		"restricted", "rbash", "rssh", "not allowed to execute", "not permitted to execute", "permission denied",
		"sftp connections only", "sftp-only", "only sftp", "scp", "forced command", "unknown command", "invalid command",
		"command not found", "syntax error", "interactive shell", "does not provide shell access",
	} {
		if strings.Contains(said, phrase) {
			return true
		}
	}
	return false
}
