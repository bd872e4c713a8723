package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// checkHistory looks back by ourselves what was at the path of a line, and when.
func (d *driftingFleet) checkHistory(t *testing.T, l line, path string) {
	t.Helper()
	type period struct {
		Value             json.RawMessage
		Present           bool
		From, ConfirmedAt time.Time
		To                *time.Time
		ReportID          string
	}
	write := func(p period) string {
		to := "now"
		if p.To != nil {
			to = p.To.UTC().String()
		}
		return fmt.Sprint(canonical(t, p.Value), p.Present, p.From.UTC(), to, p.ConfirmedAt.UTC(), p.ReportID)
	}
	names, err := facts.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	var periods []period
	for _, r := range l {
		value, there := facts.At(r.Facts, names)
		if n := len(periods); n > 0 && periods[n-1].Present == there && canonical(t, periods[n-1].Value) == canonical(t, value) {
			periods[n-1].ConfirmedAt = r.CreatedAt
			continue
		} else if n > 0 {
			periods[n-1].To = new(r.CreatedAt)
		}
		periods = append(periods, period{Value: value, Present: there, From: r.CreatedAt, ConfirmedAt: r.CreatedAt, ReportID: r.ID})
	}
	var want, got []string
	for _, p := range slices.Backward(periods) {
		want = append(want, write(p))
	}
	query := url.Values{"type": {l[0].Type}, "path": {path}, "limit": {"2"}}
	for {
		var page struct {
			Items []struct {
				Value       json.RawMessage
				Present     bool
				From        time.Time
				To          *time.Time
				ConfirmedAt time.Time `json:"confirmed_at"`
				ReportID    string    `json:"report_id"`
			}
			NextCursor *string `json:"next_cursor"`
		}
		d.get("/api/v1/hosts/"+l[0].HostID+"/history?"+query.Encode(), &page)
		for _, p := range page.Items {
			got = append(got, write(period{p.Value, p.Present, p.From, p.ConfirmedAt, p.To, p.ReportID}))
		}
		if page.NextCursor == nil || len(page.Items) == 0 {
			break
		}
		query.Set("cursor", *page.NextCursor)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s %s: history of %s (-looked back +history):\n%s", l[0].Host, l[0].Type, path, diff)
	}
}

// checkETags expects that what has not changed is not sent again.
func (d *driftingFleet) checkETags(t *testing.T, l line) {
	t.Helper()
	first, last := l[0], l[len(l)-1]
	for _, path := range []string{
		"/api/v1/reports/" + first.ID, "/api/v1/hosts/" + last.HostID + "/reports", "/api/v1/hosts/" + last.HostID + "/reports/os",
		"/api/v1/hosts/" + last.HostID + "/reports/os?as_of=" + url.QueryEscape(first.CreatedAt.Format(time.RFC3339Nano)),
		"/api/v1/hosts/" + last.HostID + "/reports?since=true",
	} {
		tag := d.do(http.MethodGet, path, nil, http.StatusOK, nil).Get("ETag")
		if !strings.HasPrefix(tag, `"`) || len(tag) < 10 {
			t.Errorf("%s has the ETag %s, want a strong one", path, tag)
			continue
		}
		d.do(http.MethodGet, path, nil, http.StatusNotModified, nil, "If-None-Match", tag)
		d.do(http.MethodGet, path, nil, http.StatusOK, nil, "If-None-Match", `"another"`)
	}
}

// checkMetrics adds up the points of a series by ourselves.
func (d *driftingFleet) checkMetrics(t *testing.T, l line) {
	t.Helper()
	const path = "free"
	since, until := l[0].CreatedAt.Add(-time.Minute), l[len(l)-1].CreatedAt.Add(time.Second)
	query := url.Values{
		"type": {"memory"}, "path": {path}, "step": {"1"},
		"since": {since.UTC().Format(time.RFC3339Nano)}, "until": {until.UTC().Format(time.RFC3339Nano)},
	}
	var answer struct {
		StepSeconds int `json:"step_seconds"`
		Series      []struct {
			Path   string
			Points []struct {
				At                  time.Time
				Min, Max, Avg, Last float64
				Count               int
			}
		}
	}
	d.get("/api/v1/hosts/"+l[0].HostID+"/metrics?"+query.Encode(), &answer)
	if len(answer.Series) != 1 || answer.Series[0].Path != path || answer.StepSeconds != 1 {
		t.Fatalf("the series of %s are %+v", path, answer)
	}
	total := 0
	for _, p := range answer.Series[0].Points {
		var values []float64
		for _, r := range l {
			if r.CreatedAt.Before(p.At) || !r.CreatedAt.Before(p.At.Add(time.Second)) {
				continue
			}
			var m struct{ Free float64 }
			if err := json.Unmarshal(r.Metrics, &m); err != nil {
				t.Fatal(err)
			}
			values = append(values, m.Free)
		}
		total += len(values)
		if len(values) == 0 || p.Count != len(values) {
			t.Errorf("the point at %s counts %d reports, want %d", p.At, p.Count, len(values))
			continue
		}
		var sum float64
		for _, v := range values {
			sum += v
		}
		average := sum / float64(len(values))
		if p.Min != slices.Min(values) || p.Max != slices.Max(values) || p.Last != values[len(values)-1] || p.Avg < average*0.999999 || p.Avg > average*1.000001 {
			t.Errorf("the point is %+v, want that of %v", p, values)
		}
	}
	if total != len(l) {
		t.Errorf("the points count %d reports, want %d", total, len(l))
	}
}
