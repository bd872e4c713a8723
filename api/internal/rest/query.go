package rest

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/facts"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	csvType = "text/csv; charset=utf-8"

	maxSelected  = 50
	queryTimeout = 10 * time.Minute // for a whole answer; each write has less
)

func (s *server) registerQuery() {
	rows := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"items"},
		Properties: map[string]*huma.Schema{"items": {Type: huma.TypeArray, Items: schemaOf[wire.QueryRow](s)}},
	}
	register(s, operation{
		id: "query", method: http.MethodGet, path: "/query", tag: "query", role: fleet.Viewer, timeout: queryTimeout, extra: []int{http.StatusNotFound},
		summary: "Facts of one type over the fleet, now or as of a time",
		description: "One item for each host that has such facts, by name, streamed and without a bound on their number; an answer that breaks off is not whole. " +
			"Hosts are picked as they are labelled now. Filtering by facts (where) is not supported yet.",
		responses: map[string]*huma.Response{"200": {
			Description: "The facts. As NDJSON each item is a line; as CSV each host is one, with texts as they are and everything else as JSON.",
			Content: map[string]*huma.MediaType{
				jsonType: {Schema: rows}, ndjsonType: {Schema: &huma.Schema{Type: huma.TypeString}}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
			},
		}},
	}, s.query)
}

type queryInput struct {
	Type     string    `query:"type" required:"true" doc:"of reports" example:"os"`
	Select   string    `query:"select" maxLength:"8192" doc:"paths of facts, with commas between them; without it all facts of the type" example:"kernel.release,timezone"`
	Where    string    `query:"where" doc:"not supported yet"`
	Selector string    `query:"selector" doc:"which hosts" example:"env=prod"`
	AsOf     time.Time `query:"as_of" doc:"as the facts stood then; without it now"`
	Format   string    `query:"format" enum:"json,ndjson,csv" doc:"instead of Accept"`
	Accept   string    `header:"Accept"`
}

func (s *server) query(ctx context.Context, in *queryInput) (*huma.StreamResponse, error) {
	if err := unsupported("where", in.Where != ""); err != nil {
		return nil, err
	}
	if err := s.checkType(ctx, in.Type); err != nil {
		return nil, err
	}
	selector, err := selectorOf(in.Selector)
	if err != nil {
		return nil, err
	}
	paths, err := readPaths(in.Select)
	if err != nil {
		return nil, err
	}
	q := store.FactQuery{Type: in.Type, Select: paths, Selector: selector, At: in.AsOf}
	// The first row is read before anything is answered: until then, what is wrong can still be said properly.
	next, stop := iter.Pull2(s.Store.QueryFacts(ctx, session.Actor(ctx).Scope(), q))
	first, err, more := next()
	if err != nil {
		stop()
		return nil, err
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = path.String()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer stop()
		_, w := humachi.Unwrap(hc)
		out := newRowWriter(formatOf(in.Format, in.Accept), w, names)
		for row := first; more; row, err, more = next() {
			if err != nil || out.row(row) != nil {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
		}
		if out.end() != nil {
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// readPaths reads paths with commas between them; a comma in quotes is part of a name. None stands for the whole.
func readPaths(text string) ([]facts.Path, error) {
	var paths []facts.Path
	for _, part := range splitOutsideQuotes(text) {
		path, err := facts.ParsePath(strings.TrimSpace(part))
		if err != nil {
			return nil, fleet.InvalidField("select", "%s: %s", part, fleet.MessageOf(err))
		}
		paths = append(paths, path)
	}
	if len(paths) > maxSelected {
		return nil, fleet.InvalidField("select", "at most %d paths", maxSelected)
	}
	return paths, nil
}

func splitOutsideQuotes(text string) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			parts, start = append(parts, text[start:i]), i+1
		}
	}
	return append(parts, text[start:])
}

// formatOf returns the content type that is asked for by name, or else by the header.
func formatOf(format, accept string) string {
	byName := map[string]string{"json": jsonType, "ndjson": ndjsonType, "csv": csvType}
	if found, ok := byName[format]; ok {
		return found
	}
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, _, _ := strings.Cut(part, ";")
		switch strings.TrimSpace(mediaType) {
		case ndjsonType, "application/ndjson":
			return ndjsonType
		case "text/csv":
			return csvType
		}
	}
	return jsonType
}

// A rowWriter writes the rows of an answer in one of the formats.
type rowWriter struct {
	format string
	names  []string
	rc     *http.ResponseController
	buffer *bufio.Writer
	csv    *csv.Writer
	rows   int
}

func newRowWriter(format string, w http.ResponseWriter, names []string) *rowWriter {
	w.Header().Set("Content-Type", format)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	buffer := bufio.NewWriterSize(deadlined{w, rc}, 64<<10)
	return &rowWriter{format: format, names: names, rc: rc, buffer: buffer, csv: csv.NewWriter(buffer)}
}

// deadlined gives each write its own time.
type deadlined struct {
	w  io.Writer
	rc *http.ResponseController
}

func (d deadlined) Write(p []byte) (int, error) {
	_ = d.rc.SetWriteDeadline(time.Now().Add(eventTimeout)) // a writer that has none needs none
	return d.w.Write(p)
}

func (out *rowWriter) row(row fleet.FactRow) error {
	out.rows++
	if out.format == csvType {
		return out.csvRow(row)
	}
	data, err := json.Marshal(wire.QueryRowView(row, out.names))
	if err != nil {
		return err
	}
	before, after := "", "\n"
	if out.format == jsonType {
		if before, after = ",\n", ""; out.rows == 1 {
			before = "{\"items\":[\n"
		}
	}
	_, err = out.buffer.WriteString(before + string(data) + after)
	return err
}

func (out *rowWriter) csvRow(row fleet.FactRow) error {
	if out.rows == 1 {
		if err := out.csvHead(); err != nil {
			return err
		}
	}
	cells := []string{wire.CSVText(row.Host), row.HostID.String(), row.ConfirmedAt.UTC().Format(time.RFC3339)}
	for _, value := range row.Values {
		var text string
		if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil {
			cells = append(cells, wire.CSVText(text))
			continue
		}
		cells = append(cells, strings.TrimPrefix(string(value), "null"))
	}
	return out.csv.Write(cells)
}

func (out *rowWriter) csvHead() error {
	return out.csv.Write(slices.Concat([]string{"host", "host_id", "confirmed_at"}, out.names))
}

// end ends the answer.
func (out *rowWriter) end() error {
	var err error
	switch {
	case out.format == csvType && out.rows == 0:
		err = out.csvHead()
	case out.format == jsonType && out.rows == 0:
		_, err = out.buffer.WriteString(`{"items":[]}` + "\n")
	case out.format == jsonType:
		_, err = out.buffer.WriteString("\n]}\n")
	}
	if out.csv.Flush(); err == nil {
		err = out.csv.Error()
	}
	if err == nil {
		err = out.buffer.Flush()
	}
	return err
}
