package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// errorDomain is the domain of the codes, as google.rpc.ErrorInfo has it.
const errorDomain = "rollcall"

// codeOf translates a kind.
func codeOf(kind fleet.Kind) codes.Code {
	switch kind {
	case fleet.OK:
		return codes.OK
	case fleet.Invalid:
		return codes.InvalidArgument
	case fleet.NotFound:
		return codes.NotFound
	case fleet.Conflict:
		return codes.FailedPrecondition
	case fleet.Precondition:
		return codes.Aborted
	case fleet.Unauthenticated:
		return codes.Unauthenticated
	case fleet.Forbidden:
		return codes.PermissionDenied
	case fleet.TooLarge, fleet.Exhausted:
		return codes.ResourceExhausted
	case fleet.Unavailable:
		return codes.Unavailable
	case fleet.Internal:
		return codes.Internal
	}
	return codes.Internal
}

// statusOf translates the error of a call: the one place where that happens.
func statusOf(ctx context.Context, err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	if ended := ctx.Err(); ended != nil {
		return status.FromContextError(ended) // whatever failed, failed because of that
	}
	if _, classified := errors.AsType[*fleet.Error](err); !classified {
		if s, ok := isStatus(err); ok {
			return s
		}
	}
	s := status.New(codeOf(fleet.KindOf(err)), fleet.MessageOf(err))
	if detailed, err := s.WithDetails(detailsOf(ctx, err)...); err == nil {
		return detailed
	}
	return s
}

func detailsOf(ctx context.Context, err error) []protoadapt.MessageV1 {
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: fleet.CodeOf(err), Domain: errorDomain, Metadata: particulars(err)},
		&errdetails.RequestInfo{RequestId: telemetry.RequestID(ctx)},
	}
	if violations := violationsOf(err); len(violations) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: violations})
	}
	if wait := retryAfter(err); wait > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	}
	if limit, ok := errors.AsType[*account.LimitError](err); ok {
		details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{
			Subject: "caller", Description: cut(fmt.Sprintf("%d requests at once are allowed, and none is left", limit.Allowance.Limit)),
		}}})
	}
	return details
}

// Bounds of details: they travel in the trailer, which proxies cut off at 8 KiB.
const (
	maxViolations  = 10
	maxParticulars = 12
	maxParticular  = 300 // bytes
)

func violationsOf(err error) []*errdetails.BadRequest_FieldViolation {
	fields := fleet.FieldsOf(err)
	violations := make([]*errdetails.BadRequest_FieldViolation, 0, min(len(fields), maxViolations))
	for _, f := range fields[:min(len(fields), maxViolations)] {
		reason := f.Code
		if reason == "" {
			reason = fleet.Invalid.DefaultCode()
		}
		violations = append(violations, &errdetails.BadRequest_FieldViolation{
			Field: f.Field, Description: cut(f.Message), Reason: reason,
		})
	}
	return violations
}

// particulars returns what is known about the failure of a task, if err is about one.
func particulars(err error) map[string]string {
	failure, ok := errors.AsType[*fleet.Failure](err)
	if !ok || fleet.KindOf(err) == fleet.Internal {
		return nil
	}
	info := failure.Code.Info()
	known := map[string]string{"meaning": info.Meaning, "remedy": info.Remedy}
	for _, name := range slices.Sorted(maps.Keys(failure.Details)) {
		if _, taken := known[name]; !taken && len(known) < maxParticulars {
			known[name] = cut(failure.Details[name])
		}
	}
	return known
}

// cut bounds a text, and keeps it fit for a message, which refuses what is not UTF-8.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxParticular)], "")
}

// defaultRetry is what a caller is told who should come back when nobody knows when.
const defaultRetry = time.Second

func retryAfter(err error) time.Duration {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok {
		return 0
	}
	if e.RetryAfter == 0 && (e.Kind == fleet.Exhausted || e.Kind == fleet.Unavailable) {
		return defaultRetry
	}
	return e.RetryAfter
}

// failed returns the error of a task that did not yield the report: Unavailable where another try may help, else
// Conflict.
func failed(failure *fleet.Failure, host string) error {
	info := failure.Code.Info()
	if info.Retry == fleet.RetryNever {
		return fleet.Wrap(failure, fleet.Conflict, "%s: %s", host, info.Meaning).WithCode(string(failure.Code))
	}
	return fleet.Wrap(failure, fleet.Unavailable, "%s: %s", host, info.Meaning).
		WithCode(string(failure.Code)).WithRetryAfter(time.Minute) // the task has tried again by itself already
}

// renamed returns err in terms of our requests, where a field has another name than a service gives it.
func renamed(err error, names map[string]string) error {
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok || len(e.Fields) == 0 {
		return err
	}
	fields := slices.Clone(e.Fields)
	for i, f := range fields {
		if name, known := names[f.Field]; known {
			fields[i].Field = name
		}
	}
	c := *e
	c.Fields = fields
	return &c
}
