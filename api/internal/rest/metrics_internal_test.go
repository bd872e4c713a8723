package rest

import (
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text   string
		period time.Duration
		want   time.Duration // 0: refused
	}{
		"seconds":                         {"300", day, 5 * time.Minute},
		"minutes":                         {"5m", day, 5 * time.Minute},
		"hours":                           {"1h", day, time.Hour},
		"days":                            {"2d", day, 2 * day},
		"the most steps there may be":     {"1", 2000 * time.Second, time.Second},
		"a step more than that":           {"1", 2000*time.Second + 1, 0},
		"no time at all":                  {"0", day, 0},
		"less than none":                  {"-5m", day, 0},
		"a fraction":                      {"1.5h", day, 0},
		"two units":                       {"1h30m", day, 0},
		"a unit alone":                    {"m", day, 0},
		"a unit twice":                    {"5mm", day, 0},
		"an unknown unit":                 {"5w", day, 0},
		"the longest step":                {"366d", maxPeriod, 366 * day},
		"longer than that":                {"367d", maxPeriod, 0},
		"a number that overflows":         {"99999999999999", day, 0},
		"a product that would overflow":   {"4294967295d", day, 0},
		"the default of a day":            {"", day, 10 * time.Minute},
		"the default of four hours":       {"", 4 * time.Hour, time.Minute},
		"the default of a moment":         {"", time.Nanosecond, time.Second},
		"the default of a month":          {"", 30 * day, 3 * time.Hour},
		"the default of a year":           {"", 365 * day, 2 * day},
		"the default of all that is kept": {"", maxPeriod, 16 * day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := stepOf(tt.text, tt.period)
			if tt.want == 0 {
				if fleet.KindOf(err) != fleet.Invalid || len(fleet.FieldsOf(err)) != 1 || fleet.FieldsOf(err)[0].Field != "step" {
					t.Errorf("got %v, %v, want it refused as a bad step", got, err)
				}
				return
			}
			if got != tt.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
			if tt.period/got > maxSteps {
				t.Errorf("%v in steps of %v are more than %d", tt.period, got, maxSteps)
			}
		})
	}
}
