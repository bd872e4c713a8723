package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String returns the value of name, or def. An empty def means that there need not be a value.
func (r *Reader) String(name, def, example, meaning string) string {
	v := Variable{Name: name, Default: def, Example: example, Meaning: meaning}
	return read(r, v, def, asIs)
}

// Required returns the value of name, which must be there.
func (r *Reader) Required(name, example, meaning string) string {
	return read(r, Variable{Name: name, Example: example, Meaning: meaning, Required: true}, "", asIs)
}

func asIs(s string) (string, error) { return s, nil }

// Int returns a whole number between low and high, or def.
func (r *Reader) Int(name string, def, low, high int, meaning string) int {
	v := Variable{Name: name, Default: strconv.Itoa(def), Example: strconv.Itoa(def), Meaning: meaning}
	return read(r, v, def, func(s string) (int, error) { return parseInt(s, low, high) })
}

// IntOrOff returns a whole number between low and high, or 0 where the value is off or there is none.
func (r *Reader) IntOrOff(name string, low, high int, meaning string) int {
	v := Variable{Name: name, Default: "off", Example: strconv.Itoa(low), Meaning: meaning}
	return read(r, v, 0, func(s string) (int, error) {
		if s == "off" {
			return 0, nil
		}
		n, err := parseInt(s, low, high)
		if err != nil {
			return 0, fmt.Errorf("%w, and not off", err)
		}
		return n, nil
	})
}

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("is not a whole number between %d and %d", low, high)
	}
	return n, nil
}

// Bool returns whether name is switched on, or def.
func (r *Reader) Bool(name string, def bool, meaning string) bool {
	v := Variable{Name: name, Default: strconv.FormatBool(def), Example: strconv.FormatBool(!def), Meaning: meaning}
	return read(r, v, def, func(s string) (bool, error) {
		switch strings.ToLower(s) {
		case "true", "1", "yes", "on":
			return true, nil
		case "false", "0", "no", "off":
			return false, nil
		}
		return false, errors.New("is neither true nor false")
	})
}

// Duration returns a duration between low and high, or def. Beside Go's units there is d for 24 hours, alone.
func (r *Reader) Duration(name string, def, low, high time.Duration, meaning string) time.Duration {
	v := Variable{Name: name, Default: durationText(def), Example: durationText(def), Meaning: meaning}
	return read(r, v, def, func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err != nil || d < low || d > high {
			return 0, fmt.Errorf("is not a duration between %s and %s", durationText(low), durationText(high))
		}
		return d, nil
	})
}

const day = 24 * time.Hour

func parseDuration(s string) (time.Duration, error) {
	if n, ok := countOf(s, "d", "day", "days"); ok {
		return time.Duration(n) * day, nil
	}
	return time.ParseDuration(s)
}

// countOf reads a number of at most 36,500 with one of the units, with or without a space between.
func countOf(s string, units ...string) (n int, ok bool) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	unit := strings.TrimPrefix(s[end:], " ")
	return n, err == nil && n <= 36_500 && slices.Contains(units, unit)
}

// durationText writes 1h30m0s as 1h30m and 48h0m0s as 2d.
func durationText(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Level returns a log level: debug, info, warn or error, or def.
func (r *Reader) Level(name string, def slog.Level, meaning string) slog.Level {
	v := Variable{Name: name, Default: strings.ToLower(def.String()), Example: "debug", Meaning: meaning}
	return read(r, v, def, func(s string) (slog.Level, error) {
		switch strings.ToLower(s) {
		case "debug":
			return slog.LevelDebug, nil
		case "info":
			return slog.LevelInfo, nil
		case "warn", "warning":
			return slog.LevelWarn, nil
		case "error":
			return slog.LevelError, nil
		}
		return 0, errors.New("is none of debug, info, warn, error")
	})
}

// OneOf returns one of values, or def.
func (r *Reader) OneOf(name, def, meaning string, values ...string) string {
	v := Variable{Name: name, Default: def, Example: other(values, def), Meaning: meaning}
	return read(r, v, def, func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("is none of %s", strings.Join(values, ", "))
		}
		return s, nil
	})
}

// other is a value that is not the default, for an example that shows more than the default.
func other(values []string, def string) string {
	for _, v := range values {
		if v != def {
			return v
		}
	}
	return def
}

// List returns the parts of a comma-separated value, or def. White space around parts is dropped; an empty part
// or one that is there twice is refused.
func (r *Reader) List(name string, def []string, example, meaning string) []string {
	v := Variable{Name: name, Default: strings.Join(def, ","), Example: example, Meaning: meaning}
	return read(r, v, slices.Clone(def), parseList)
}

// Subset is a List whose parts are all of values.
func (r *Reader) Subset(name string, def []string, meaning string, values ...string) []string {
	v := Variable{Name: name, Default: strings.Join(def, ","), Example: strings.Join(values, ","), Meaning: meaning}
	return read(r, v, slices.Clone(def), func(s string) ([]string, error) {
		parts, err := parseList(s)
		if err != nil {
			return nil, err
		}
		for i, part := range parts {
			if !slices.Contains(values, part) {
				return nil, fmt.Errorf("has a part, number %d, that is none of %s", i+1, strings.Join(values, ", "))
			}
		}
		return parts, nil
	})
}

func parseList(s string) ([]string, error) {
	parts := strings.Split(s, ",")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
		switch {
		case parts[i] == "":
			return nil, errors.New("has an empty part between its commas")
		case slices.Contains(parts[:i], parts[i]):
			return nil, fmt.Errorf("has a part, number %d, that was there before", i+1)
		}
	}
	return parts, nil
}
