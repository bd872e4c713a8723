package rpc_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	rollcallv1 "github.com/rollcallhq/rollcall/proto/rollcall/v1"
)

func TestGetReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.addHost(t, "web-1", "env", "prod")
	other := b.addHost(t, "db-1")
	const facts = `{"name": "Debian", "bytes": 9007199254740993}` // 2^53 + 1
	b.stored(t, h, finding("os", facts), time.Now())
	b.stored(t, other, finding("os", `{}`), time.Now())
	get := func(token string, r *rollcallv1.GetReportRequest) (*rollcallv1.Report, error) {
		got, err := b.GetReport(as(t, token), r)
		return got.GetReport(), err
	}
	latest := func(host string) *rollcallv1.GetReportRequest {
		return &rollcallv1.GetReportRequest{Host: host, ReportType: "os"}
	}

	byHost, err := get("viewer", latest("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	if byHost.GetHostId() != h.ID.String() || byHost.GetHost() != "web-1" || byHost.GetType() != "os" ||
		byHost.GetStatus() != rollcallv1.ReportStatus_REPORT_STATUS_OK || byHost.GetSchemaVersion() != 1 ||
		len(byHost.GetContentHash()) != 64 || byHost.GetConfirmedAt() == nil || byHost.GetCollectionId() == "" ||
		time.Since(byHost.GetCreatedAt().AsTime()) > time.Minute {
		t.Errorf("the report is %v", byHost)
	}
	fields := byHost.GetFacts().GetFields()
	if fields["name"].GetStringValue() != "Debian" || fields["bytes"].GetNumberValue() != 1<<53 || byHost.GetMetrics().GetFields()["load"].GetNumberValue() != 0.5 {
		t.Errorf("facts %v and metrics %v", byHost.GetFacts(), byHost.GetMetrics())
	}
	if byHost.GetFactsJson() != `{"name": "Debian", "bytes": 9007199254740993}` || byHost.GetMetricsJson() != `{"load": 0.5}` {
		t.Errorf("facts_json %s and metrics_json %s", byHost.GetFactsJson(), byHost.GetMetricsJson())
	}

	foreign, err := get("viewer", latest("db-1"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		token string
		r     *rollcallv1.GetReportRequest
		code  codes.Code
	}{
		{"by ID", "viewer", &rollcallv1.GetReportRequest{Id: byHost.GetId()}, codes.OK},
		{"by the host's ID", "viewer", latest(h.ID.String()), codes.OK},
		{"by ID within the scope", "scoped", &rollcallv1.GetReportRequest{Id: byHost.GetId()}, codes.OK},
		{"by ID outside of the scope", "scoped", &rollcallv1.GetReportRequest{Id: foreign.GetId()}, codes.NotFound},
		{"by host outside of the scope", "scoped", latest("db-1"), codes.NotFound},
		{"an ID of nothing", "viewer", &rollcallv1.GetReportRequest{Id: fleet.NewID().String()}, codes.NotFound},
		{"an ID of another version", "viewer", &rollcallv1.GetReportRequest{Id: "ffffffff-ffff-4fff-bfff-ffffffffffff"}, codes.NotFound},
		{"a type never collected", "viewer", &rollcallv1.GetReportRequest{Host: "web-1", ReportType: "cpu"}, codes.NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := b.GetReport(as(t, tt.token), tt.r)
			if tt.code != codes.OK {
				wantError(t, err, tt.code, "not_found")
				return
			}
			if err != nil || got.GetReport().GetId() != byHost.GetId() {
				t.Errorf("GetReport = %v, %v, want report %s", got, err, byHost.GetId())
			}
		})
	}
}

func TestListReports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, other := b.addHost(t, "web-1", "env", "prod"), b.addHost(t, "db-1")
	const many = 130 // more than a page
	newest := time.Now().Truncate(time.Millisecond)
	for i := range many {
		b.stored(t, h, finding("os", `{}`), newest.Add(time.Duration(i-many+1)*time.Second))
	}
	b.stored(t, other, finding("cpu", `{}`), newest)
	ago := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(newest.Add(time.Duration(-seconds) * time.Second))
	}
	tests := []struct {
		name  string
		token string
		r     *rollcallv1.ListReportsRequest
		want  int
	}{
		{"everything, over several pages", "viewer", &rollcallv1.ListReportsRequest{}, many + 1},
		{"of a host by name", "viewer", &rollcallv1.ListReportsRequest{Host: "db-1"}, 1},
		{"of a host by ID", "viewer", &rollcallv1.ListReportsRequest{Host: h.ID.String()}, many},
		{"of a type", "viewer", &rollcallv1.ListReportsRequest{ReportType: "cpu"}, 1},
		{"of a type that no host has", "viewer", &rollcallv1.ListReportsRequest{ReportType: "disks"}, 0},
		{"since is inclusive and until is not", "viewer", &rollcallv1.ListReportsRequest{Host: "web-1", Since: ago(10), Until: ago(5)}, 5},
		{"within the scope", "scoped", &rollcallv1.ListReportsRequest{}, many},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := receive(b.ListReports(as(t, tt.token), tt.r))
			if err != nil || len(got) != tt.want {
				t.Fatalf("ListReports sent %d reports, %v, want %d", len(got), err, tt.want)
			}
			if !slices.IsSortedFunc(got, func(a, b *rollcallv1.ListReportsResponse) int {
				return b.GetReport().GetCreatedAt().AsTime().Compare(a.GetReport().GetCreatedAt().AsTime())
			}) {
				t.Error("the reports are not sent newest first")
			}
			seen := map[string]bool{}
			for _, r := range got {
				seen[r.GetReport().GetId()] = true
			}
			if len(seen) != len(got) {
				t.Errorf("of %d reports %d are different", len(got), len(seen))
			}
		})
	}
}

func TestWatchCollection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h, foreign := b.addHost(t, "web-1", "env", "prod"), b.addHost(t, "db-1")
	c := b.trigger(t, []string{"os"}, h)
	stream, err := b.WatchCollection(as(t, "scoped"), &rollcallv1.WatchCollectionRequest{CollectionId: c.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want rollcallv1.CollectionState) *rollcallv1.Collection {
		t.Helper()
		m, err := stream.Recv()
		if err != nil || m.GetCollection().GetState() != want {
			t.Fatalf("received %v, %v, want state %v", m, err, want)
		}
		return m.GetCollection()
	}
	if got := next(rollcallv1.CollectionState_COLLECTION_STATE_PENDING); got.GetId() != c.ID.String() || got.GetCounts().GetQueued() != 1 ||
		!slices.Equal(got.GetReportTypes(), []string{"os"}) || got.GetStartedAt() != nil {
		t.Errorf("the pending collection is %v", got)
	}
	claim := b.claim(t, c.ID, h)
	if got := next(rollcallv1.CollectionState_COLLECTION_STATE_RUNNING); got.GetCounts().GetRunning() != 1 || got.GetStartedAt() == nil {
		t.Errorf("the running collection is %v", got)
	}
	b.end(t, claim, store.Ending{State: fleet.TaskFailed, Failure: fleet.Fail(fleet.CodeTCPRefused, nil)})
	if got := next(rollcallv1.CollectionState_COLLECTION_STATE_FAILED); got.GetCounts().GetFailed() != 1 || got.GetErrors()["tcp_refused"] != 1 {
		t.Errorf("the failed collection is %v", got)
	}
	if rest, err := receive(stream, nil); len(rest) != 0 || err != nil {
		t.Errorf("after the final state came %v, %v", rest, err)
	}

	hidden := b.trigger(t, []string{"os"}, foreign)
	watched, err := b.WatchCollection(as(t, "viewer"), &rollcallv1.WatchCollectionRequest{CollectionId: hidden.ID.String()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watched.Recv(); err != nil {
		t.Fatal(err)
	}
	// What is shared among those who watch is not shared with those who may not see it.
	leaked, err := receive(b.WatchCollection(as(t, "scoped"), &rollcallv1.WatchCollectionRequest{CollectionId: hidden.ID.String()}))
	wantError(t, err, codes.NotFound, "not_found")
	if len(leaked) != 0 {
		t.Errorf("a collection outside of the scope was sent: %v", leaked)
	}
	close(b.stop)
	_, err = receive(watched, nil)
	wantError(t, err, codes.Unavailable, "stopping")
}
