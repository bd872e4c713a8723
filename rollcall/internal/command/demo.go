package command

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/rollcall/internal/demo"
)

type demoCommand struct {
	Hosts     int           `help:"How many hosts." default:"100"`
	Drift     share         `help:"Share of hosts that change facts between two of their collections, such as 5%." default:"5%"`
	Dead      share         `help:"Share of hosts that refuse connections." default:"3%"`
	Refusing  share         `help:"Share of hosts that let nobody in." default:"2%"`
	Every     time.Duration `help:"How often they are collected; a schedule of an earlier start stays as it is." default:"1m"`
	Listen    string        `help:"Address and port of the first host; the others count up." default:"0.0.0.0:22000"`
	Advertise string        `help:"Name or address at which the workers reach the hosts." default:"demo"`
	Ready     string        `help:"Where /readyz answers 200 once the first collection has ended." default:"127.0.0.1:9190"`
}

// Help is what --help adds.
func (demoCommand) Help() string {
	return `Needs DATABASE_URL, REDIS_URL and ROLLCALL_SEAL_KEYS of the installation. The hosts execute nothing, and whoever reaches
them may log in, so they belong into a network of containers: compose.yaml runs this in its profile demo. The hosts and
the schedule "demo" stay when it ends, and fail until it runs again; remove them with 'rollcall hosts' and 'schedules'.`
}

// Run serves the hosts until the program is told to stop.
func (c demoCommand) Run(ctx context.Context, in Invocation) error {
	r := settings.NewReader(settings.Environ(in.Environ))
	seals := r.KeyList("ROLLCALL_SEAL_KEYS", true, "public keys of the sites")
	base := process.Read(r)
	process.Others(r)
	if err := r.Err(); err != nil {
		return usage{err}
	}
	return demo.Run(ctx, demo.Options{
		Hosts: c.Hosts, Drift: float64(c.Drift), Dead: float64(c.Dead), Refusing: float64(c.Refusing), Every: c.Every,
		Listen: c.Listen, Advertise: c.Advertise, Ready: c.Ready, Seals: seals,
		Process: base, Log: process.Logger(in.Stderr, "demo", base.Log),
	})
}
