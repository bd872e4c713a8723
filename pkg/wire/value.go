package wire

import "time"

// orNull returns nil for the zero value.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// orZero returns the zero value for nil.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func orDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// orEmpty returns m, or an empty map if it is nil: an object is never null.
func orEmpty[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

// orNone returns s, or an empty slice if it is nil: a list is never null.
func orNone[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// utc returns t in UTC, whatever zone it was read in.
func utc(t time.Time) time.Time { return t.UTC() }

func utcOrNull(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func seconds(d time.Duration) int { return int(d / time.Second) }
