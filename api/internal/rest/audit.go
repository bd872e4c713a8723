package rest

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	auditPath = "/audit"
	auditPage = 1000 // entries that an export reads at once
)

func (s *server) registerAudit() {
	page := schemaOf[wire.List[wire.AuditEntry]](s)
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	register(s, operation{
		id: "listAudit", method: http.MethodGet, path: auditPath, tag: "audit", role: fleet.Admin, timeout: queryTimeout,
		summary: "Who did what to what, newest first",
		description: "As JSON a page; as NDJSON or CSV all entries from the cursor on, streamed, without regard to limit; an answer that breaks off is not whole. " +
			"Entries are about everything, so an admin who may see only some hosts is refused. In CSV a text that a spreadsheet would take for a formula stands behind an apostrophe.",
		responses: map[string]*huma.Response{"200": {
			Description: "Entries.",
			Content:     map[string]*huma.MediaType{jsonType: {Schema: page}, ndjsonType: text, "text/csv": text},
		}},
	}, s.listAudit)
	register(s, operation{
		id: "listAuditSeals", method: http.MethodGet, path: auditPath + "/seals", tag: "audit", role: fleet.Admin,
		summary:     "The chain of seals over the audit log, oldest first",
		description: "Each stands for the entries of a month between two places in the order of life, tx and id. rollcall audit verify computes them again.",
	}, s.listAuditSeals)
}

type auditInput struct {
	Paged
	Actor    string    `query:"actor" maxLength:"300" doc:"exactly" example:"user:admin"`
	Action   string    `query:"action" maxLength:"300" doc:"exactly, or all that begin alike" example:"host.*"`
	Resource string    `query:"resource" maxLength:"300" doc:"a type, or type:id" example:"host"`
	Outcome  string    `query:"outcome" enum:"ok,denied"`
	Address  string    `query:"address" maxLength:"300" doc:"an IP address, or a network that holds it" example:"192.0.2.0/24"`
	Since    time.Time `query:"since" doc:"inclusive"`
	Until    time.Time `query:"until" doc:"exclusive"`
	Format   string    `query:"format" enum:"json,ndjson,csv" doc:"instead of Accept"`
	Accept   string    `header:"Accept"`
}

func (in auditInput) filter() store.AuditFilter {
	return store.AuditFilter{
		Actor: in.Actor, Action: in.Action, Resource: in.Resource, Outcome: in.Outcome, Address: in.Address, Since: in.Since, Until: in.Until,
	}
}

// mayAudit returns an error unless actor is an admin of all hosts.
func mayAudit(actor fleet.Actor) error {
	err := actor.Require(fleet.Admin)
	if err == nil && actor.Selector != nil {
		err = fleet.Errorf(fleet.Forbidden, "the audit log is about everything, and you may see only some hosts").WithCode("outside_scope")
	}
	return err
}

func (s *server) listAudit(ctx context.Context, in *auditInput) (*huma.StreamResponse, error) {
	actor := session.Actor(ctx)
	if err := mayAudit(actor); err != nil {
		return nil, err
	}
	filter, page, format := in.filter(), in.page(), formatOf(in.Format, in.Accept)
	if format != jsonType {
		page.Limit = auditPage
	}
	records, next, err := s.Store.AuditRecords(ctx, actor.Scope(), filter, page)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", format)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		out := bufio.NewWriterSize(deadlined{w, http.NewResponseController(w)}, 64<<10)
		var err error
		switch format {
		case jsonType:
			err = json.NewEncoder(out).Encode(wire.ListOf(records, next, wire.AuditEntryView))
		default:
			write := auditLines(out, format)
			for err = write(records); err == nil && next != ""; {
				page.After = next
				if records, next, err = s.Store.AuditRecords(ctx, actor.Scope(), filter, page); err == nil {
					err = write(records)
				}
			}
		}
		if err != nil || out.Flush() != nil {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}}, nil
}

// auditLines returns what writes entries to out in a format for programs.
func auditLines(out *bufio.Writer, format string) func([]fleet.AuditRecord) error {
	if format == ndjsonType {
		encoder := json.NewEncoder(out)
		return func(records []fleet.AuditRecord) error {
			for _, r := range records {
				if err := encoder.Encode(wire.AuditEntryView(r)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	table, headed := csv.NewWriter(out), false
	return func(records []fleet.AuditRecord) error {
		if !headed {
			headed = true
			_ = table.Write([]string{"created_at", "actor", "action", "outcome", "resource_type", "resource_id", "ip_address", "details", "user_id", "id", "life", "tx"})
		}
		for _, r := range records {
			user := ""
			if r.UserID != nil {
				user = r.UserID.String()
			}
			_ = table.Write([]string{
				r.CreatedAt.Format(time.RFC3339Nano), wire.CSVText(r.Actor), wire.CSVText(r.Action), r.Outcome, wire.CSVText(r.ResourceType), wire.CSVText(r.ResourceID), r.Address,
				wire.CSVText(string(r.Details)), user, r.ID.String(), strconv.Itoa(r.Life), strconv.FormatInt(r.Tx, 10),
			})
		}
		table.Flush()
		return table.Error()
	}
}

func (s *server) listAuditSeals(ctx context.Context, in *Paged) (*body[wire.List[wire.AuditSeal]], error) {
	if err := mayAudit(session.Actor(ctx)); err != nil {
		return nil, err
	}
	after := int64(0)
	if in.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || after < 0 {
			return nil, fleet.InvalidField("cursor", "this is not a cursor that a list has answered with")
		}
	}
	seals, err := s.Store.AuditSeals(ctx, after, in.Limit)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(seals) == in.Limit {
		next = strconv.FormatInt(seals[len(seals)-1].Seq, 10)
	}
	return answer(wire.ListOf(seals, next, wire.AuditSealView)), nil
}
