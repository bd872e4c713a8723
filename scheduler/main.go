// Scheduler fires schedules, rings for queued tasks, sweeps up what was lost and makes partitions. Any number of
// replicas may run. It is configured by its environment alone; docs/operations.md lists the variables.
package main

import (
	"context"
	"os"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/scheduler/beat"
)

// version is stamped by the linker.
var version string

func main() {
	os.Exit(process.Run(os.Stderr, "scheduler", os.Args[1:], beat.Read, func(ctx context.Context, c beat.Config) error {
		c.Version = process.Version(version)
		return beat.Run(ctx, c, process.Logger(os.Stderr, "scheduler", c.Process.Log))
	}))
}
