// Worker takes messages from the queues, connects to hosts, and stores their reports. It is configured by its
// environment alone; docs/operations.md lists the variables.
package main

import (
	"context"
	"os"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/worker/work"
)

// version is stamped by the linker.
var version string

func main() {
	os.Exit(process.Run(os.Stderr, "worker", os.Args[1:], work.Read, func(ctx context.Context, c work.Config) error {
		c.Version = process.Version(version)
		return work.Run(ctx, c, process.Logger(os.Stderr, "worker", c.Process.Log))
	}))
}
