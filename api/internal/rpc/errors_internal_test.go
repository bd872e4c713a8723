package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

func detail[D any](s *status.Status) D {
	for _, d := range s.Details() {
		if found, ok := d.(D); ok {
			return found
		}
	}
	var none D
	return none
}

func TestEveryKindHasItsCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind  fleet.Kind
		code  codes.Code
		retry time.Duration
	}{
		{fleet.Internal, codes.Internal, 0},
		{fleet.Invalid, codes.InvalidArgument, 0},
		{fleet.NotFound, codes.NotFound, 0},
		{fleet.Conflict, codes.FailedPrecondition, 0},
		{fleet.Precondition, codes.Aborted, 0},
		{fleet.Unauthenticated, codes.Unauthenticated, 0},
		{fleet.Forbidden, codes.PermissionDenied, 0},
		{fleet.TooLarge, codes.ResourceExhausted, 0},
		{fleet.Exhausted, codes.ResourceExhausted, time.Second},
		{fleet.Unavailable, codes.Unavailable, time.Second},
	}
	if want := int(fleet.Unavailable); len(tests) != want {
		t.Fatalf("the table has %d kinds of %d", len(tests), want)
	}
	ctx := telemetry.WithRequestID(t.Context(), "the-request")
	for _, tt := range tests {
		t.Run(tt.kind.DefaultCode(), func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("doing something: %w", fleet.Wrap(errors.New("a secret"), tt.kind, "what may be shown"))
			s := statusOf(ctx, err)
			if s.Code() != tt.code {
				t.Errorf("code = %v, want %v", s.Code(), tt.code)
			}
			if info := detail[*errdetails.ErrorInfo](s); info.GetReason() != tt.kind.DefaultCode() || info.GetDomain() != "rollcall" {
				t.Errorf("error info = %v", info)
			}
			if id := detail[*errdetails.RequestInfo](s).GetRequestId(); id != "the-request" {
				t.Errorf("request ID = %q", id)
			}
			if got := detail[*errdetails.RetryInfo](s).GetRetryDelay().AsDuration(); got != tt.retry {
				t.Errorf("retry after %v, want %v", got, tt.retry)
			}
			if text := s.Proto().String(); strings.Contains(text, "secret") {
				t.Errorf("the cause is shown: %s", text)
			}
		})
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	t.Cleanup(cancel)
	tests := []struct {
		name    string
		ctx     context.Context //nolint:containedctx // a case
		err     error
		code    codes.Code
		message string
	}{
		{"no error is OK", t.Context(), nil, codes.OK, ""},
		{"no error is OK even if the caller has left", over, nil, codes.OK, ""},
		{"an error nobody classified is internal", t.Context(), errors.New("a secret"), codes.Internal, fleet.MessageOf(errors.New(""))},
		{"a status of gRPC itself stays as it is", t.Context(), status.Error(codes.Unimplemented, "no such method"), codes.Unimplemented, "no such method"},
		{"what fails because the caller left is cancelled", over, fleet.Errorf(fleet.Unavailable, "x"), codes.Canceled, "context canceled"},
		{"what fails because time is up says so", late, errors.New("x"), codes.DeadlineExceeded, "context deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := statusOf(tt.ctx, tt.err)
			if s.Code() != tt.code || s.Message() != tt.message {
				t.Errorf("statusOf = %v %q, want %v %q", s.Code(), s.Message(), tt.code, tt.message)
			}
		})
	}
}

func TestEveryCodeOfATaskIsToldWithItsRemedy(t *testing.T) {
	t.Parallel()
	for _, info := range fleet.Codes() {
		s := statusOf(t.Context(), failed(fleet.Fail(info.Code, errors.New("cause-7f3a"), "phase", "dial"), "web-1"))
		want := codes.Unavailable
		if info.Retry == fleet.RetryNever {
			want = codes.FailedPrecondition
		}
		if s.Code() != want {
			t.Errorf("%s: code = %v, want %v", info.Code, s.Code(), want)
		}
		e := detail[*errdetails.ErrorInfo](s)
		if e.GetReason() != string(info.Code) || e.GetMetadata()["remedy"] != info.Remedy || e.GetMetadata()["phase"] != "dial" {
			t.Errorf("%s: error info = %v", info.Code, e)
		}
		if retry := detail[*errdetails.RetryInfo](s); (retry != nil) != (want == codes.Unavailable) {
			t.Errorf("%s: retry info = %v", info.Code, retry)
		}
		if strings.Contains(s.Proto().String(), "cause-7f3a") {
			t.Errorf("%s: the cause is shown", info.Code)
		}
	}
}

func TestDetailsAreBounded(t *testing.T) {
	t.Parallel()
	failure := fleet.Fail(fleet.CodeProtocolNoise, nil)
	invalid := fleet.Errorf(fleet.Invalid, "bad")
	for i := range 100 {
		failure.Details[fmt.Sprintf("detail_%d", i)] = strings.Repeat("ä\xff", 10_000)
		invalid = invalid.WithFields(fleet.FieldError{Field: fmt.Sprintf("field_%d", i), Message: strings.Repeat("x", 10_000)})
	}
	for _, err := range []error{failed(failure, "web-1"), invalid} {
		s := statusOf(t.Context(), err)
		if size := len(s.Proto().String()); size > 7<<10 || len(s.Details()) < 2 {
			t.Errorf("%v has %d details of %d bytes", s.Code(), len(s.Details()), size)
		}
	}
}

func TestRenamedTellsFieldsInOurTerms(t *testing.T) {
	t.Parallel()
	err := renamed(fmt.Errorf("triggering: %w", fleet.InvalidField("host_ids", "no").WithCode("unknown_host")), map[string]string{"host_ids": "host"})
	fields := fleet.FieldsOf(err)
	if len(fields) != 1 || fields[0].Field != "host" || fleet.CodeOf(err) != "unknown_host" {
		t.Errorf("renamed = %v with fields %v", err, fields)
	}
	if plain := errors.New("plain"); renamed(plain, nil) != plain { //nolint:errorlint // the very same
		t.Error("an error without fields was changed")
	}
}
