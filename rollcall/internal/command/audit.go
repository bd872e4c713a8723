package command

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/ledger"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	lastEntries = 50
	keptMonths  = 13               // audit entries are never dropped before that
	sealLag     = 10 * time.Minute // after which an entry should have been sealed
	maxEntry    = 16 << 20         // bytes of a line of an export
)

type auditCommand struct {
	Ls     auditLsCommand     `cmd:"" default:"withargs" help:"Who did what to what, the newest first."`
	Seals  auditSealsCommand  `cmd:"" help:"The seals over the audit log, oldest first."`
	Verify auditVerifyCommand `cmd:"" help:"Compute all seals again, here, and compare."`
}

type auditLsCommand struct {
	Actor    string `help:"Only of this actor, such as user:admin." placeholder:"ACTOR"`
	Action   string `help:"Only this action, or a group such as 'host.*'." placeholder:"ACTION"`
	Resource string `help:"Only of this type, such as host, or of one thing: host:ID." placeholder:"RESOURCE"`
	Outcome  string `help:"Only ok or denied." enum:",ok,denied" default:"" placeholder:"OUTCOME"`
	Address  string `help:"Only from this address or network." placeholder:"ADDRESS"`
	Since    moment `help:"Only from this time on: 24h ago, 2026-01-31, 2026-01-31T15:04:05Z." placeholder:"TIME"`
	Until    moment `help:"Only before this time." placeholder:"TIME"`
	Limit    *int   `short:"n" help:"How many (50, or all with --since), 0 for all." placeholder:"N"`
	output
}

// Run lists entries.
func (c auditLsCommand) Run(ctx context.Context, in Invocation) error {
	if c.Limit != nil && *c.Limit < 0 {
		return usage{errors.New("--limit is a number from 0 on")}
	}
	server, err := connect(in)
	if err != nil {
		return err
	}
	limit := lastEntries
	if c.Limit != nil {
		limit = *c.Limit
	} else if !c.Since.IsZero() {
		limit = 0
	}
	size := maxPage
	if limit > 0 {
		size = min(limit, maxPage)
	}
	entries := server.Audit(ctx, client.AuditQuery{
		Actor: c.Actor, Action: c.Action, Resource: c.Resource, Outcome: c.Outcome, Address: c.Address, Since: c.Since.Time, Until: c.Until.Time,
	}, client.PageSize(size))
	return list(in, c.output, firstOf(limit, entries),
		col("TIME", func(e wire.AuditEntry) any { return e.CreatedAt }),
		col("ACTOR", func(e wire.AuditEntry) any { return e.Actor }),
		col("ACTION", func(e wire.AuditEntry) any { return e.Action }),
		col("OUTCOME", func(e wire.AuditEntry) any { return e.Outcome }),
		col("RESOURCE", func(e wire.AuditEntry) any {
			return strings.TrimSuffix(e.ResourceType+":"+e.ResourceID, ":")
		}),
		col("ADDRESS", func(e wire.AuditEntry) any { return e.Address }),
		col("DETAILS", func(e wire.AuditEntry) any { return strings.TrimPrefix(string(e.Details), "{}") }),
	)
}

type auditSealsCommand struct{ output }

// Run lists seals.
func (c auditSealsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return list(in, c.output, server.AuditSeals(ctx, client.PageSize(maxPage)),
		col("SEAL", func(s wire.AuditSeal) any { return s.Seq }),
		col("SEALED AT", func(s wire.AuditSeal) any { return s.SealedAt }),
		col("MONTH", func(s wire.AuditSeal) any { return s.Month.Format("2006-01") }),
		col("ENTRIES", func(s wire.AuditSeal) any { return s.Entries }),
		col("ROOT", func(s wire.AuditSeal) any { return s.Root }),
	)
}

type auditVerifyCommand struct {
	ExpectRoot string `help:"A root that was noted before: the chain has to hold it." placeholder:"HEX"`
	File       string `help:"Entries from a file, as 'rollcall audit -n 0 -o ndjson' writes it, instead of from the server." placeholder:"FILE"`
	Seals      string `help:"Seals from a file, as 'rollcall audit seals -o ndjson' writes it; goes with --file." placeholder:"FILE"`
	Output     string `short:"o" help:"How to print: ${enum}." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// Help is what --help adds.
func (auditVerifyCommand) Help() string {
	return `All seals and entries are downloaded, and every root is computed again on this machine: the server is not believed.
Exit status 1 says that something was altered, removed or added.

Who owns the database can write all seals anew. A root that you noted elsewhere, which this command prints and the
scheduler logs, shows that: give it as --expect-root. Entries whose months were dropped by retention, 13 months old or
more, are told and are no fault; write seals to a file before entries when you keep both.`
}

// Run verifies the audit log.
func (c auditVerifyCommand) Run(ctx context.Context, in Invocation) error {
	var expected ledger.Hash
	if c.ExpectRoot != "" {
		data, err := hex.DecodeString(c.ExpectRoot)
		if err != nil || len(data) != len(expected) {
			return usage{errors.New("--expect-root is 64 hexadecimal digits")}
		}
		copy(expected[:], data)
	}
	if (c.File == "") != (c.Seals == "") {
		return usage{errors.New("--file and --seals go together")}
	}
	seals, entries, err := c.sources(ctx, in)
	if err != nil {
		return err
	}
	oldest := time.Now().UTC().AddDate(0, -keptMonths, 0)
	v := ledger.Verifier{Kept: func(month time.Time) bool { return month.AddDate(0, 1, 0).After(oldest) }}
	for s, err := range seals { // before the entries: what is sealed meanwhile is no fault
		if err != nil {
			return err
		}
		v.Seal(s.Seal())
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		v.Entry(e.Record())
	}
	f := v.Verify()
	if err := c.print(in, f); err != nil {
		return err
	}
	if !f.OK() {
		return fmt.Errorf("the audit log is not what was sealed: %d problems", len(f.Problems))
	}
	if c.ExpectRoot != "" && !v.Holds(expected) {
		return errors.New("the chain does not hold the expected root: it has been written anew since, or this is another log")
	}
	return nil
}

func (c auditVerifyCommand) sources(ctx context.Context, in Invocation) (iter.Seq2[wire.AuditSeal, error], iter.Seq2[wire.AuditEntry, error], error) {
	if c.File != "" {
		return fromFile[wire.AuditSeal](c.Seals), fromFile[wire.AuditEntry](c.File), nil
	}
	server, err := connect(in)
	if err != nil {
		return nil, nil, err
	}
	return server.AuditSeals(ctx, client.PageSize(maxPage)), server.Audit(ctx, client.AuditQuery{}, client.PageSize(maxPage)), nil
}

func (c auditVerifyCommand) print(in Invocation, f ledger.Finding) error {
	if c.Output == asJSON {
		return json.NewEncoder(in.Stdout).Encode(f)
	}
	out := bufio.NewWriter(in.Stdout)
	for _, p := range f.Problems {
		_, _ = fmt.Fprintf(out, "%s: seal %d of %s (%s): %s\n", p.Kind, p.Seal, p.SealedAt.UTC().Format(time.RFC3339), p.Month.UTC().Format("2006-01"), p.Message)
	}
	_, _ = fmt.Fprintf(out, "%d seals, %d sealed entries, %d not sealed yet\n", f.Seals, f.Entries, f.Unsealed)
	if f.Dropped > 0 {
		_, _ = fmt.Fprintf(out, "%d seals are of months whose entries were dropped by retention\n", f.Dropped)
	}
	if !f.Oldest.IsZero() && time.Since(f.Oldest) > sealLag && c.File == "" {
		_, _ = fmt.Fprintf(out, "the oldest entry that is not sealed is of %s: is a scheduler running?\n", f.Oldest.UTC().Format(time.RFC3339))
	}
	if f.Head != "" {
		_, _ = fmt.Fprintf(out, "last root %s\n", f.Head)
	}
	return out.Flush()
}

// fromFile returns the JSON values of a file, one a line.
func fromFile[T any](name string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		file, err := os.Open(name) //nolint:gosec // the file that the caller names
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = file.Close() }()
		for item, err := range linesOf[T](file) {
			if err != nil {
				err = fmt.Errorf("reading %s: %w", name, err)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

func linesOf[T any](r io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxEntry)
		for lines.Scan() {
			var item T
			err := json.Unmarshal(lines.Bytes(), &item)
			if !yield(item, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
