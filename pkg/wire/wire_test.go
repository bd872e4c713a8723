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
		"host": wire.HostView(fleet.Host{CreatedAt: at, UpdatedAt: at}, &fleet.HostStatus{FinishedAt: at, SucceededAt: &at}),
		"key":  wire.HostKeyView(fleet.HostKey{FirstSeen: at, LastSeen: at}),
		"cred": wire.CredentialView(fleet.Credential{CreatedAt: at, UpdatedAt: at}),
		"collection": wire.CollectionView(fleet.Collection{
			CreatedAt: at, StartedAt: &at, FinishedAt: &at, CancelledAt: &at, ExpiresAt: at, Schedule: &fleet.Due{At: at},
		}),
		"task":     wire.TaskView(fleet.Task{CreatedAt: at, StartedAt: &at, FinishedAt: &at}),
		"report":   wire.ReportView(fleet.Report{CreatedAt: at, ConfirmedAt: &at}),
		"schedule": wire.ScheduleView(fleet.Schedule{CreatedAt: at, UpdatedAt: at, NextAt: &at}),
		"firing":   wire.FiringView(fleet.Firing{DueAt: at, FiredAt: at}),
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
