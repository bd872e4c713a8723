package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type hostsImportCommand struct {
	File   string `arg:"" help:"NDJSON: one host a line, as hosts add takes it, with credential_id or a credential; - is standard input."`
	DryRun bool   `short:"n" help:"Only say what would be done."`
	output
}

// Run imports hosts. Lines that are refused make it partly failed.
func (c hostsImportCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	source := in.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("importing: %w", err)
		}
		defer func() { _ = f.Close() }()
		source = f
	}
	total := wire.ImportResult{DryRun: c.DryRun, Items: []wire.ImportItem{}}
	lines := &batches{lines: bufio.NewReader(source)}
	for {
		first := lines.read + 1
		batch, err := lines.next()
		if err != nil {
			return fmt.Errorf("importing: %w", err)
		}
		if batch == nil {
			break
		}
		result, err := server.ImportHosts(ctx, bytes.NewReader(batch), c.DryRun)
		if err != nil && first > 1 {
			return partly{fmt.Errorf("the lines before %d are imported, those from there on are not: %w", first, err)}
		}
		if err != nil {
			return err
		}
		add(&total, result, first-1)
	}
	if lines.read == 0 {
		return errors.New("importing: there is no line in it")
	}
	return c.print(in, total)
}

// add adds the result of a batch to that of all.
func add(total *wire.ImportResult, r wire.ImportResult, before int) {
	total.Created += r.Created
	total.Updated += r.Updated
	total.Unchanged += r.Unchanged
	total.Refused += r.Refused
	for _, item := range r.Items {
		item.Line += before
		total.Items = append(total.Items, item)
	}
}

func (c hostsImportCommand) print(in Invocation, r wire.ImportResult) error {
	columns := []column[wire.ImportItem]{
		col("LINE", func(i wire.ImportItem) any { return i.Line }),
		col("NAME", func(i wire.ImportItem) any { return i.Name }),
		col("OUTCOME", func(i wire.ImportItem) any { return i.Outcome }),
		col("CODE", func(i wire.ImportItem) any { return i.Code }),
		col("FIELD", func(i wire.ImportItem) any { return i.Field }),
		col("REASON", func(i wire.ImportItem) any { return i.Reason }),
	}
	var err error
	switch c.Output {
	case asJSON:
		err = printJSON(in.Stdout, r)
	case asTable:
		err = c.printTable(in, r, columns)
	default:
		err = list(in, c.output, seqOf(r.Items), columns...)
	}
	if err != nil {
		return err
	}
	return someFailed(r.Refused, r.Created+r.Updated+r.Unchanged+r.Refused, "lines were refused")
}

// printTable prints how many lines did what, and why lines were refused.
func (c hostsImportCommand) printTable(in Invocation, r wire.ImportResult, columns []column[wire.ImportItem]) error {
	refused := []wire.ImportItem{}
	for _, item := range r.Items {
		if item.Outcome == "refused" {
			refused = append(refused, item)
		}
	}
	if len(refused) > 0 {
		if err := list(in, c.output, seqOf(refused), columns...); err != nil {
			return err
		}
	}
	dry := ""
	if r.DryRun {
		dry = " Nothing was stored."
	}
	_, err := fmt.Fprintf(in.Stdout, "%d created, %d updated, %d unchanged, %d refused.%s\n", r.Created, r.Updated, r.Unchanged, r.Refused, dry)
	return err
}

// batches cuts a file into what the server takes at once. Every line counts, so that the server's numbers of lines are
// ours.
type batches struct {
	lines *bufio.Reader
	kept  []byte // a line that did not fit into the batch before
	read  int    // lines so far that are in a batch
}

// next returns the next lines; nil at the end.
func (b *batches) next() ([]byte, error) {
	var batch []byte
	for range client.MaxImportHosts {
		line, err := b.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			break
		}
		if len(batch)+len(line) > client.MaxImportBytes {
			b.kept = line
			return batch, nil
		}
		b.read++
		batch = append(batch, line...)
	}
	return batch, nil
}

// line returns a line with its break; nothing at the end.
func (b *batches) line() ([]byte, error) {
	if b.kept != nil {
		line := b.kept
		b.kept = nil
		return line, nil
	}
	var line []byte
	for {
		part, err := b.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > client.MaxImportBytes {
			return nil, fmt.Errorf("line %d has more than %d MiB", b.read+1, client.MaxImportBytes>>20)
		}
		if errors.Is(err, io.EOF) {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
