package settings_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/settings"
)

// A reading reads the variable N in one way.
type reading func(*settings.Reader) any

func TestValues(t *testing.T) {
	t.Parallel()
	number := func(r *settings.Reader) any { return r.Int("N", 5, -1, 20, "m") }
	rate := func(r *settings.Reader) any { return r.IntOrOff("N", 1, 100, "m") }
	flag := func(r *settings.Reader) any { return r.Bool("N", true, "m") }
	wait := func(r *settings.Reader) any { return r.Duration("N", time.Minute, time.Second, 72*time.Hour, "m") }
	keep := func(r *settings.Reader) any {
		return r.Period("N", settings.Months(13), settings.Days(1), settings.Months(240), "m")
	}
	level := func(r *settings.Reader) any { return r.Level("N", slog.LevelInfo, "m") }
	format := func(r *settings.Reader) any { return r.OneOf("N", "auto", "m", "auto", "tint", "json") }
	sites := func(r *settings.Reader) any { return r.List("N", []string{"default"}, "eu,us", "m") }
	doors := func(r *settings.Reader) any { return r.Subset("N", []string{"rest", "ui"}, "m", "rest", "grpc", "ui") }
	listen := func(r *settings.Reader) any { return r.ListenAddr("N", ":8080", "m") }
	db := func(r *settings.Reader) any { return r.PostgresURL("N", false, "m") }
	cache := func(r *settings.Reader) any { return r.RedisURL("N", false, "m") }
	traces := func(r *settings.Reader) any { return r.HTTPURL("N", "http://127.0.0.1:4317", "m") }
	must := func(r *settings.Reader) any { return r.Required("N", "x", "m") }
	const accepted = ""
	tests := []struct {
		name    string
		read    reading
		value   string // "" is not set
		want    any
		problem string
	}{
		{"a number", number, "7", 7, accepted},
		{"a number at its bound", number, "20", 20, accepted},
		{"a negative number", number, "-1", -1, accepted},
		{"no number", number, "", 5, accepted},
		{"a number beyond its bound", number, "21", 5, "between -1 and 20"},
		{"a number that is none", number, "1e1", 5, "whole number"},
		{"a number with a space", number, " 7", 5, "whole number"},
		{"a number larger than any", number, "99999999999999999999", 5, "whole number"},

		{"a rate", rate, "50", 50, accepted},
		{"a rate that is off", rate, "off", 0, accepted},
		{"no rate", rate, "", 0, accepted},
		{"a rate of nothing", rate, "0", 0, "between 1 and 100, and not off"},

		{"yes", flag, "Yes", true, accepted},
		{"0", flag, "0", false, accepted},
		{"no flag", flag, "", true, accepted},
		{"perhaps", flag, "perhaps", true, "neither true nor false"},

		{"a duration", wait, "1m30s", 90 * time.Second, accepted},
		{"a duration in days", wait, "3d", 72 * time.Hour, accepted},
		{"a duration without unit", wait, "30", time.Minute, "between 1s and 3d"},
		{"a negative duration", wait, "-5s", time.Minute, "between 1s and 3d"},
		{"a duration in months", wait, "1month", time.Minute, "between 1s and 3d"},
		{"a duration that would overflow", wait, "999999999999d", time.Minute, "between 1s and 3d"},

		{"a period in months", keep, "13months", settings.Months(13), accepted},
		{"a period in months, as people write it", keep, "1 month", settings.Months(1), accepted},
		{"a period in days", keep, "30d", settings.Days(30), accepted},
		{"a period in hours", keep, "720h", settings.Days(30), accepted},
		{"no period", keep, "", settings.Months(13), accepted},
		{"a period that is too short", keep, "1h", settings.Months(13), "between 1d and 240months"},
		{"a period that is too long", keep, "241months", settings.Months(13), "between 1d and 240months"},
		{"a period that is endless", keep, "99999999999999999999months", settings.Months(13), "units are months"},
		{"a period of minutes, or months?", keep, "13m", settings.Months(13), "units are months"},

		{"a level", level, "WARN", slog.LevelWarn, accepted},
		{"a level between levels", level, "INFO+2", slog.LevelInfo, "none of debug, info, warn, error"},

		{"one of several", format, "json", "json", accepted},
		{"none of several", format, "xml", "auto", "none of auto, tint, json"},

		{"a list", sites, "eu, us", []string{"eu", "us"}, accepted},
		{"no list", sites, "", []string{"default"}, accepted},
		{"a list with a hole", sites, "eu,,us", []string{"default"}, "empty part"},
		{"a list that repeats itself", sites, "eu,us,eu", []string{"default"}, "number 3"},
		{"a subset", doors, "ui,grpc", []string{"ui", "grpc"}, accepted},
		{"a subset with a stranger", doors, "ui,gprc", []string{"rest", "ui"}, "number 2, that is none of rest, grpc, ui"},

		{"an address", listen, "127.0.0.1:0", "127.0.0.1:0", accepted},
		{"an address of IPv6", listen, "[::1]:80", "[::1]:80", accepted},
		{"an address without host", listen, ":9180", ":9180", accepted},
		{"an address without port", listen, "127.0.0.1", ":8080", "host:port"},
		{"an address with a port that is too high", listen, ":65536", ":8080", "0 to 65535"},
		{"an address with a service's name", listen, ":http", ":8080", "0 to 65535"},
		{"a URL as address", listen, "http://x:80", ":8080", "host:port"},
		{"a path as host", listen, "a/b:80", ":8080", "a host that is not"},

		{"a database", db, "postgres://u:p@db/rollcall", "postgres://u:p@db/rollcall", accepted},
		{"a database behind a socket", db, "postgresql:///rollcall?host=/run/postgresql", "postgresql:///rollcall?host=/run/postgresql", accepted},
		{"a database by keywords", db, "host=/run/postgresql dbname=rollcall", "host=/run/postgresql dbname=rollcall", accepted},
		{"another database", db, "mysql://u:hunter2@db/x", "", "another scheme"},
		{"a database with a broken password", db, "postgres://u:hunter2%zz@db/x", "", "percent-encoded"},
		{"a database without host", db, "postgres:///x", "", "names no host"},
		{"a database that is a word", db, "hunter2", "", "neither"},

		{"a Redis", cache, "redis-sentinel://s1,s2/m", "redis-sentinel://s1,s2/m", accepted},
		{"a Redis without scheme", cache, "cache:6379", "", "not a URL"},
		{"a Redis without address", cache, "redis://", "", "not a URL"},

		{"a collector of traces", traces, "https://otel:4317", "https://otel:4317", accepted},
		{"a collector without scheme", traces, "otel:4317", "", "http://"},
		{"a collector with a password", traces, "https://u:hunter2@otel", "", "does not belong"},

		{"a required value", must, "v", "v", accepted},
		{"a required value that is missing", must, "", "", "is required; for example N=x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := settings.NewReader(map[string]string{"N": tt.value})
			if diff := cmp.Diff(tt.want, tt.read(r)); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
			err := r.Err()
			if tt.problem == accepted && err != nil || tt.problem != accepted && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("Err = %v, want %q", err, tt.problem)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "N: ")) {
				t.Errorf("Err = %q, which shows a secret or names no variable", err)
			}
		})
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	const a, b = "correct-horse-battery-staple-0123", "another-horse-battery-staple-4567"
	tests := []struct {
		name, key, old string
		wantOld        int
		problem        string
	}{
		{"a key and two old ones", a, b + " , " + a, 2, ""},
		{"a key alone", a, "", 0, ""},
		{"no key", "", "", 0, "K: is required; `rollcall keygen`"},
		{"a short key", a[:31], "", 0, "31 bytes instead of at least 32"},
		{"a key with a line break", a + "\n", "", 0, "white space"},
		{"two keys where one belongs", a + "," + b, "", 0, "comma"},
		{"a key that anybody guesses", strings.Repeat("ab", 20), "", 0, "easy to guess"},
		{"a short old key", a, b + ",hunter2", 0, "number 2, that has 7 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := settings.NewReader(map[string]string{"K": tt.key, "K_OLD": tt.old})
			key, old := r.SigningKey("K", true, "m"), r.SigningKeys("K_OLD", "m")
			err := r.Err()
			if tt.problem == "" && (err != nil || string(key) != tt.key || len(old) != tt.wantOld) {
				t.Errorf("SigningKey = %q, %q, %v", key, old, err)
			}
			if tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("Err = %v, want %q", err, tt.problem)
			}
			for _, secret := range []string{"horse", "hunter2", "abab"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a key: %v", err)
				}
			}
		})
	}
}

func TestPeriodBefore(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := []struct {
		period   settings.Period
		t, want  string
		asString string
	}{
		{settings.Months(13), "2026-11-22T10:00:00Z", "2025-10-22T10:00:00Z", "13months"},
		{settings.Months(1), "2026-03-31T10:00:00Z", "2026-02-28T10:00:00Z", "1month"},
		{settings.Months(1), "2028-03-30T10:00:00Z", "2028-02-29T10:00:00Z", "1month"},
		{settings.Months(12), "2028-02-29T10:00:00Z", "2027-02-28T10:00:00Z", "12months"},
		{settings.Days(30), "2026-03-01T10:00:00Z", "2026-01-30T10:00:00Z", "30d"},
		{settings.Period{Duration: 90 * time.Minute}, "2026-03-01T00:00:00Z", "2026-02-28T22:30:00Z", "1h30m"},
		{settings.Period{}, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "0s"},
	}
	for _, tt := range tests {
		if got := tt.period.Before(at(tt.t)); !got.Equal(at(tt.want)) {
			t.Errorf("%s before %s = %s, want %s", tt.period, tt.t, got, tt.want)
		}
		if got := tt.period.String(); got != tt.asString {
			t.Errorf("String = %q, want %q", got, tt.asString)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, seed := range []string{"13months", "30d", "1h", "-1", "postgres://u:p@h/d", "redis://h", "[::1]:80", "a,b", "http://h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := settings.NewReader(map[string]string{"N": s, "ROLLCALL_" + s: s})
		if p := r.Period("N", settings.Days(1), settings.Days(1), settings.Months(240), "m"); p.Before(time.Now()).After(time.Now().Add(-23 * time.Hour)) {
			t.Errorf("Period(%q) = %+v is shorter than a day", s, p)
		}
		if d := r.Duration("N", time.Second, time.Second, time.Hour, "m"); d < time.Second || d > time.Hour {
			t.Errorf("Duration(%q) = %s", s, d)
		}
		r.PostgresURL("N", true, "m")
		r.RedisURL("N", true, "m")
		r.HTTPURL("N", "", "m")
		r.ListenAddr("N", "", "m")
		r.List("N", nil, "", "m")
		r.SigningKeys("N", "m")
		_ = r.Err()
	})
}
