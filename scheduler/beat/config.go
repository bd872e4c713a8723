package beat

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/housekeeping"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// Config is the scheduler's whole configuration.
type Config struct {
	Process  process.Config
	Version  string
	Registry *prometheus.Registry // where its metrics go; nil: one of its own
	OpsAddr  string               // where /healthz, /readyz and /metrics answer; empty: nowhere

	Retention  housekeeping.Retention // the zero value takes the defaults
	QueueLimit int                    // with so many tasks waiting, schedules fire no bulk work; 0: never
}

// Read reads the scheduler's configuration from an environment in the form of os.Environ. Every bad value is in the error.
func Read(environ []string) (Config, error) {
	r := settings.NewReader(settings.Environ(environ))
	c := read(r)
	process.Others(r)
	return c, r.Err()
}

// Variables returns what Read reads, for the documentation.
func Variables() []settings.Variable {
	r := settings.NewReader(nil)
	read(r)
	return r.Documented()
}

func read(r *settings.Reader) Config {
	c := Config{
		Process:    process.Read(r),
		OpsAddr:    r.ListenAddr("ROLLCALL_OPS_ADDR", ":9181", "where /healthz, /readyz, /health and /metrics answer"),
		Retention:  process.ReadRetention(r),
		QueueLimit: process.ReadQueueLimit(r),
	}
	return c
}
