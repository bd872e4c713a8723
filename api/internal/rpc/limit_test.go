package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/rollcallhq/rollcall/api/internal/rpc"
	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func TestCallsAreCountedAndSayWhatIsLeft(t *testing.T) {
	t.Parallel()
	limiter := session.NewLimiter(nil, session.Rates{Account: 2}, nil)
	owner := fleet.NewID()
	b := setup(t, func(c *rpc.Config) {
		c.Limit = func(ctx context.Context, actor fleet.Actor) (ephemeral.Allowance, error) {
			if actor.Kind != "" {
				actor.UserID = &owner
			}
			return limiter.Allow(ctx, actor)
		}
	})
	ctx := as(t, "viewer")
	var err error
	var header metadata.MD
	refused := 0
	for range 40 { // two a second are allowed, and 40 take less than many seconds
		_, err = receive(b.ListReports(ctx, &rollcallv1.ListReportsRequest{}, grpc.Header(&header)))
		if err != nil {
			refused++
			break
		}
	}
	if refused == 0 {
		t.Fatal("no call was refused")
	}
	wantError(t, err, codes.ResourceExhausted, "rate_limited")
	if detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration() <= 0 || len(detail[*errdetails.QuotaFailure](err).GetViolations()) != 1 {
		t.Errorf("the error does not say when to come back or which quota: %v", err)
	}
	if header.Get("ratelimit-limit")[0] != "2" || header.Get("ratelimit-remaining")[0] != "0" || header.Get("ratelimit-reset")[0] != "1" {
		t.Errorf("the metadata of the answer is %v", header)
	}
	_, err = b.GetReport(metadata.NewOutgoingContext(t.Context(), metadata.Pairs("authorization", "Bearer forged")), &rollcallv1.GetReportRequest{}, grpc.Header(&header))
	wantError(t, err, codes.Unauthenticated, "token_invalid")
	if header.Get("ratelimit-limit")[0] != "20" {
		t.Errorf("a stranger is told %v", header)
	}
}
