package up

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// maxPrinted bounds how many hosts' reports are printed as a table.
const maxPrinted = 10

// print prints what was learned, and unless Once is set how to go on.
func (u *run) print(ctx context.Context, b *process.Backends, c fleet.Collection, hosts []uuid.UUID) error {
	if u.JSON {
		if err := u.printJSON(ctx, b, hosts); err != nil {
			return err
		}
	} else if err := u.printTable(ctx, b, c, hosts); err != nil {
		return err
	}
	if !u.Once {
		return u.printNext()
	}
	if u.password != "" {
		_, _ = fmt.Fprintf(u.Stderr, "The first admin was made: user admin, password %s — it is shown only now.\n", u.password)
	}
	return nil
}

// printJSON prints the reports as one array, in the form of GET /api/v1/reports/{id}.
func (u *run) printJSON(ctx context.Context, b *process.Backends, hosts []uuid.UUID) error {
	views := []wire.Report{}
	for _, host := range hosts {
		reports, err := b.Store.LatestReports(ctx, fleet.Everything(), host, "")
		if err != nil {
			return err
		}
		for _, r := range reports {
			views = append(views, wire.ReportView(r))
		}
	}
	out := json.NewEncoder(u.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(views)
}

func (u *run) printTable(ctx context.Context, b *process.Backends, c fleet.Collection, hosts []uuid.UUID) error {
	t := table.NewWriter()
	t.SetOutputMirror(u.Stdout)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"Host", "Report", "Status", "In short"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 4, WidthMax: 100}})
	for _, host := range hosts[:min(len(hosts), maxPrinted)] {
		reports, err := b.Store.LatestReports(ctx, fleet.Everything(), host, "")
		if err != nil {
			return err
		}
		for _, r := range reports {
			t.AppendRow(table.Row{r.Host, r.Type, r.Status, inShort(r)})
		}
	}
	t.Render()
	took := ""
	if c.StartedAt != nil && c.FinishedAt != nil {
		took = fmt.Sprintf(" in %.2f s", c.FinishedAt.Sub(*c.StartedAt).Seconds())
	}
	_, err := fmt.Fprintf(u.Stdout, "%d of %d hosts collected%s: %s\n", c.Counts.Succeeded+c.Counts.Partial, c.Counts.Total, took, c.State)
	for _, code := range slices.Sorted(maps.Keys(c.Errors)) {
		_, _ = fmt.Fprintf(u.Stdout, "  %d × %s: %s\n", c.Errors[code], code, code.Info().Remedy)
	}
	return err
}

// printNext prints where everything is and what to try. The password is printed this once, to standard error, so that
// it does not end up in a file with the reports.
func (u *run) printNext() error {
	out := &strings.Builder{}
	fmt.Fprintf(out, "\nRollcall is at %s (gRPC at %s), its data in %s.\n", u.url(), u.grpc, u.Data)
	if u.password != "" {
		fmt.Fprintf(out, "Sign in as admin with the password %s — it is shown only now.\n", u.password)
	} else {
		fmt.Fprintln(out, "Sign in as admin with the password you know.")
	}
	if u.back.redisNote != "" {
		fmt.Fprintf(out, "Note: %s\n", u.back.redisNote)
	}
	fmt.Fprintf(out, `
Three things to try next:
  1. Look at this machine: %[1]s/
  2. Sign in on the command line, collect again, and see what has changed:
       rollcall login %[1]s --username admin
       rollcall collect '*' --wait
       rollcall changes
  3. Add a host over SSH: rollcall hosts add --help, or start again with --simulate 20 --drift 10%%.
     Without rollcall installed, say go run ./rollcall; the API is explained at %[1]s/docs.
Ctrl-C stops everything.
`, u.url())
	_, err := fmt.Fprint(u.Stderr, out.String())
	return err
}
