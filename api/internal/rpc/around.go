package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func (s *server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	var resp any
	err := s.around(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		resp, err = handler(ctx, req)
		return err
	})
	return resp, err
}

func (s *server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return s.around(ss.Context(), info.FullMethod, func(ctx context.Context) error {
		return handler(srv, &stream{ServerStream: ss, ctx: ctx})
	})
}

// A stream is a stream whose context we have added to.
type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // how gRPC hands a stream its context
}

// Context returns the context of the call.
func (s *stream) Context() context.Context { return s.ctx }

// around is what happens before and after each call, whatever its method.
func (s *server) around(ctx context.Context, method string, call func(context.Context) error) error {
	began := time.Now()
	ctx = identified(ctx)
	err := guarded(func() (err error) {
		if ctx, err = s.admit(ctx, method); err != nil {
			return err
		}
		return call(ctx)
	})
	if s.Denied != nil && err != nil {
		actor := callerOf(ctx).actor
		actor.Address = s.addressOf(ctx)
		s.Denied(actor, method, err)
	}
	answer := statusOf(ctx, err)
	if s.durations != nil {
		s.durations.WithLabelValues(strings.TrimPrefix(method, "/"), answer.Code().String()).Observe(time.Since(began).Seconds())
	}
	s.note(ctx, method, answer.Code(), time.Since(began), err)
	return answer.Err()
}

// guarded calls f and turns a panic into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}

// note writes the line of a call into the log.
func (s *server) note(ctx context.Context, method string, code codes.Code, took time.Duration, err error) {
	attrs := []slog.Attr{slog.String("method", method), slog.String("code", code.String()), slog.Duration("duration", took)}
	if actor := callerOf(ctx).actor; actor.Kind != "" {
		attrs = append(attrs, slog.String("actor", actor.String()))
	}
	level := slog.LevelInfo
	switch {
	case code == codes.Internal || code == codes.Unknown:
		level = slog.LevelError
	case err == nil && isPublic(method):
		level = slog.LevelDebug // probes
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	s.Log.LogAttrs(ctx, level, "call ended", attrs...)
}

const (
	requestIDHeader = "x-request-id"
	traceIDHeader   = "x-trace-id"
)

// identified gives the call an ID: the caller's, if it looks like one, or a fresh one. The response's header has it, and
// the ID of the trace that the call belongs to.
func identified(ctx context.Context) context.Context {
	id := fleet.NewID().String()
	if sent := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(sent) == 1 && isRequestID(sent[0]) {
		id = sent[0]
	}
	header := metadata.Pairs(requestIDHeader, id)
	if trace := telemetry.TraceID(ctx); trace != "" {
		header.Set(traceIDHeader, trace)
	}
	_ = grpc.SetHeader(ctx, header) // fails only where nobody can see a header any more
	return telemetry.WithRequestID(ctx, id)
}

// isRequestID keeps out what could forge a line of the log or flood it.
func isRequestID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return id != "" && len(id) <= 64 && strings.Trim(id, allowed) == ""
}

// isPublic reports whether a method needs no token.
func isPublic(method string) bool {
	return method == rollcallv1.ReportService_HealthCheck_FullMethodName ||
		strings.HasPrefix(method, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") ||
		strings.HasPrefix(method, "/grpc.reflection.")
}

// newDurations registers the histogram with r, which may be nil.
func newDurations(r prometheus.Registerer) (*prometheus.HistogramVec, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // nothing is measured
	}
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "rollcall", Subsystem: "grpc", Name: "request_duration_seconds",
		Help:    "Time from the beginning of a call to its end; streams and waiting count whole.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
	}, []string{"method", "code"})
	if err := r.Register(h); err != nil {
		return nil, fmt.Errorf("registering the metrics of the gRPC server: %w", err)
	}
	return h, nil
}

// isStatus returns the status that gRPC itself has put into err, as when a message could not be sent.
func isStatus(err error) (*status.Status, bool) {
	s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	if !ok {
		return nil, false
	}
	return s.GRPCStatus(), true
}
