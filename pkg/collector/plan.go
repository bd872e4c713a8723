package collector

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// Options bound what one run may cost. The zero value takes the defaults.
type Options struct {
	// Deadline is when the script kills itself and everything it started, whatever has become of the client.
	// It is rounded up to whole seconds. 0 means one minute.
	Deadline time.Duration
	// SectionCap is how many bytes are kept of a section that has no cap of its own; 0 means 1 MiB.
	SectionCap int64
	// HostCap is how many bytes of a run are accepted altogether; 0 means 32 MiB.
	HostCap int64
	// Nonce replaces the random nonce, for recordings and simulations: 32 lower-case hexadecimal digits.
	Nonce string
	// Custom are the custom types that may be asked for beside the built-in ones.
	Custom []Type
}

// A Plan is one run of the script: what to send and how to read what comes back. It is made for one run on one
// host, because its nonce must not be guessable; it is immutable and safe for concurrent use.
type Plan struct {
	types    []Type
	sections []section
	options  Options
	script   []byte
}

// NewPlan plans a run that yields a report of each of the types, which are names of built-in types or of those in
// the options. A type named twice counts once. An unknown type, none at all, or scripts that are too long together are an
// error of kind Invalid.
func NewPlan(types []string, o Options) (Plan, error) {
	p := Plan{options: o.withDefaults()}
	if len(types) == 0 {
		return Plan{}, fleet.InvalidField("types", "name at least one report type")
	}
	seen := map[string]bool{}
	for _, name := range types {
		t, ok := o.lookup(name)
		if !ok {
			return Plan{}, fleet.InvalidField("types", "there is no report type of that name")
		}
		if !seen[name] {
			seen[name] = true
			p.types = append(p.types, t)
		}
	}
	switch {
	case p.options.Nonce == "":
		p.options.Nonce = newNonce()
	case !validNonce(p.options.Nonce):
		return Plan{}, fleet.InvalidField("nonce", "must be 32 lower-case hexadecimal digits")
	}
	p.sections = append(sectionsOf(p.types, p.options.SectionCap), customSections(p.types)...)
	body := buildBody(p.options.Nonce, int64(p.options.Deadline/time.Second), p.sections, p.types)
	if len(body) > maxBody {
		return Plan{}, fleet.InvalidField("types", "the scripts of these types have %d bytes together, and a host takes %d; ask for fewer at once", len(body), maxBody)
	}
	p.script = frame(p.options.Nonce, p.sections, body)
	return p, nil
}

// lookup returns the type of that name, a built-in one first.
func (o Options) lookup(name string) (Type, bool) {
	if t, ok := Lookup(name); ok {
		return t, true
	}
	i := slices.IndexFunc(o.Custom, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return o.Custom[i], true
}

// withDefaults returns o with every zero replaced, the deadline in whole seconds.
func (o Options) withDefaults() Options {
	if o.Deadline <= 0 {
		o.Deadline = time.Minute
	}
	if rest := o.Deadline % time.Second; rest != 0 {
		o.Deadline += time.Second - rest
	}
	if o.SectionCap <= 0 {
		o.SectionCap = mib
	}
	if o.HostCap <= 0 {
		o.HostCap = 32 * mib
	}
	return o
}

// newNonce returns 128 random bits in hexadecimal.
func newNonce() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// validNonce reports whether s may be part of a shell script and of a sed address.
func validNonce(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == s
}

// Command returns the command line of the run. It is the same for every login shell, from csh to fish; the script
// goes to its standard input. What stands before the script there, such as a password that sudo did not want, is
// dropped.
func (p Plan) Command() string {
	return `env LC_ALL=C /bin/sh -c 'eval "$(sed -n "/^#BEGIN-` + p.options.Nonce + `/,\$p")"'`
}

// Script returns what to send to the command's standard input before closing it. The bytes are not to be changed.
func (p Plan) Script() []byte { return p.script }

// Nonce returns the nonce of the run.
func (p Plan) Nonce() string { return p.options.Nonce }

// Custom reports whether the run has custom collectors, whose scripts lead process groups of their own.
func (p Plan) Custom() bool {
	return slices.ContainsFunc(p.types, func(t Type) bool { return t.custom != nil })
}

// Deadline returns when, counted from its start, the script kills itself.
func (p Plan) Deadline() time.Duration { return p.options.Deadline }

// Types returns the names of the report types that the run yields, in the order they were asked for.
func (p Plan) Types() []string {
	names := make([]string, len(p.types))
	for i, t := range p.types {
		names[i] = t.Name
	}
	return names
}

// Sections returns the names of the sections that the run sends, in order.
func (p Plan) Sections() []string {
	names := make([]string, len(p.sections))
	for i, s := range p.sections {
		names[i] = s.name
	}
	return names
}

// MaxOutput returns how many bytes of standard output are worth keeping. A host that sends more is misbehaving: keep
// that many, close the connection, and read what there is.
func (p Plan) MaxOutput() int64 {
	const frame = 256 // the markers of a section
	total := int64(maxPreamble) + 64<<10
	for _, s := range p.sections {
		total += s.cap + frame
	}
	return min(total, p.options.HostCap)
}
