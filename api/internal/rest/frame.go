package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// A record is what the access log learns of a request while it is served. It belongs to the request's goroutine.
type record struct {
	actor fleet.Actor
	err   error  // the first
	trace string // the request's span as a traceparent
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	rec, ok := ctx.Value(recordKey{}).(*record)
	if !ok {
		return &record{}
	}
	return rec
}

func noteError(ctx context.Context, err error) {
	session.Refused(ctx, err)
	if rec := recordOf(ctx); rec.err == nil {
		rec.err = err
	}
}

func noteActor(ctx context.Context, actor fleet.Actor) { recordOf(ctx).actor = actor }

var sanePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Frame gives each request an ID, the caller's X-Request-Id if it is a sane one, writes one line for it into the log,
// and turns a panic into an answer. Inside another Frame it does nothing.
func Frame(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, framed := r.Context().Value(recordKey{}).(*record); framed {
				next.ServeHTTP(w, r)
				return
			}
			id := r.Header.Get("X-Request-Id")
			if !sanePattern.MatchString(id) {
				id = fleet.NewID().String()
			}
			w.Header().Set("X-Request-Id", id)
			rec := &record{}
			r = r.WithContext(context.WithValue(telemetry.WithRequestID(r.Context(), id), recordKey{}, rec))
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			began := time.Now()
			defer func() { logRequest(r, log, rec, ww, time.Since(began)) }()
			defer recovered(ww, r, log)
			next.ServeHTTP(ww, r)
		})
	}
}

// recovered answers a request whose handler has panicked, if no answer has begun.
func recovered(w middleware.WrapResponseWriter, r *http.Request, log *slog.Logger) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // the server knows what it means
	}
	err := fmt.Errorf("panic: %v", cause)
	log.ErrorContext(r.Context(), "a request panicked", "error", err, "stack", string(debug.Stack()))
	if w.Status() == 0 {
		Fail(w, r, err)
	}
	noteError(r.Context(), err)
}

func logRequest(r *http.Request, log *slog.Logger, rec *record, w middleware.WrapResponseWriter, took time.Duration) {
	status := w.Status()
	if status == 0 {
		status = http.StatusOK
	}
	level := slog.LevelInfo
	switch {
	case rec.err != nil && fleet.KindOf(rec.err) == fleet.Internal, status == http.StatusInternalServerError:
		level = slog.LevelError
	case isProbe(r.URL.Path), !strings.HasPrefix(r.URL.Path, prefix) && status < http.StatusBadRequest:
		level = slog.LevelDebug // health, metrics and documents are asked for all the time; Health logs what changes
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Duration("took", took), slog.Int("bytes", w.BytesWritten()),
	}
	if rec.actor.Kind != "" {
		attrs = append(attrs, slog.String("actor", rec.actor.String()))
	}
	if rec.err != nil {
		attrs = append(attrs, slog.String("code", fleet.CodeOf(rec.err)), slog.Any("error", rec.err))
	}
	log.LogAttrs(telemetry.WithTraceParent(r.Context(), rec.trace), level, "request", attrs...)
}

// Traced puts tracing, which makes the spans of requests, before what comes next, and tells the access log and the caller
// (X-Trace-Id) which trace a request belongs to. Without tracing it does nothing.
func Traced(tracing func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if tracing == nil {
			return next
		}
		return tracing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if id := telemetry.TraceID(r.Context()); id != "" {
				recordOf(r.Context()).trace = telemetry.TraceParent(r.Context())
				w.Header().Set("X-Trace-Id", id)
			}
			next.ServeHTTP(w, r)
		}))
	}
}

func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" || path == "/health" }

// noStore keeps answers, which are for who asked alone, out of all caches; those with an ETag to ask by say otherwise.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// checkQuery refuses a query that cannot be read as one, and texts that PostgreSQL cannot keep.
func checkQuery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		ok := err == nil && keepable(r.URL.Path)
		for name, values := range query {
			ok = ok && keepable(name)
			for _, value := range values {
				ok = ok && keepable(value)
			}
		}
		if !ok {
			newFailure(r.Context(), http.StatusBadRequest, codeMalformedQuery,
				"The address is not readable: its percent-encoding is wrong, or it holds what is not text.").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func keepable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

func notFound(w http.ResponseWriter, r *http.Request) {
	Fail(w, r, fleet.Errorf(fleet.NotFound, "there is nothing at this address").WithCode("no_such_route"))
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	routes := chi.RouteContext(r.Context()).Routes
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
			w.Header().Add("Allow", method)
		}
	}
	newFailure(r.Context(), http.StatusMethodNotAllowed, codeMethod, "This address does not take that method; see Allow.").write(w)
}
