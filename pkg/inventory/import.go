package inventory

import (
	"context"
	"io"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// The limits of an import.
const (
	MaxImportHosts       = 10_000
	MaxImportBytes       = 64 << 20
	MaxImportLine        = 1 << 20 // bytes
	maxImportCredentials = 1000    // different ones brought along
	importBatch          = 500     // hosts in a transaction
)

// FormatNDJSON is one JSON object per line: the fields of a host, and its credential as credential_id or inline as
// credential {name?, kind, username, private_key?, passphrase?, password?}.
const FormatNDJSON = "ndjson"

// A Result is what became of one line of an import.
type Result string

// The results.
const (
	Created   Result = "created"
	Updated   Result = "updated"
	Unchanged Result = "unchanged"
	Refused   Result = "refused"
)

// An Outcome is what became of one line of an import.
type Outcome struct {
	Line   int    // from 1
	Name   string // of the host; empty where the line has none that can be read
	Result Result
	Err    error // why it was refused; of kind Invalid, Conflict or Forbidden, and safe to show
}

// A Summary counts the lines of an import by what became of them.
type Summary struct {
	Created, Updated, Unchanged, Refused int
}

func (s *Summary) count(r Result) {
	switch r {
	case Created:
		s.Created++
	case Updated:
		s.Updated++
	case Unchanged:
		s.Unchanged++
	case Refused:
		s.Refused++
	}
}

// Import adds the hosts that r lists, on behalf of actor, an admin, and calls report with what became of each line,
// in no particular order. A host whose name exists is updated in what the line says and keeps the rest; a line that
// cannot be used is refused and does not stop the others. Credentials that lines bring along are sealed and stored,
// equal ones once, and found again by the next import.
//
// The whole of r is read and checked before anything is stored: more than MaxImportHosts lines or MaxImportBytes, or
// a reader that fails, leave nothing behind. What follows is stored in batches; an error then says that some of them
// may have been, and importing once more carries on. A dry run stores nothing and reports the same.
func (s *Service) Import(ctx context.Context, actor fleet.Actor, format string, dryRun bool, r io.Reader, report func(Outcome)) (Summary, error) {
	if err := s.requireAdmin(ctx, actor, hostEntry("import", uuid.Nil, nil)); err != nil {
		return Summary{}, err
	}
	if err := checkFormat(format); err != nil {
		return Summary{}, err
	}
	im := &importing{Service: s, actor: actor, id: fleet.NewID(), dryRun: dryRun, tell: report}
	if err := im.read(ctx, r); err != nil {
		return Summary{}, err
	}
	if err := im.resolveCredentials(ctx); err != nil {
		return im.summary, err
	}
	for rest := im.hosts; len(rest) > 0; {
		n := min(len(rest), importBatch)
		if err := im.batch(ctx, rest[:n]); err != nil {
			return im.summary, err
		}
		rest = rest[n:]
	}
	return im.summary, im.audit(ctx)
}

func checkFormat(format string) error {
	switch format {
	case FormatNDJSON, "":
		return nil
	case "ansible", "ssh_config", "csv":
		return fleet.NotSupportedYet("format")
	}
	return fleet.InvalidField("format", "there is no such format; ndjson is one")
}

// importing is one import under way.
type importing struct {
	*Service
	actor  fleet.Actor
	id     uuid.UUID // in the audit entries of its hosts
	dryRun bool
	tell   func(Outcome)

	hosts       []candidate
	credentials []*inline
	summary     Summary
}

// A candidate is a line that can be used.
type candidate struct {
	line   int
	given  hostLine
	inline *inline // the credential it brings along, or nil
}

func (im *importing) report(o Outcome) {
	im.summary.count(o.Result)
	if im.tell != nil {
		im.tell(o)
	}
}

func (im *importing) refuse(line int, name string, err error) {
	im.report(Outcome{Line: line, Name: name, Result: Refused, Err: err})
}

// audit writes that there was an import; its hosts have entries of their own.
func (im *importing) audit(ctx context.Context) error {
	if im.dryRun {
		return nil
	}
	return im.Store.InTx(ctx, func(tx *store.Store) error {
		return tx.Audit(ctx, im.actor, hostEntry("import", im.id, map[string]any{
			"created": im.summary.Created, "updated": im.summary.Updated, "unchanged": im.summary.Unchanged, "refused": im.summary.Refused,
		}))
	})
}
