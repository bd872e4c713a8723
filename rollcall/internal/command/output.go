package command

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

// The ways to print.
const (
	asTable  = "table"
	asJSON   = "json"
	asNDJSON = "ndjson"
	asCSV    = "csv"
)

// output is the flag of commands that print things.
type output struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json,ndjson,csv" default:"table" placeholder:"FORMAT"`
}

// A column is one of a table, and of CSV.
type column[T any] struct {
	name     string
	value    func(T) any
	verbatim bool // whether the name stays as it is for programs
}

func col[T any](name string, value func(T) any) column[T] { return column[T]{name: name, value: value} }

// list prints things as they come: a table, a JSON array, a JSON object per line, or CSV with a header.
func list[T any](in Invocation, o output, items iter.Seq2[T, error], columns ...column[T]) error {
	return listTo(bufio.NewWriter(in.Stdout), in, o, items, columns)
}

// live prints things like list, each as soon as it comes. A table shows nothing before its end.
func live[T any](in Invocation, o output, items iter.Seq2[T, error], columns ...column[T]) error {
	out := bufio.NewWriter(in.Stdout)
	return listTo(out, in, o, func(yield func(T, error) bool) {
		for item, err := range items {
			if !yield(item, err) || out.Flush() != nil { // which listTo reports
				return
			}
		}
	}, columns)
}

func listTo[T any](out *bufio.Writer, in Invocation, o output, items iter.Seq2[T, error], columns []column[T]) error {
	var err error
	switch o.Output {
	case asJSON:
		err = listJSON(out, items)
	case asNDJSON:
		err = listNDJSON(out, items)
	case asCSV:
		err = listCSV(out, items, columns)
	default:
		err = listTable(out, in.Stderr, items, columns)
	}
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

// one prints a single thing: its columns one below the other, a JSON object, or CSV with a header.
func one[T any](in Invocation, o output, item T, columns ...column[T]) error {
	switch o.Output {
	case asJSON:
		return printJSON(in.Stdout, item)
	case asTable:
		t := newTable(in.Stdout)
		for _, c := range columns {
			if text := shown(c.value(item)); text != "" {
				t.AppendRow(table.Row{c.name, text})
			}
		}
		t.Render()
		return nil
	}
	return list(in, o, seqOf([]T{item}), columns...)
}

// printJSON prints a value as JSON for people to read, too.
func printJSON(w io.Writer, v any) error {
	text, err := encode(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// encode returns v as JSON without escapes for HTML; an empty indent puts it on one line.
func encode(v any, lead, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent != "" {
		e.SetIndent(lead, indent)
	}
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func listJSON[T any](out *bufio.Writer, items iter.Seq2[T, error]) error {
	separator := "[\n  "
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := encode(item, "  ", "  ")
		if err != nil {
			return err
		}
		_, _ = out.WriteString(separator) // Flush reports what a write could not do
		_, _ = out.Write(text)
		separator = ",\n  "
	}
	end := "\n]\n"
	if separator[0] == '[' {
		end = "[]\n"
	}
	_, err := out.WriteString(end)
	return err
}

func listNDJSON[T any](out *bufio.Writer, items iter.Seq2[T, error]) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := encode(item, "", "")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

func listCSV[T any](out *bufio.Writer, items iter.Seq2[T, error], columns []column[T]) error {
	w := csv.NewWriter(out) // which has no buffer but out's
	row := make([]string, len(columns))
	for i, c := range columns {
		if row[i] = c.name; !c.verbatim {
			row[i] = strings.ReplaceAll(strings.ToLower(c.name), " ", "_")
		}
	}
	if err := w.Write(row); err != nil {
		return err
	}
	for item, err := range items {
		if err != nil {
			w.Flush()
			return err
		}
		for i, c := range columns {
			row[i] = wire.CSVText(exact(c.value(item)))
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func listTable[T any](out, stderr io.Writer, items iter.Seq2[T, error], columns []column[T]) error {
	t := newTable(out)
	header := make(table.Row, len(columns))
	for i, c := range columns {
		header[i] = plain(c.name)
	}
	t.AppendHeader(header)
	var failed error
	for item, err := range items {
		if err != nil {
			failed = err
			break
		}
		row := make(table.Row, len(columns))
		for i, c := range columns {
			row[i] = shown(c.value(item))
		}
		t.AppendRow(row)
	}
	if t.Length() > 0 {
		t.Render()
	} else if failed == nil {
		_, failed = fmt.Fprintln(stderr, "There are none.")
	}
	return failed
}

// newTable returns a table without lines, which can be read, cut and searched.
func newTable(out io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format = table.FormatOptions{} // nothing in capitals: names of columns may be those of facts
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	return t
}

// seqOf returns the items of a slice.
func seqOf[T any](items []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// paging is the flag of lists that grow without end.
type paging struct {
	Limit int `help:"How many, 0 for all." default:"100" placeholder:"N"`
}

const maxPage = 1000

// size returns how many to fetch at once.
func (p paging) size() int {
	if p.Limit <= 0 {
		return maxPage
	}
	return min(p.Limit+1, maxPage) // one more tells whether there is more
}

// cut returns the first items, and says so if there are more.
func cut[T any](in Invocation, p paging, items iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		n := 0
		for item, err := range items {
			if n++; p.Limit > 0 && n > p.Limit && err == nil {
				_, _ = fmt.Fprintf(in.Stderr, "These are the first %d; --limit 0 shows all.\n", p.Limit)
				return
			}
			if !yield(item, err) {
				return
			}
		}
	}
}
