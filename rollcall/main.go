// Rollcall is the command line, and with "rollcall up" the whole product in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

// version is stamped by the linker.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := command.Run(ctx, command.Invocation{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: process.Version(version),
	})
	stop()
	os.Exit(status)
}
