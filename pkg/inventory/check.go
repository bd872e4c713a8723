package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// The limits of a host's fields.
const (
	maxAddress   = 253
	maxLabels    = 64
	maxKeepalive = 3600 // seconds
	keepalive    = 15   // seconds
	defaultPort  = 22
	localAddress = "localhost"
	algorithms   = "modern" // the one profile there is
)

// The patterns of names.
var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$`)
	sitePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	dnsLabel    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
)

// withDefaults returns h with every default spelled out, so that a host looks the same however it was added.
func withDefaults(h fleet.Host) fleet.Host {
	setDefault(&h.Connection, fleet.ConnectionSSH)
	setDefault(&h.Port, defaultPort)
	setDefault(&h.Site, fleet.DefaultSite)
	setDefault(&h.SSH.Become, fleet.BecomeNone)
	setDefault(&h.SSH.HostKeyPolicy, fleet.HostKeyTOFU)
	setDefault(&h.SSH.Algorithms, algorithms)
	if h.SSH.KeepaliveSeconds == nil {
		seconds := keepalive
		h.SSH.KeepaliveSeconds = &seconds
	}
	if h.Connection == fleet.ConnectionLocal {
		setDefault(&h.Address, localAddress)
	}
	if h.Labels == nil {
		h.Labels = map[string]string{}
	}
	return h
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// checkHost returns an Invalid error that names every bad field of h, whose defaults are spelled out.
func checkHost(h fleet.Host) error {
	var p problems
	if !namePattern.MatchString(h.Name) {
		p.add("name", "1 to 253 letters, digits and . _ : -, beginning with a letter or digit")
	}
	p.addIf("address", addressProblem(h.Address))
	if h.Port < 1 || h.Port > 65535 {
		p.add("port", "1 to 65535")
	}
	if !sitePattern.MatchString(h.Site) {
		p.add("site", "1 to 63 lower-case letters, digits and -, beginning with a letter or digit")
	}
	if h.Connection != fleet.ConnectionSSH && h.Connection != fleet.ConnectionLocal {
		p.add("connection", "ssh or local")
	}
	p.checkLabels(h.Labels)
	p.checkSSH(h)
	return p.err()
}

func (p *problems) checkLabels(labels map[string]string) {
	if len(labels) > maxLabels {
		p.add("labels", "at most %d labels", maxLabels)
		return
	}
	for key, value := range labels {
		if err := fleet.CheckLabelKey(key); err != nil {
			p.merge(err)
			continue
		}
		if err := fleet.CheckLabelValue(value); err != nil {
			for _, f := range fleet.FieldsOf(err) {
				p.add("labels."+key, "%s", f.Message)
			}
		}
	}
}

func (p *problems) checkSSH(h fleet.Host) {
	if h.JumpHostID != nil {
		p.merge(fleet.NotSupportedYet("jump_host_id"))
	}
	switch h.SSH.Become {
	case fleet.BecomeNone, fleet.BecomeDoas:
		if h.SSH.BecomeCredentialID != nil {
			p.add("ssh.become_credential_id", "only sudo takes a password that way, and ssh.become is %s", h.SSH.Become)
		}
	case fleet.BecomeSudo:
	default:
		p.add("ssh.become", "none, sudo or doas")
	}
	switch h.SSH.HostKeyPolicy {
	case fleet.HostKeyTOFU, fleet.HostKeyStrict:
	case fleet.HostKeyCA:
		p.merge(fleet.NotSupportedYet("ssh.host_key_policy"))
	default:
		p.add("ssh.host_key_policy", "tofu, strict or ca")
	}
	if h.SSH.Algorithms != algorithms {
		p.merge(fleet.NotSupportedYet("ssh.algorithms"))
	}
	if k := h.SSH.KeepaliveSeconds; k != nil && (*k < 0 || *k > maxKeepalive) {
		p.add("ssh.keepalive_seconds", "0 to %d", maxKeepalive)
	}
}

// addressProblem says why address is neither a host name nor an IP address, or nothing.
func addressProblem(address string) string {
	switch {
	case address == "":
		return "a host name or an IP address is required"
	case len(address) > maxAddress:
		return fmt.Sprintf("at most %d characters", maxAddress)
	case strings.HasPrefix(address, "["):
		return "an IPv6 address stands without brackets, and the port in its own field"
	}
	if _, err := netip.ParseAddr(address); err == nil {
		return ""
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(address, "."), ".") {
		if !dnsLabel.MatchString(label) {
			return "a host name (letters, digits and - between dots) or an IP address"
		}
	}
	return ""
}

// printable reports whether text is 1 to limit bytes of printable UTF-8.
func printable(text string, limit int) bool {
	return text != "" && len(text) <= limit && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// problems collects what is wrong with a request.
type problems struct {
	fields []fleet.FieldError
	code   string // of all of them, as long as they agree
}

func (p *problems) add(field, format string, args ...any) {
	p.merge(fleet.InvalidField(field, format, args...))
}

func (p *problems) addIf(field, message string) {
	if message != "" {
		p.add(field, "%s", message)
	}
}

func (p *problems) merge(err error) {
	code := fleet.CodeOf(err)
	if len(p.fields) > 0 && code != p.code {
		code = fleet.Invalid.DefaultCode()
	}
	p.code = code
	p.fields = append(p.fields, fleet.FieldsOf(err)...)
}

// err returns what is wrong, or nil.
func (p *problems) err() error {
	switch len(p.fields) {
	case 0:
		return nil
	case 1:
		return fleet.Errorf(fleet.Invalid, "%s: %s", p.fields[0].Field, p.fields[0].Message).WithCode(p.code).WithFields(p.fields...)
	}
	names := make([]string, len(p.fields))
	for i, f := range p.fields {
		names[i] = f.Field
	}
	return fleet.Errorf(fleet.Invalid, "these fields are not acceptable: %s", strings.Join(names, ", ")).WithCode(p.code).WithFields(p.fields...)
}
