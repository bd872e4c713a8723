package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	prefix       = "ROLLCALL_"
	fileSuffix   = "_FILE"
	maxFileBytes = 1 << 20
	maxEchoBytes = 60 // of a value in a message
)

// A Variable describes one variable that a Reader has read.
type Variable struct {
	Name     string
	Default  string // as it would be written; empty if there is none
	Meaning  string // one sentence without a full stop, as the caller gave it
	Example  string // a value; empty for what must not be copied from anywhere
	Required bool
	Secret   bool // never shown, not even in error messages
}

// Environ turns the name=value strings of os.Environ into a map. Of a name that is there twice the last counts.
func Environ(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			m[name] = value
		}
	}
	return m
}

// A Reader reads one process's configuration. It is for one goroutine, at start.
type Reader struct {
	environ   map[string]string
	variables []Variable
	known     map[string]bool
	problems  []error
}

// NewReader returns a Reader of environ, which it does not change.
func NewReader(environ map[string]string) *Reader {
	return &Reader{environ: environ, known: map[string]bool{}}
}

// Known names variables that this process does not read and that may be set all the same, because others do.
func (r *Reader) Known(names ...string) {
	for _, name := range names {
		r.known[name] = true
	}
}

// Documented returns what has been read so far, in the order of reading. The slice is the caller's.
func (r *Reader) Documented() []Variable { return slices.Clone(r.variables) }

// Refuse adds a problem that the caller found with the value of name, such as the error of a package that knows
// its form. The message of err must be safe to show.
func (r *Reader) Refuse(name string, err error) {
	r.problems = append(r.problems, fleet.Errorf(fleet.Invalid, "%s: %v", name, err))
}

// Err returns all problems, a line each, as one error of kind Invalid, or nil. Call it after everything was
// read: variables that begin with ROLLCALL_ and were neither read nor Known are problems too.
func (r *Reader) Err() error {
	return errors.Join(append(slices.Clip(r.problems), r.unknown()...)...)
}

// lookup registers v and returns its value. ok is false if there is none to look at, in which case the problem,
// if it is one, has been noted.
func (r *Reader) lookup(v Variable) (value string, fromFile, ok bool) {
	if !r.known[v.Name] {
		r.known[v.Name] = true
		r.variables = append(r.variables, v)
	}
	value, path := r.environ[v.Name], r.environ[v.Name+fileSuffix]
	switch {
	case value != "" && path != "":
		r.Refuse(v.Name, fmt.Errorf("is set, and so is %s; set one of them", v.Name+fileSuffix))
		return "", false, false
	case path != "":
		content, err := readFile(path)
		if err != nil {
			r.Refuse(v.Name+fileSuffix, err)
			return "", true, false
		}
		return content, true, true
	case value != "":
		return value, false, true
	case v.Required:
		r.Refuse(v.Name, fmt.Errorf("is required%s", forExample(v)))
	}
	return "", false, false
}

// read returns the parsed value of v, or fallback where there is none or it is refused. The error of parse
// continues a sentence that begins with the value: is not a number.
func read[T any](r *Reader, v Variable, fallback T, parse func(string) (T, error)) T {
	text, fromFile, ok := r.lookup(v)
	if !ok {
		return fallback
	}
	value, err := parse(text)
	if err == nil {
		return value
	}
	subject := echo(text)
	switch {
	case fromFile:
		subject = "the content of the file that " + v.Name + fileSuffix + " names"
	case v.Secret:
		subject = "the value"
	}
	r.Refuse(v.Name, fmt.Errorf("%s %w%s", subject, err, forExample(v)))
	return fallback
}

func echo(text string) string {
	if len(text) > maxEchoBytes {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:maxEchoBytes], ""))
	}
	return fmt.Sprintf("%q", text)
}

func forExample(v Variable) string {
	if v.Example == "" {
		return "; `rollcall keygen` prints a fresh one"
	}
	return "; for example " + v.Name + "=" + v.Example
}

// readFile returns the content of a file without the line break at its end.
func readFile(path string) (string, error) {
	info, err := os.Stat(path) // before opening, which would wait at a named pipe
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("names %s, which is not a file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	if len(content) > maxFileBytes {
		return "", fmt.Errorf("names %s, which has more than %d bytes", path, maxFileBytes)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("names %s, which is empty", path)
	}
	return text, nil
}

// unknown returns a problem for each variable that nobody reads: mostly a misspelt one, whose default would
// otherwise be used without a word.
func (r *Reader) unknown() []error {
	var names []string
	for name := range r.environ {
		if strings.HasPrefix(name, prefix) && !r.knows(name) && !injected(name, r.environ[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	problems := make([]error, 0, len(names))
	for _, name := range names {
		hint := ""
		if near := r.nearest(name); near != "" {
			hint = "; did you mean " + near + "?"
		}
		problems = append(problems, fleet.Errorf(fleet.Invalid, "%s: is not a variable that Rollcall knows%s", name, hint))
	}
	return problems
}

func (r *Reader) knows(name string) bool {
	return r.known[name] || r.known[strings.TrimSuffix(name, fileSuffix)]
}

// injected reports whether Kubernetes or a container link set the variable: a service called rollcall-api
// gives every pod of its namespace a ROLLCALL_API_SERVICE_HOST and more.
func injected(name, value string) bool {
	form := regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
	return form.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// nearest returns the known name that name most likely stands for, or "" if none is near.
func (r *Reader) nearest(name string) string {
	if base, ok := strings.CutSuffix(name, fileSuffix); ok && base != "" {
		if near := r.nearest(base); near != "" {
			return near + fileSuffix
		}
		return ""
	}
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	most := max(2, (len(name)-len(prefix))/3)
	for known := range r.known {
		if d := distance(name, known); d <= most {
			near = append(near, candidate{known, d})
		}
	}
	if len(near) == 0 {
		return ""
	}
	return slices.MinFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	}).name
}

// distance is the least number of letters to insert, remove or replace between a and b. Names longer than 128
// are compared up to there.
func distance(a, b string) int {
	a, b = a[:min(len(a), 128)], b[:min(len(b), 128)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
