package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type collectorsCommand struct {
	Ls     collectorsLsCommand     `cmd:"" help:"List what can be collected."`
	Show   collectorsShowCommand   `cmd:"" help:"Show a collector, a custom one with its definition."`
	Add    collectorsAddCommand    `cmd:"" help:"Add a custom collector."`
	Update collectorsUpdateCommand `cmd:"" help:"Give a custom collector a new definition."`
	Rm     collectorsRmCommand     `cmd:"" help:"Remove custom collectors. Their reports stay."`
	Try    collectorsTryCommand    `cmd:"" help:"Run a custom collector on one host, and show all that it told."`
	Test   collectorsTestCommand   `cmd:"" help:"Read the fixtures of a definition, without a server."`
}

func collectorColumns() []column[wire.Collector] {
	return []column[wire.Collector]{
		col("NAME", func(c wire.Collector) any { return c.Name }),
		col("VERSION", func(c wire.Collector) any { return c.Version }),
		col("BUILT IN", func(c wire.Collector) any { return c.BuiltIn }),
		col("SYSTEMS", func(c wire.Collector) any { return c.Systems }),
		col("DESCRIPTION", func(c wire.Collector) any { return c.Description }),
	}
}

type collectorsLsCommand struct{ output }

// Run lists collectors.
func (c collectorsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	found, err := server.Collectors(ctx)
	if err != nil {
		return err
	}
	return list(in, c.output, func(yield func(wire.Collector, error) bool) {
		for _, one := range found {
			if !yield(one, nil) {
				return
			}
		}
	}, collectorColumns()...)
}

type collectorsShowCommand struct {
	Name string `arg:"" help:"Name of the collector."`
}

// Run shows a collector.
func (c collectorsShowCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	found, err := server.Collector(ctx, c.Name)
	if err != nil {
		return err
	}
	return printJSON(in.Stdout, found)
}

// maxDefinitionFile bounds a file with a definition.
const maxDefinitionFile = 1 << 20

// readDefinition reads a definition in YAML or JSON and checks it. What cannot be read is named with its line and column.
func readDefinition(path string) (collector.Definition, error) {
	var d collector.Definition
	file, err := os.Open(path) //nolint:gosec // the file that the caller names
	if err != nil {
		return d, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxDefinitionFile+1))
	if err != nil {
		return d, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(text) > maxDefinitionFile {
		return d, fmt.Errorf("%s has more than %d bytes, which is too much for a definition", path, maxDefinitionFile)
	}
	if err := yaml.UnmarshalWithOptions(text, &d, yaml.Strict()); err != nil {
		return d, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	if err := d.Check(); err != nil {
		if fields := fleet.FieldsOf(err); len(fields) > 0 {
			return d, fmt.Errorf("%s: %s: %s", path, fields[0].Field, fields[0].Message)
		}
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// definitionFile reads a definition as it is sent.
func definitionFile(path string) (wire.CollectorDefinition, error) {
	var sent wire.CollectorDefinition
	d, err := readDefinition(path)
	if err != nil {
		return sent, err
	}
	d.Version = 0
	encoded, err := json.Marshal(d)
	if err != nil {
		return sent, fmt.Errorf("%s: %w", path, err)
	}
	return sent, json.Unmarshal(encoded, &sent)
}

// connectWith reads a definition as it is sent, and connects to the server only if there is nothing wrong with it.
func connectWith(in Invocation, path string) (*client.Client, wire.CollectorDefinition, error) {
	d, err := definitionFile(path)
	if err != nil {
		return nil, d, err
	}
	server, err := connect(in)
	return server, d, err
}

type collectorsAddCommand struct {
	File string `arg:"" help:"Definition in YAML or JSON." type:"existingfile"`
}

// Run adds a collector.
func (c collectorsAddCommand) Run(ctx context.Context, in Invocation) error {
	server, d, err := connectWith(in, c.File)
	if err != nil {
		return err
	}
	added, err := server.AddCollector(ctx, d)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "Added %s, version %d. Try it: rollcall collectors try %s HOST\n", added.Name, added.Version, added.Name)
	return err
}

type collectorsUpdateCommand struct {
	File string `arg:"" help:"Definition in YAML or JSON; its name says which collector." type:"existingfile"`
}

// Run gives a collector a new definition.
func (c collectorsUpdateCommand) Run(ctx context.Context, in Invocation) error {
	server, d, err := connectWith(in, c.File)
	if err != nil {
		return err
	}
	changed, err := server.ReplaceCollector(ctx, d)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "%s has version %d now.\n", changed.Name, changed.Version)
	return err
}

type collectorsRmCommand struct {
	Names []string `arg:"" name:"name" help:"Names of custom collectors."`
}

// Run removes collectors.
func (c collectorsRmCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, c.Names, func(name string) (string, error) {
		return "Removed " + name + ". Its reports stay.", server.RemoveCollector(ctx, name)
	})
}

type collectorsTryCommand struct {
	Name string `arg:"" help:"Name of the collector."`
	Host string `arg:"" help:"Name or ID of the host."`
	File string `help:"Try this definition instead of what is stored." type:"existingfile" placeholder:"FILE"`
}

// Run tries a collector.
func (c collectorsTryCommand) Run(ctx context.Context, in Invocation) error {
	input := wire.TryInput{}
	if c.File != "" {
		d, err := definitionFile(c.File)
		if err != nil {
			return err
		}
		input.Definition = &d
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := findHost(ctx, server, c.Host)
	if err != nil {
		return err
	}
	input.HostID = host.ID
	tried, err := server.TryCollector(ctx, c.Name, input)
	if err != nil {
		return err
	}
	failed := follow(ctx, in, server, tried, output{Output: asTable})
	trial, err := server.Trial(ctx, tried.ID)
	if err != nil {
		return err
	}
	if trial.Result != nil {
		if err := printJSON(in.Stdout, trial.Result); err != nil {
			return err
		}
	}
	return failed
}

type collectorsTestCommand struct {
	File string `arg:"" help:"Definition in YAML or JSON." type:"existingfile"`
}

// Run reads the fixtures of a definition.
func (c collectorsTestCommand) Run(_ context.Context, in Invocation) error {
	d, err := readDefinition(c.File)
	if err != nil {
		return err
	}
	results, err := d.TestFixtures()
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		verdict := "ok  "
		if len(r.Differences) > 0 {
			verdict = "FAIL"
			failed++
		}
		lines := append([]string{verdict + " " + r.Name}, r.Differences...)
		if _, err := fmt.Fprintln(in.Stdout, strings.Join(lines, "\n     ")); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d fixtures are not read as they should be", failed, len(results))
	}
	_, err = fmt.Fprintf(in.Stdout, "%d fixtures are read as they should be.\n", len(results))
	return err
}
