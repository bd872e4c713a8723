package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

func TestLoggerFormat(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		format   string
		terminal bool
		json     bool
		colour   bool
	}{
		{"auto on a terminal is for people", "auto", true, false, true},
		{"auto elsewhere is for machines", "auto", false, true, false},
		{"nothing chosen is auto", "", false, true, false},
		{"tint in a file is for people and without colour", "tint", false, false, false},
		{"json on a terminal is for machines", "json", true, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			log := telemetry.NewLogger(&buf, telemetry.Options{Service: "worker", Format: tt.format, Terminal: tt.terminal})
			log.Info("collected", "host", "web-1")
			line := buf.String()
			if got := json.Valid([]byte(line)); got != tt.json {
				t.Errorf("JSON = %v, want %v: %s", got, tt.json, line)
			}
			if got := strings.Contains(line, "\x1b["); got != tt.colour {
				t.Errorf("colour = %v, want %v: %q", got, tt.colour, line)
			}
			for _, want := range []string{"collected", "web-1", "worker"} {
				if !strings.Contains(line, want) {
					t.Errorf("the line lacks %q: %s", want, line)
				}
			}
		})
	}
}

// record logs one JSON record and returns it without its time.
func record(t *testing.T, log func(*slog.Logger)) map[string]any {
	t.Helper()
	var buf bytes.Buffer
	log(telemetry.NewLogger(&buf, telemetry.Options{Format: "json"}))
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, buf.String())
	}
	text, ok := got["time"].(string)
	if at, err := time.Parse(time.RFC3339Nano, text); !ok || err != nil || at.Location() != time.UTC {
		t.Errorf("the time is %v, which is not UTC", got["time"])
	}
	delete(got, "time")
	return got
}

func TestLoggerCarriesTheIDsOfTheContext(t *testing.T) {
	t.Parallel()
	ctx := telemetry.WithRequestID(t.Context(), "r-1")
	ctx = telemetry.WithCollectionID(telemetry.WithTaskID(ctx, "t-1"), "c-1")
	all := map[string]any{"request_id": "r-1", "task_id": "t-1", "collection_id": "c-1"}
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want map[string]any // beside level, message and IDs
	}{
		{"on a plain record", func(l *slog.Logger) { l.InfoContext(ctx, "m", "k", 1) }, map[string]any{"k": 1.0}},
		{"on a logger with attributes", func(l *slog.Logger) { l.With("a", "b").InfoContext(ctx, "m") }, map[string]any{"a": "b"}},
		{"outside of a group", func(l *slog.Logger) {
			l.With("a", "b").WithGroup("g").With("c", "d").InfoContext(ctx, "m", "k", 1)
		}, map[string]any{"a": "b", "g": map[string]any{"c": "d", "k": 1.0}}},
		{"outside of a nameless group", func(l *slog.Logger) { l.WithGroup("").InfoContext(ctx, "m", "k", 1) }, map[string]any{"k": 1.0}},
		{"with durations and errors readable", func(l *slog.Logger) {
			l.InfoContext(ctx, "m", "took", 1500*time.Millisecond, "error", errors.New("x"))
		}, map[string]any{"took": "1.5s", "error": "x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := map[string]any{"level": "INFO", "msg": "m"}
			maps.Copy(want, all)
			maps.Copy(want, tt.want)
			if diff := cmp.Diff(want, record(t, tt.log)); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
	bare := record(t, func(l *slog.Logger) { l.InfoContext(t.Context(), "m") })
	if diff := cmp.Diff(map[string]any{"level": "INFO", "msg": "m"}, bare); diff != "" {
		t.Errorf("a context without IDs (-want +got):\n%s", diff)
	}
	if got := telemetry.RequestID(ctx); got != "r-1" || telemetry.RequestID(t.Context()) != "" {
		t.Errorf("RequestID = %q", got)
	}
}

func TestLoggersOfOneParentKeepApart(t *testing.T) {
	t.Parallel()
	ctx := telemetry.WithRequestID(t.Context(), "r-1")
	got := record(t, func(l *slog.Logger) {
		parent := l.WithGroup("g").With("p", 1)
		first := parent.With("first", 1)
		_ = parent.With("second", 2)
		first.InfoContext(ctx, "m")
	})
	want := map[string]any{"level": "INFO", "msg": "m", "request_id": "r-1", "g": map[string]any{"p": 1.0, "first": 1.0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestLoggerLevel(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "tint"} {
		var buf bytes.Buffer
		log := telemetry.NewLogger(&buf, telemetry.Options{Format: format, Level: slog.LevelWarn})
		log.Info("not this")
		log.Warn("but this")
		if got := buf.String(); strings.Contains(got, "not this") || !strings.Contains(got, "but this") {
			t.Errorf("%s at level Warn: %s", format, got)
		}
	}
}

func TestLogLinesCannotBeForged(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "tint"} {
		var buf bytes.Buffer
		ctx := telemetry.WithRequestID(t.Context(), "x\nlevel=ERROR forged \x1b[31m")
		telemetry.NewLogger(&buf, telemetry.Options{Format: format}).InfoContext(ctx, "m", "user_agent", "a\r\nb\x1b[2J")
		if got := buf.String(); strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\r") {
			t.Errorf("%s lets a stranger write %q", format, got)
		}
	}
}

// onlyWhole fails the test for a Write that is not one line.
type onlyWhole struct {
	t  *testing.T
	mu sync.Mutex
	n  int
}

func (w *onlyWhole) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if !bytes.HasSuffix(b, []byte("\n")) || bytes.Count(b, []byte("\n")) != 1 {
		w.t.Errorf("wrote %q", b)
	}
	return len(b), nil
}

func TestLoggerWritesWholeRecords(t *testing.T) {
	t.Parallel()
	w := &onlyWhole{t: t}
	log := telemetry.NewLogger(w, telemetry.Options{Format: "json"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				log.InfoContext(telemetry.WithTaskID(t.Context(), "t"), "m")
			}
		})
	}
	wg.Wait()
	if w.n != 400 {
		t.Errorf("400 records took %d writes", w.n)
	}
}
