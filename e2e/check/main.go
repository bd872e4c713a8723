// Check reads the output of "rollcall up --once -o json" from standard input and compares it with what this machine
// says of itself. It prints what differs, and fails if anything does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/rollcallhq/rollcall/e2e/thismachine"
)

func main() { os.Exit(run(context.Background(), os.Stdin, os.Stdout)) }

func run(ctx context.Context, in io.Reader, out io.Writer) int {
	reports, err := io.ReadAll(in)
	if err != nil {
		_, _ = fmt.Fprintln(out, err)
		return 1
	}
	differences, err := thismachine.Differences(ctx, reports)
	if err != nil {
		_, _ = fmt.Fprintln(out, err)
		return 1
	}
	for _, d := range differences {
		_, _ = fmt.Fprintln(out, d)
	}
	if len(differences) > 0 {
		return 1
	}
	_, _ = fmt.Fprintln(out, "the reports are true for this machine")
	return 0
}
