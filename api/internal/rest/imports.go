package rest

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/inventory"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	importPath = hostsPath + "/import"
	ndjsonType = "application/x-ndjson"
)

func (s *server) registerImport() {
	register(s, operation{
		id: "importHosts", method: http.MethodPost, path: importPath, tag: "hosts", summary: "Import hosts", role: fleet.Admin, timeout: s.Timeouts.Import,
		description: fmt.Sprintf("One JSON object per line: a host as it is added, with credential_id or an inline credential "+
			"{name?, kind, username, private_key?, passphrase?, password?}. Equal inline credentials are stored once, and found again by the next import. "+
			"A host whose name exists is updated in what the line says. A line that cannot be used is refused and does not stop the others. "+
			"At most %d lines and %d MiB; nothing is stored before all of it has arrived. Importing a file twice changes nothing, so there is no Idempotency-Key.",
			inventory.MaxImportHosts, inventory.MaxImportBytes>>20),
		body: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			ndjsonType: {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
	}, s.importHosts)
}

type importInput struct {
	Format string `query:"format" default:"ndjson" doc:"ndjson; ansible, ssh_config and csv are not supported yet"`
	DryRun bool   `query:"dry_run" default:"false" doc:"only say what would be done"`

	request *http.Request
	writer  http.ResponseWriter
}

// Resolve is called by huma before the handler.
func (in *importInput) Resolve(hc huma.Context) []error {
	in.request, in.writer = humachi.Unwrap(hc)
	return nil
}

func (s *server) importHosts(ctx context.Context, in *importInput) (*body[wire.ImportResult], error) {
	if err := in.checkMedia(ctx); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(s.Timeouts.Import)
	rc := http.NewResponseController(in.writer)
	_ = rc.SetReadDeadline(deadline)  // a writer that has none needs none
	_ = rc.SetWriteDeadline(deadline) // as above
	result := wire.ImportResult{DryRun: in.DryRun, Items: []wire.ImportItem{}}
	stream := http.MaxBytesReader(in.writer, in.request.Body, inventory.MaxImportBytes)
	summary, err := s.Inventory.Import(ctx, session.Actor(ctx), in.Format, in.DryRun, stream, func(o inventory.Outcome) {
		result.Items = append(result.Items, importItem(o))
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(result.Items, func(a, b wire.ImportItem) int { return a.Line - b.Line })
	result.Created, result.Updated, result.Unchanged, result.Refused = summary.Created, summary.Updated, summary.Unchanged, summary.Refused
	return answer(result), nil
}

// checkMedia refuses a body that is no NDJSON, and one that says it is too large before any of it has arrived.
func (in *importInput) checkMedia(ctx context.Context) error {
	if given := in.request.Header.Get("Content-Type"); given != "" {
		media, _, err := mime.ParseMediaType(given)
		known := []string{ndjsonType, "application/ndjson", "application/jsonl", "application/jsonlines"}
		if err != nil || !slices.Contains(known, media) {
			return newFailure(ctx, http.StatusUnsupportedMediaType, codeMediaType, "The body has to be "+ndjsonType+", and Content-Type has to say so.")
		}
	}
	if in.request.ContentLength > inventory.MaxImportBytes {
		return fleet.Errorf(fleet.TooLarge, "an import has at most %d bytes; send several", inventory.MaxImportBytes)
	}
	return nil
}

func importItem(o inventory.Outcome) wire.ImportItem {
	item := wire.ImportItem{Line: o.Line, Name: o.Name, Outcome: string(o.Result)}
	if o.Err != nil {
		field := ""
		if fields := fleet.FieldsOf(o.Err); len(fields) > 0 {
			field = fields[0].Field
		}
		item.Refuse(fleet.CodeOf(o.Err), field, fleet.MessageOf(o.Err))
	}
	return item
}
