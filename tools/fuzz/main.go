// Fuzz runs every fuzz target of the module for a while, one after the other, so that no list of targets has to be kept.
//
//	go -C tools run ./fuzz [-dir ..] [-budget 200000x] [packages]
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// A target is a fuzz target and the package it is in.
type target struct{ pkg, name string }

// run fuzzes what the arguments ask for. It goes on after a failing target and reports all of them in the end.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	dir := flags.String("dir", "..", "the `directory` of the module to fuzz")
	// A number of runs and not a time: until Go 1.27 the end of a time can be taken for a failure (golang/go#75804).
	budget := flags.String("budget", "200000x", "how much each target runs, as -fuzztime of go test has it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	packages := flags.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	list := exec.CommandContext(ctx, "go", append([]string{"test", "-list", "^Fuzz"}, packages...)...)
	list.Dir, list.Stderr = *dir, os.Stderr
	listing, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing the fuzz targets: %w", err)
	}
	targets := parseListing(listing)
	if len(targets) == 0 {
		return errors.New("there is no fuzz target")
	}
	var failed []string
	for _, t := range targets {
		_, _ = fmt.Fprintf(stdout, "== %s in %s\n", t.name, t.pkg)
		fuzz := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", *budget, t.pkg)
		fuzz.Dir, fuzz.Stdout, fuzz.Stderr = *dir, stdout, os.Stderr
		if err := fuzz.Run(); err != nil {
			failed = append(failed, t.name)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s; the inputs are in testdata/fuzz, to be committed with the fix", strings.Join(failed, ", "))
	}
	return nil
}

// parseListing reads what go test -list prints: the names of a package's targets, then a line with its path.
func parseListing(listing []byte) []target {
	var targets []target
	var names []string
	for scanner := bufio.NewScanner(bytes.NewReader(listing)); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, name := range names {
				targets = append(targets, target{pkg: fields[1], name: name})
			}
			names = nil
		}
	}
	return targets
}
