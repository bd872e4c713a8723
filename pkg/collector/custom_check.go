package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// reserved reports whether a name belongs to a built-in type, of this release or of one that is planned.
func reserved(name string) bool {
	_, builtin := Lookup(name)
	return builtin || slices.Contains([]string{"os", "cpu", "memory", "disks", "network", "packages", "services", "users", "ports", "all", "custom"}, name)
}

// validName reports whether s is [a-z][a-z0-9_]{1,62}.
func validName(s string) bool {
	return len(s) >= 2 && len(s) <= maxDefinitionName && s[0] >= 'a' && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// validSystem reports whether s can be the ID of a distribution in os-release, or the name of a kernel in small letters.
func validSystem(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// Check returns an error of kind Invalid that names the first field that is wrong, and where in it.
func (d Definition) Check() error {
	_, err := d.compile()
	return err
}

// A custom is a definition that has been checked, ready to read.
type custom struct {
	Definition
	pattern  *regexp.Regexp
	redact   []*regexp.Regexp
	volatile []facts.Pattern
	keys     []facts.Path
	schema   *validator // nil: everything is valid
}

// compile checks the definition field by field.
func (d Definition) compile() (*custom, error) {
	c := &custom{Definition: d}
	for _, check := range []func() error{
		c.checkName, c.checkScripts, c.checkParser, c.checkKeys, c.checkVolatile, c.checkRedact, c.checkBounds, c.checkSchema, c.checkFixtures,
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *custom) checkName() error {
	switch {
	case !validName(c.Name):
		return fleet.InvalidField("name", "must be 2 to 63 characters of a-z, 0-9 and _, and begin with a letter")
	case reserved(c.Name):
		return fleet.InvalidField("name", "%s is a built-in type", c.Name).WithCode("name_taken")
	case len(c.Description) > maxDescription || !isText(c.Description):
		return fleet.InvalidField("description", "must be text of at most %d bytes", maxDescription)
	}
	return nil
}

// isText reports whether s can be kept by any database.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func (c *custom) checkScripts() error {
	if len(c.OS) == 0 || len(c.OS) > maxScripts {
		return fleet.InvalidField("os", "needs 1 to %d scripts, by system such as linux or debian", maxScripts)
	}
	for _, system := range c.Systems() {
		field, script := "os."+system, c.OS[system]
		switch {
		case !validSystem(system):
			return fleet.InvalidField("os", "%q is no system: linux, darwin, freebsd, or the ID of a distribution", system)
		case strings.TrimSpace(script) == "":
			return fleet.InvalidField(field, "the script is empty")
		case len(script) > maxScript:
			return fleet.InvalidField(field, "the script has more than %d bytes", maxScript)
		case !isText(script):
			return fleet.InvalidField(field, "the script is not text")
		}
	}
	return nil
}

func (c *custom) checkParser() error {
	p := c.Parser
	if !slices.Contains(Formats(), p.Format) {
		return fleet.InvalidField("parser.format", "must be one of %s", strings.Join(Formats(), ", "))
	}
	uses := map[string][]string{
		"sep": {FormatKV, FormatCSV}, "header": {FormatCSV, FormatTable}, "columns": {FormatCSV, FormatTable}, "pattern": {FormatRegex},
	}
	given := map[string]bool{"sep": p.Sep != "", "header": p.Header, "columns": len(p.Columns) > 0, "pattern": p.Pattern != ""}
	for _, name := range sortedKeys(given) {
		if given[name] && !slices.Contains(uses[name], p.Format) {
			return fleet.InvalidField("parser."+name, "means nothing to the format %s", p.Format)
		}
	}
	switch p.Format {
	case FormatKV:
		if len(p.Sep) > 8 || !isText(p.Sep) || strings.Contains(p.Sep, "\n") {
			return fleet.InvalidField("parser.sep", "must be at most 8 bytes of one line")
		}
	case FormatCSV:
		if p.Sep != "" && (utf8.RuneCountInString(p.Sep) != 1 || strings.ContainsAny(p.Sep, "\"\r\n\x00\uFFFD")) {
			return fleet.InvalidField("parser.sep", "must be one character, and no quote or line end")
		}
		if p.Header == (len(p.Columns) > 0) {
			return fleet.InvalidField("parser.columns", "csv has either a header or columns")
		}
	case FormatTable:
		if len(p.Columns) == 0 {
			return fleet.InvalidField("parser.columns", "a table needs the names of its columns")
		}
	case FormatRegex:
		return c.checkPattern()
	}
	return checkNames("parser.columns", p.Columns)
}

// checkNames refuses names of fields that are empty, twice there, too long or too many.
func checkNames(field string, names []string) error {
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case name == "" || len(name) > 64 || !isText(name):
			return fleet.InvalidField(fmt.Sprintf("%s[%d]", field, i), "must be text of 1 to 64 bytes")
		case seen[name]:
			return fleet.InvalidField(fmt.Sprintf("%s[%d]", field, i), "%s is there twice", name)
		case i >= maxPatterns:
			return fleet.InvalidField(field, "at most %d", maxPatterns)
		}
		seen[name] = true
	}
	return nil
}

func (c *custom) checkPattern() (err error) {
	if c.pattern, err = compilePattern("parser.pattern", c.Parser.Pattern); err != nil {
		return err
	}
	var names []string
	for _, name := range c.pattern.SubexpNames() {
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fleet.InvalidField("parser.pattern", "needs named groups, as in (?P<name>…): each becomes a field")
	}
	return checkNames("parser.pattern", names)
}

// compilePattern reads a regular expression, and says which part of a bad one is bad and where it stands.
func compilePattern(field, pattern string) (*regexp.Regexp, error) {
	switch {
	case pattern == "":
		return nil, fleet.InvalidField(field, "is empty")
	case len(pattern) > maxPatternLength || !isText(pattern):
		return nil, fleet.InvalidField(field, "must be text of at most %d bytes", maxPatternLength)
	}
	re, err := regexp.Compile(pattern)
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		at := strings.Index(pattern, e.Expr) + 1
		if at > 0 && e.Expr != pattern {
			return nil, fleet.InvalidField(field, "%s: %q at character %d", e.Code, e.Expr, at)
		}
		return nil, fleet.InvalidField(field, "%s", e.Code)
	}
	return re, err
}

func (c *custom) checkKeys() error {
	if len(c.Keys) > 8 {
		return fleet.InvalidField("keys", "at most 8")
	}
	if len(c.Keys) > 0 && slices.Contains([]string{FormatText, FormatLines, FormatKV, FormatINI, FormatNone}, c.Parser.Format) {
		return fleet.InvalidField("keys", "the format %s yields no list of elements", c.Parser.Format)
	}
	for i, key := range c.Keys {
		path, err := facts.ParsePath(key)
		if err != nil || len(path) == 0 {
			return fleet.InvalidField(fmt.Sprintf("keys[%d]", i), "must be the path of a field, as in name or metadata.name%s", because(err))
		}
		c.keys = append(c.keys, path)
	}
	return nil
}

// because says after a colon what is wrong, if something is.
func because(err error) string {
	if err == nil {
		return ""
	}
	for _, f := range fleet.FieldsOf(err) {
		return ": " + f.Message
	}
	return ": " + fleet.MessageOf(err)
}

func (c *custom) checkVolatile() error {
	if len(c.Volatile) > maxPatterns {
		return fleet.InvalidField("volatile", "at most %d", maxPatterns)
	}
	for i, text := range c.Volatile {
		pattern, err := facts.ParsePattern(text)
		if err != nil || pattern.All() {
			return fleet.InvalidField(fmt.Sprintf("volatile[%d]", i), "must be a pattern of paths, as in items.*.days_left%s", because(err))
		}
		c.volatile = append(c.volatile, pattern)
	}
	return nil
}

func (c *custom) checkRedact() error {
	if len(c.Redact) > maxPatterns {
		return fleet.InvalidField("redact", "at most %d", maxPatterns)
	}
	for i, text := range c.Redact {
		re, err := compilePattern(fmt.Sprintf("redact[%d]", i), text)
		if err != nil {
			return err
		}
		if re.MatchString("") {
			return fleet.InvalidField(fmt.Sprintf("redact[%d]", i), "matches nothing at all, and so everywhere")
		}
		c.redact = append(c.redact, re)
	}
	return nil
}

func (c *custom) checkBounds() error {
	switch {
	case c.TimeoutSeconds < 0 || c.TimeoutSeconds > maxTimeout:
		return fleet.InvalidField("timeout_seconds", "must be between 1 and %d", maxTimeout)
	case c.Caps.Stdout < 0 || c.Caps.Stdout > maxStdout:
		return fleet.InvalidField("caps.stdout", "must be between 1 and %d bytes", maxStdout)
	case c.Caps.Stderr < 0 || c.Caps.Stderr > maxStderr:
		return fleet.InvalidField("caps.stderr", "must be between 1 and %d bytes", maxStderr)
	case len(c.OKExitCodes) > maxPatterns:
		return fleet.InvalidField("ok_exit_codes", "at most %d", maxPatterns)
	case c.Version < 0:
		return fleet.InvalidField("version", "must not be negative")
	}
	for i, code := range c.OKExitCodes {
		if code < 0 || code > 255 {
			return fleet.InvalidField(fmt.Sprintf("ok_exit_codes[%d]", i), "must be between 0 and 255")
		}
	}
	return nil
}

func (c *custom) checkFixtures() error {
	if len(c.Fixtures) > maxFixtures {
		return fleet.InvalidField("fixtures", "at most %d", maxFixtures)
	}
	seen := map[string]bool{}
	for i, f := range c.Fixtures {
		field := fmt.Sprintf("fixtures[%d]", i)
		_, known := c.OS[f.OS]
		switch {
		case f.Name == "" || len(f.Name) > 128 || !isText(f.Name):
			return fleet.InvalidField(field+".name", "must be text of 1 to 128 bytes")
		case seen[f.Name]:
			return fleet.InvalidField(field+".name", "%s is there twice", f.Name)
		case f.OS != "" && !known:
			return fleet.InvalidField(field+".os", "there is no script for %q", f.OS)
		case f.RC < 0 || f.RC > 255:
			return fleet.InvalidField(field+".rc", "must be between 0 and 255")
		case !isText(f.Stdout):
			return fleet.InvalidField(field+".stdout", "is not text")
		}
		seen[f.Name] = true
		if _, err := json.Marshal(f.Expect); err != nil {
			return fleet.InvalidField(field+".expect", "cannot be written as JSON")
		}
	}
	return nil
}
