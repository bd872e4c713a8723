package command

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// shown returns a value as a table shows it to people; nothing in it can steer the terminal.
func shown(v any) string {
	switch v := v.(type) {
	case time.Time:
		return when(v, time.Now())
	case *time.Time:
		return when(orZero(v), time.Now())
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	}
	return plain(exact(v))
}

// exact returns a value for programs.
func exact(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case *string:
		return orEmpty(v)
	case *int:
		if v == nil {
			return ""
		}
		return strconv.Itoa(*v)
	case *uuid.UUID:
		if v == nil {
			return ""
		}
		return v.String()
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	case *time.Time:
		return exact(orZero(v))
	case []string:
		return strings.Join(v, ",")
	case map[string]string:
		pairs := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, key+"="+v[key])
		}
		return strings.Join(pairs, ",")
	case map[string]int:
		pairs := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, fmt.Sprintf("%s=%d", key, v[key]))
		}
		return strings.Join(pairs, ",")
	}
	return fmt.Sprint(v)
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const day = 24 * time.Hour

// when returns a moment as people say it: how long ago, or in how long, and the date if that is far.
func when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	form := "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	switch {
	case d >= 30*day:
		return t.UTC().Format("2006-01-02 15:04Z")
	case d >= 2*day:
		return fmt.Sprintf(form, fmt.Sprintf("%dd", d/day))
	case d >= time.Hour:
		return fmt.Sprintf(form, fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute))
	case d >= time.Minute:
		return fmt.Sprintf(form, fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second))
	}
	return fmt.Sprintf(form, fmt.Sprintf("%ds", d/time.Second))
}
