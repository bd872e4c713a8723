package rest_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.story(t)
	host := "/api/v1/hosts/" + s.web1 + "/metrics?type=os"
	period := "&since=" + s.at[0].Format(time.RFC3339) + "&until=" + s.at[2].Add(time.Second).Format(time.RFC3339)
	point := func(i int, v float64) wire.MetricPoint {
		return wire.MetricPoint{At: s.at[i], Min: v, Max: v, Avg: v, Last: v, Count: 1}
	}
	one := wire.MetricSeries{Path: "load.one", Points: []wire.MetricPoint{point(0, 0), point(1, 1), point(2, 2)}}
	five := wire.MetricSeries{Path: "load.five", Points: []wire.MetricPoint{point(0, 0), point(1, 10), point(2, 20)}}
	day := s.at[0].Truncate(24 * time.Hour)
	for name, tt := range map[string]struct {
		query string
		step  int
		want  []wire.MetricSeries
	}{
		"one metric":               {"&path=load.one&step=60", 60, []wire.MetricSeries{one}},
		"all that match":           {"&path=" + url.QueryEscape("load.*") + "&step=1m", 60, []wire.MetricSeries{five, one}},
		"all below":                {"&path=load&step=60s", 60, []wire.MetricSeries{five, one}},
		"what is no number":        {"&path=note&step=60", 60, []wire.MetricSeries{}},
		"what there is not":        {"&path=fan&step=60", 60, []wire.MetricSeries{}},
		"a step that nobody named": {"&path=load.one", 1, []wire.MetricSeries{one}},
		"a step of days": {"&path=load.one&step=1d", 86400, []wire.MetricSeries{{Path: "load.one", Points: []wire.MetricPoint{
			{At: day, Min: 0, Max: 2, Avg: 1, Last: 2, Count: 3},
		}}}},
	} {
		if s.at[2].Truncate(24*time.Hour) != day && tt.step == 86400 {
			continue // midnight lies between
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := get[wire.HostMetrics](t, b.do(t, call{path: host + period + tt.query, as: "viewer"}), http.StatusOK)
			if diff := cmp.Diff(tt.want, got.Series); diff != "" || got.StepSeconds != tt.step || got.HostID != uuid.MustParse(s.web1) || got.Type != "os" {
				t.Errorf("%+v (-want +got)\n%s", got, diff)
			}
		})
	}
	now := get[wire.HostMetrics](t, b.do(t, call{path: host + "&path=load.one", as: "viewer"}), http.StatusOK)
	if now.StepSeconds != 600 || now.Until.Sub(now.Since) != 24*time.Hour || time.Since(now.Until) > time.Minute || len(now.Series) != 1 {
		t.Errorf("without a time = %+v, want the last 24 hours in steps of ten minutes", now)
	}
	b.checkUnseen(t, "/api/v1/hosts/"+s.web2+"/metrics?type=os&path=load")
}
