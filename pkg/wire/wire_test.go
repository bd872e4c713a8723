package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestViewsSpeakUTC shows every time of every view, given in another zone.
func TestViewsSpeakUTC(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600))
	for name, view := range map[string]any{
		"host":      wire.HostView(fleet.Host{CreatedAt: at, UpdatedAt: at}, &fleet.HostStatus{State: fleet.TaskFailed, Since: at, FinishedAt: at, SucceededAt: &at}),
		"freshness": wire.FreshnessChangeView(fleet.FreshnessChange{SeenAt: at}),
		"worker":    wire.WorkerView(fleet.Worker{StartedAt: at, SeenAt: at}),
		"key":       wire.HostKeyView(fleet.HostKey{FirstSeen: at, LastSeen: at}),
		"cred":      wire.CredentialView(fleet.Credential{CreatedAt: at, UpdatedAt: at}),
		"collection": wire.CollectionView(fleet.Collection{
			CreatedAt: at, StartedAt: &at, FinishedAt: &at, CancelledAt: &at, ExpiresAt: at, Schedule: &fleet.Due{At: at},
		}),
		"task":     wire.TaskView(fleet.Task{CreatedAt: at, StartedAt: &at, FinishedAt: &at}),
		"report":   wire.ReportView(fleet.Report{CreatedAt: at, ConfirmedAt: &at}),
		"schedule": wire.ScheduleView(fleet.Schedule{CreatedAt: at, UpdatedAt: at, NextAt: &at}),
		"firing":   wire.FiringView(fleet.Firing{DueAt: at, FiredAt: at}),
		"change":   wire.ChangeView(fleet.Change{SeenAt: at, BeforeSince: &at}),
		"group":    wire.ChangeGroupView(fleet.ChangeGroup{FirstSeen: at, LastSeen: at}),
		"ref":      wire.ReportRefView(fleet.Report{CreatedAt: at}),
		"period":   wire.PathPeriodView(fleet.PathPeriod{From: at, To: &at, ConfirmedAt: at}),
		"series":   wire.MetricSeriesView(fleet.MetricSeries{Points: []fleet.MetricPoint{{At: at}}}),
	} {
		text := encoded(t, view)
		if strings.Contains(text, "+01:00") || !strings.Contains(text, "2026-02-28T23:30:00Z") {
			t.Errorf("%s: %s, want its times in UTC", name, text)
		}
	}
}

// TestViewsHaveNoNullLists shows every view of a zero value: what is a list or an object is never null.
func TestViewsHaveNoNullLists(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		view  any
		never []string
	}{
		"host":       {wire.HostView(fleet.Host{}, nil), []string{"labels", "ssh"}},
		"credential": {wire.CredentialView(fleet.Credential{}), []string{"sites"}},
		"collection": {wire.CollectionView(fleet.Collection{}), []string{"errors", "host_ids", "report_types", "skipped", "counts"}},
		"preview":    {wire.PreviewView(nil, 0, nil, nil, ""), []string{"hosts", "skipped", "report_types"}},
		"task":       {wire.TaskView(fleet.Task{}), []string{"details", "report_errors"}},
		"report":     {wire.ReportView(fleet.Report{}), []string{"unavailable"}},
		"schedule":   {wire.ScheduleView(fleet.Schedule{}), []string{"report_types"}},
		"group":      {wire.ChangeGroupView(fleet.ChangeGroup{}), []string{"sample"}},
		"series":     {wire.MetricSeriesView(fleet.MetricSeries{}), []string{"points"}},
		"list":       {wire.ListOf(nil, "", wire.HostKeyView), []string{"items"}},
	} {
		text := encoded(t, tt.view)
		for _, field := range tt.never {
			if strings.Contains(text, `"`+field+`":null`) {
				t.Errorf("%s: %s is null", name, field)
			}
		}
	}
	if text := encoded(t, wire.ListOf([]int{1}, "abc", func(n int) int { return n })); text != `{"items":[1],"next_cursor":"abc"}` {
		t.Errorf("a page = %s", text)
	}
}

// TestNothingIsNotNull shows values that are nothing, and values that are null: both are null in JSON, and told apart
// beside it.
func TestNothingIsNotNull(t *testing.T) {
	t.Parallel()
	null := []byte("null")
	for name, tt := range map[string]struct {
		view any
		want string
	}{
		"what is new and null":                   {wire.ChangeView(fleet.Change{After: null}), `"kind":"added","before":null,"after":null`},
		"what was null and is not":               {wire.ChangeView(fleet.Change{Before: null}), `"kind":"removed","before":null,"after":null`},
		"what became null":                       {wire.ChangeView(fleet.Change{Before: []byte("1"), After: null}), `"kind":"changed","before":1,"after":null`},
		"a group of these":                       {wire.ChangeGroupView(fleet.ChangeGroup{Before: []byte("1"), After: null}), `"kind":"changed","before":1,"after":null`},
		"a period of null":                       {wire.PathPeriodView(fleet.PathPeriod{Value: null}), `"value":null,"present":true`},
		"a period of nothing":                    {wire.PathPeriodView(fleet.PathPeriod{}), `"value":null,"present":false`},
		"a report that was not asked since when": {wire.ReportView(fleet.Report{}), `"task_id":null}`},
	} {
		if text := encoded(t, tt.view); !strings.Contains(text, tt.want) {
			t.Errorf("%s: %s, want %s in it", name, text, tt.want)
		}
	}
}

func TestAHostComesBackAsItWasSet(t *testing.T) {
	t.Parallel()
	credential := fleet.NewID()
	h := fleet.Host{
		Name: "web-1", Address: "192.0.2.1", Port: 2222, Site: "eu", Labels: map[string]string{"env": "prod"}, CredentialID: &credential,
		Connection: fleet.ConnectionSSH, Enabled: false,
		SSH: fleet.SSHOptions{Become: "none", HostKeyPolicy: "strict", Algorithms: "modern", KeepaliveSeconds: new(0)},
	}
	if diff := cmp.Diff(h, wire.HostInputOf(h).Host()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := (wire.HostInput{Name: "web-1"}).Host(); !got.Enabled || got.Port != 0 {
		t.Errorf("a host of nothing but a name = %+v, want it enabled and the rest zero", got)
	}
}

func TestAScheduleComesBackAsItWasSet(t *testing.T) {
	t.Parallel()
	s := fleet.Schedule{
		Name: "nightly", Cron: "@daily", Timezone: "UTC", Selector: "*", ReportTypes: []string{"os"}, Priority: fleet.PriorityBulk,
		Jitter: 5 * time.Second, Overlap: fleet.OverlapSkip, Misfire: fleet.MisfireOnce,
	}
	if diff := cmp.Diff(s, wire.ScheduleInputOf(s).Schedule()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
