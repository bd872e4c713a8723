package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A bag is the contents of a section that consists of small files, symbolic links, names of things that exist, and
// values. Nothing in it is trusted to be there.
type bag struct {
	files  map[string][]string // the lines of each file, from lines of the form path:content
	values map[string]string   // from lines of the form "=name value"
	links  map[string]string   // where each symbolic link points, from the lines of ls -ld
	exists map[string]bool     // lines of any other form, such as the names that ls -d prints
}

// readBag reads text line by line. Every line has a meaning, so there is no error.
func readBag(text string) bag {
	b := bag{files: map[string][]string{}, values: map[string]string{}, links: map[string]string{}, exists: map[string]bool{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "=") {
			name, value, _ := strings.Cut(line[1:], " ")
			b.values[name] = strings.TrimSpace(value)
			continue
		}
		if name, target, ok := linkOf(line); ok {
			b.links[name] = target
			continue
		}
		if path, content, ok := strings.Cut(line, ":"); ok {
			path = strings.TrimSpace(path)
			b.files[path] = append(b.files[path], content)
			continue
		}
		b.exists[line] = true
	}
	return b
}

// linkOf reads a line of ls -l about a symbolic link.
func linkOf(line string) (name, target string, ok bool) {
	if len(line) < 11 || line[0] != 'l' || strings.Trim(line[1:10], "-rwxsStT") != "" {
		return "", "", false
	}
	before, target, ok := strings.Cut(line, " -> ")
	if !ok {
		return "", "", false
	}
	return before[strings.LastIndexByte(before, ' ')+1:], target, true
}

// first returns the trimmed first line of the first of the files that has one, and "" if none has.
func (b bag) first(paths ...string) string {
	for _, path := range paths {
		for _, line := range b.files[path] {
			if line = strings.TrimSpace(line); line != "" {
				return line
			}
		}
	}
	return ""
}

// any reports whether one of the names exists.
func (b bag) any(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return b.exists[name] })
}

// has reports whether the file was readable and not empty.
func (b bag) has(path string) bool { return len(b.files[path]) > 0 }

// text returns a pointer to s, or nil where s says nothing.
func text(s string) *string {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	return &s
}

// maxExact is the largest integer that survives JSON and RFC 8785, whose numbers are doubles.
const maxExact = 1 << 53

// number reads a decimal integer that is not negative and can be told exactly; anything else is nil.
func number(s string) *int64 {
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || v < 0 || v > maxExact {
		return nil
	}
	return &v
}

// scaled reads an integer as number does and multiplies it.
func scaled(s string, factor int64) *int64 {
	v := number(s)
	if v == nil || *v > maxExact/factor {
		return nil
	}
	return new(*v * factor)
}

// instant reads a time in Unix seconds, up to the end of the year 9999; anything else is nil.
func instant(s string) *int64 { return atMost(number(s), 253402300799) }

// numberID reads a number of which the kernel has 32 bits, as of a user or a group; anything else is nil.
func numberID(s string) *int64 { return atMost(number(s), math.MaxUint32) }

// atMost returns v, and nil if that is more than the limit.
func atMost(v *int64, limit int64) *int64 {
	if v == nil || *v > limit {
		return nil
	}
	return v
}

// percent reads a decimal fraction from 0 to 100; anything else is nil.
func percent(s string) *float64 {
	v := decimal(s)
	if v == nil || *v > 100 {
		return nil
	}
	return v
}

// isDigest reports whether s is a SHA-256 as tools print it: in hexadecimal, in lower case.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// decimal reads a finite decimal fraction that is not negative; anything else is nil.
func decimal(s string) *float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v > maxExact {
		return nil
	}
	return &v
}

// flag reads a boolean as the kernel writes it; anything else is nil.
func flag(s string) *bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "y", "yes", "on":
		return new(true)
	case "0", "n", "no", "off":
		return new(false)
	}
	return nil
}

// clean returns b as text that any database takes: no NUL, and U+FFFD for what is not UTF-8.
func clean(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "")
}

// splitParts splits text at its lines of the form "#name" into the parts that follow them. What comes before the
// first such line is the part "".
func splitParts(text string, names ...string) map[string]string {
	parts := map[string]string{}
	current, start, at := "", 0, 0
	for line := range strings.Lines(text) {
		name := strings.TrimSpace(line)
		if strings.HasPrefix(name, "#") && slices.Contains(names, name[1:]) {
			parts[current] += text[start:at]
			current, start = name[1:], at+len(line)
		}
		at += len(line)
	}
	parts[current] += text[start:]
	return parts
}

// signed reads a decimal integer that may be negative; anything else is nil.
func signed(s string) *int64 {
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || v < -maxExact || v > maxExact {
		return nil
	}
	return &v
}

// unescapeMount undoes the octal escapes of /proc/mounts and its like: space, tab, newline, backslash and the rest.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return clean([]byte(out.String()))
}
