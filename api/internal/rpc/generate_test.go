package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/queue"
	"github.com/rollcallhq/rollcall/pkg/store"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func osOf(host string, maxAge time.Duration, wait bool) *rollcallv1.GenerateReportRequest {
	return &rollcallv1.GenerateReportRequest{Host: host, ReportType: "os", MaxAge: durationpb.New(maxAge), Wait: wait}
}

func TestGenerateReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, "web-1", "env", "prod")
	b.addHost(t, "db-1")
	b.stored(t, h, finding("os", `{"name":"Debian"}`), time.Now().Add(-time.Minute))
	tests := []struct {
		name   string
		token  string
		r      *rollcallv1.GenerateReportRequest
		code   codes.Code
		reason string
		fresh  bool
	}{
		{"a viewer gets a report that is young enough", "viewer", osOf("web-1", time.Hour, false), codes.OK, "", true},
		{"the host may be named by its ID", "viewer", osOf(h.ID.String(), time.Hour, false), codes.OK, "", true},
		{"waiting for what is there takes no time", "viewer", osOf("web-1", time.Hour, true), codes.OK, "", true},
		{"an operator sees the hosts of the scope", "scoped", osOf("web-1", time.Hour, false), codes.OK, "", true},
		{"a viewer may not collect", "viewer", osOf("web-1", time.Second, false), codes.PermissionDenied, "forbidden", false},
		{"a host outside of the scope does not exist", "scoped", osOf("db-1", time.Hour, false), codes.NotFound, "not_found", false},
		{"a report that is too old is collected anew", "operator", osOf("web-1", time.Second, false), codes.OK, "", false},
		{"without max_age no report is young enough", "operator", &rollcallv1.GenerateReportRequest{Host: "web-1", ReportType: "os"}, codes.OK, "", false},
		{"so is a type that was never collected", "operator", &rollcallv1.GenerateReportRequest{
			Host: "web-1", ReportType: "cpu", MaxAge: durationpb.New(time.Hour),
		}, codes.OK, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := b.GenerateReport(as(t, tt.token), tt.r)
			if tt.code != codes.OK {
				wantError(t, err, tt.code, tt.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.GetFresh() != tt.fresh || (got.GetReport() != nil) != tt.fresh || (got.GetCollectionId() == "") != tt.fresh {
				t.Errorf("the answer is %v, want fresh %v", got, tt.fresh)
			}
			if tt.fresh && got.GetReport().GetFacts().GetFields()["name"].GetStringValue() != "Debian" {
				t.Errorf("the facts are %v", got.GetReport().GetFacts())
			}
		})
	}
}

func TestGenerateReportRingsForItsTask(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, "web-1")
	got, err := b.GenerateReport(as(t, "operator"), osOf("web-1", time.Hour, false))
	if err != nil {
		t.Fatal(err)
	}
	task := b.task(t, uuid.MustParse(got.GetCollectionId()), h)
	m := fleet.Message{TaskID: task.ID, Epoch: task.Epoch, Site: h.Site, Priority: fleet.PriorityInteractive}
	states, err := bell.States(t.Context(), []fleet.Message{m})
	if err != nil || states[0] != queue.StatePending {
		t.Errorf("the message of the task is %v, %v, want pending", states, err)
	}
}

func TestADisabledHostIsToldAsTheHostField(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, "web-1")
	h.Enabled = false
	if _, err := b.store.UpdateHost(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	_, err := b.GenerateReport(as(t, "operator"), osOf("web-1", time.Hour, false))
	wantError(t, err, codes.InvalidArgument, "no_hosts")
	if v := detail[*errdetails.BadRequest](err).GetFieldViolations(); len(v) != 1 || v[0].GetField() != "host" {
		t.Errorf("violations = %v, want one of host", v)
	}
}

func TestManyCallersMakeOneCollection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, "web-1")
	ctx := as(t, "operator")
	var joined, answered sync.WaitGroup
	for range 100 {
		joined.Add(1)
		answered.Go(func() {
			// As a stream, because a unary call shows the header only with the answer.
			call, err := b.conn.NewStream(ctx, &grpc.StreamDesc{}, rollcallv1.ReportService_GenerateReport_FullMethodName)
			if err == nil {
				err = errors.Join(call.SendMsg(osOf("web-1", time.Hour, true)), call.CloseSend())
			}
			if err != nil {
				t.Errorf("calling: %v", err)
				joined.Done()
				return
			}
			header, err := call.Header()
			joined.Done()
			var got rollcallv1.GenerateReportResponse
			if err := errors.Join(err, call.RecvMsg(&got)); err != nil {
				t.Errorf("GenerateReport: %v", err)
			}
			if early := header.Get("rollcall-collection-id"); len(early) != 1 || early[0] != got.GetCollectionId() ||
				early[0] != got.GetReport().GetCollectionId() || got.GetFresh() {
				t.Errorf("GenerateReport answered %v after the header %v", &got, header)
			}
		})
	}
	joined.Wait()
	c := b.onlyCollection(t)
	b.end(t, b.claim(t, c.ID, h), store.Ending{State: fleet.TaskSucceeded, Findings: []fleet.Finding{finding("os", `{"name":"Debian"}`)}})
	answered.Wait()
	b.onlyCollection(t)
}

// A waiting call is one that GenerateReport has not answered yet.
type waiting struct {
	got    *rollcallv1.GenerateReportResponse
	err    error
	header metadata.MD
	done   chan struct{}
}

func (b *bundle) wait(ctx context.Context, r *rollcallv1.GenerateReportRequest) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.got, w.err = b.GenerateReport(ctx, r, grpc.Header(&w.header))
	}()
	return w
}

func TestWaitingTellsHowTheTaskEnded(t *testing.T) {
	t.Parallel()
	fail := func(code fleet.Code) store.Ending {
		return store.Ending{State: fleet.TaskFailed, Failure: fleet.Fail(code, nil, "phase", "dial")}
	}
	tests := []struct {
		name   string
		ending store.Ending
		code   codes.Code
		reason fleet.Code
	}{
		{"the report that was collected", store.Ending{
			State: fleet.TaskSucceeded, Findings: []fleet.Finding{finding("os", `{"name":"Debian"}`)},
		}, codes.OK, ""},
		{"a failure that may pass is UNAVAILABLE", fail(fleet.CodeTCPRefused), codes.Unavailable, fleet.CodeTCPRefused},
		{"a failure that will not pass is FAILED_PRECONDITION", fail(fleet.CodeHostKeyChanged), codes.FailedPrecondition, fleet.CodeHostKeyChanged},
		{"a type that failed by itself has its own code", store.Ending{
			State: fleet.TaskFailed, Failure: fleet.Fail(fleet.CodeOutputTruncated, nil),
			ReportErrors: map[string]fleet.Code{"os": fleet.CodeParseFailed},
		}, codes.FailedPrecondition, fleet.CodeParseFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.addHost(t, "web-1")
			w := b.wait(as(t, "operator"), osOf("web-1", time.Hour, true))
			c := b.onlyCollection(t)
			b.end(t, b.claim(t, c.ID, h), tt.ending)
			<-w.done
			if tt.code != codes.OK {
				wantError(t, w.err, tt.code, string(tt.reason))
				known := detail[*errdetails.ErrorInfo](w.err).GetMetadata()
				if known["remedy"] != tt.reason.Info().Remedy || known["collection_id"] != c.ID.String() || known["host"] != "web-1" {
					t.Errorf("metadata = %v", known)
				}
				return
			}
			if w.err != nil || w.got.GetReport().GetCollectionId() != c.ID.String() || w.got.GetFresh() {
				t.Errorf("GenerateReport = %v, %v", w.got, w.err)
			}
		})
	}
}

func TestWaitingForACancelledCollection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addHost(t, "web-1")
	w := b.wait(as(t, "operator"), osOf("web-1", time.Hour, true))
	c := b.onlyCollection(t)
	if _, err := b.service.Cancel(t.Context(), fleet.System(), c.ID); err != nil {
		t.Fatal(err)
	}
	<-w.done
	wantError(t, w.err, codes.FailedPrecondition, string(fleet.CodeCancelled))
}

func TestWaitingEndsWithTheTaskAndNotWithItsCollection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, other := b.addHost(t, "web-1"), b.addHost(t, "web-2")
	c := b.trigger(t, []string{"os", "cpu"}, h, other)
	w := b.wait(as(t, "operator"), osOf("web-1", time.Hour, true))
	claim := b.claim(t, c.ID, h)
	b.end(t, claim, store.Ending{
		State: fleet.TaskPartial, Findings: []fleet.Finding{finding("os", `{}`)}, ReportErrors: map[string]fleet.Code{"cpu": fleet.CodeParseFailed},
	})
	<-w.done
	if w.err != nil || w.got.GetReport().GetCollectionId() != c.ID.String() {
		t.Errorf("GenerateReport = %v, %v, want the report of collection %s", w.got, w.err, c.ID)
	}
	b.onlyCollection(t)
}

func TestWaitingIsBoundedByTheCallersDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addHost(t, "web-1")
	ctx, cancel := context.WithTimeout(as(t, "operator"), 3*time.Second)
	defer cancel()
	w := b.wait(ctx, osOf("web-1", time.Hour, true))
	<-w.done
	if status.Code(w.err) != codes.DeadlineExceeded {
		t.Errorf("the call ended with %v, want DEADLINE_EXCEEDED", w.err)
	}
	c := b.onlyCollection(t)
	if got := w.header.Get("rollcall-collection-id"); len(got) != 1 || got[0] != c.ID.String() {
		t.Errorf("the header names the collection %v, want %s", got, c.ID)
	}
}

func TestWaitingEndsWhenTheServerStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addHost(t, "web-1")
	w := b.wait(as(t, "operator"), osOf("web-1", time.Hour, true))
	b.onlyCollection(t)
	close(b.stop)
	<-w.done
	wantError(t, w.err, codes.Unavailable, "stopping")
}
