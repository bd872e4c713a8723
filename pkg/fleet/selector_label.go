package fleet

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// The limits of labels, in bytes.
const (
	MaxLabelKey   = 63
	MaxLabelValue = 255
)

// CheckLabelKey returns an error of kind Invalid about the field labels unless key can name a label: 1 to MaxLabelKey
// letters and digits of ASCII with . _ / - between them, and no word that means something else in a selector.
func CheckLabelKey(key string) error {
	if problem := labelKeyProblem(key); problem != "" {
		return InvalidField("labels", "%s", problem)
	}
	return nil
}

// CheckLabelValue returns an error of kind Invalid about the field labels unless value can be a label's value: at most
// MaxLabelValue bytes of printable UTF-8. The empty value is one.
func CheckLabelValue(value string) error {
	if problem := labelValueProblem(value); problem != "" {
		return InvalidField("labels", "%s", problem)
	}
	return nil
}

// labelKeyProblem says why key cannot name a label, or nothing.
func labelKeyProblem(key string) string {
	switch {
	case key == "" || len(key) > MaxLabelKey:
		return fmt.Sprintf("a label key has 1 to %d characters", MaxLabelKey)
	case reserved(key):
		return "and, or, not, in, notin, has, name and site mean something else in selectors and cannot be label keys"
	}
	for i := range len(key) {
		c := key[i]
		inside := i > 0 && i < len(key)-1 && (c == '.' || c == '_' || c == '/' || c == '-')
		if !isAlphanumeric(c) && !inside {
			return "a label key consists of letters, digits and . _ / - and begins and ends with a letter or digit"
		}
	}
	return ""
}

// labelValueProblem says why value cannot be the value of a label, or nothing.
func labelValueProblem(value string) string {
	if len(value) > MaxLabelValue {
		return fmt.Sprintf("a value has at most %d bytes", MaxLabelValue)
	}
	if !utf8.ValidString(value) {
		return "a value is valid UTF-8"
	}
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return "a value consists of printable characters"
		}
	}
	return ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
