// Api is the front door: REST, gRPC, the pages for people, and Asynqmon. It is configured by its environment alone;
// docs/operations.md lists the variables.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rollcallhq/rollcall/api/serve"
	"github.com/rollcallhq/rollcall/pkg/process"
)

// version is stamped by the linker.
var version string

func main() {
	os.Exit(process.Run(os.Stderr, "api", os.Args[1:], serve.Read, func(ctx context.Context, c serve.Config) error {
		c.Version = process.Version(version)
		c.FirstAdmin = func(password string) {
			_, _ = fmt.Fprintf(os.Stderr, "The first admin was made: user admin, password %s — it is shown only now.\n", password)
		}
		return serve.Run(ctx, c, process.Logger(os.Stderr, "api", c.Process.Log))
	}))
}
