package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type hostsCommand struct {
	Ls     hostsLsCommand     `cmd:"" help:"List hosts, by name."`
	Show   hostsShowCommand   `cmd:"" help:"Show one host and how its last collection went."`
	Add    hostsAddCommand    `cmd:"" help:"Add a host."`
	Rm     hostsRmCommand     `cmd:"" help:"Retire hosts. Their reports stay, and their names are free again."`
	Import hostsImportCommand `cmd:"" help:"Add and update hosts from a file."`
}

func hostColumns() []column[wire.Host] {
	return []column[wire.Host]{
		col("NAME", func(h wire.Host) any { return h.Name }),
		col("ADDRESS", func(h wire.Host) any { return h.Address }),
		col("PORT", func(h wire.Host) any { return h.Port }),
		col("SITE", func(h wire.Host) any { return h.Site }),
		col("LABELS", func(h wire.Host) any { return h.Labels }),
		col("STATUS", hostStatus),
		col("CODE", func(h wire.Host) any { return orZero(h.Status).Code }),
		col("LAST", func(h wire.Host) any { return orZero(h.Status).FinishedAt }),
	}
}

// hostStatus returns how fresh what is known of a host is.
func hostStatus(h wire.Host) any {
	if !h.Enabled {
		return "disabled"
	}
	return orZero(h.Status).Freshness
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

type hostsLsCommand struct {
	Selector string `arg:"" optional:"" help:"Which hosts, such as name=web-1 or 'env=prod and not role=db'; all without it."`
	Q        string `name:"q" help:"Part of a name or an address." placeholder:"TEXT"`
	Site     string `help:"Only hosts of this site." placeholder:"SITE"`
	Status   string `help:"Only hosts that are fresh, stale, failing, never collected (never) or disabled." enum:",fresh,stale,failing,never,disabled" default:"" placeholder:"STATUS"`
	Code     string `help:"Only hosts that are failing with this code, such as auth_failed." placeholder:"CODE"`
	output
}

// Run lists hosts.
func (c hostsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	q := client.HostQuery{Selector: c.Selector, Search: c.Q, Site: c.Site, Status: c.Status, Code: c.Code}
	return list(in, c.output, server.Hosts(ctx, q, client.PageSize(maxPage)), hostColumns()...)
}

type hostsShowCommand struct {
	Host string `arg:"" help:"Name or ID."`
	output
}

// Run shows one host.
func (c hostsShowCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := findHost(ctx, server, c.Host)
	if err != nil {
		return err
	}
	more := []column[wire.Host]{
		col("SINCE", func(h wire.Host) any { return orZero(h.Status).Since }),
		col("STALE AT", func(h wire.Host) any { return exact(orZero(h.Status).StaleAt) }),
		col("COVERED BY", func(h wire.Host) any { return orZero(h.Status).CoveredBy }),
		col("LAST TASK", func(h wire.Host) any { return orZero(h.Status).State }),
		col("FAILURES", func(h wire.Host) any { return orZero(h.Status).Failures }),
		col("CONNECTION", func(h wire.Host) any { return h.Connection }),
		col("CREDENTIAL", func(h wire.Host) any { return h.CredentialID }),
		col("BECOME", func(h wire.Host) any { return h.SSH.Become }),
		col("HOST KEY POLICY", func(h wire.Host) any { return h.SSH.HostKeyPolicy }),
		col("MACHINE ID", func(h wire.Host) any { return h.MachineID }),
		col("CREATED", func(h wire.Host) any { return h.CreatedAt }),
		col("ID", func(h wire.Host) any { return h.ID }),
	}
	return one(in, c.output, host, append(hostColumns(), more...)...)
}

// findHost returns the host of that name or ID.
func findHost(ctx context.Context, server *client.Client, name string) (wire.Host, error) {
	if id, err := uuid.Parse(name); err == nil {
		host, err := server.Host(ctx, id)
		if !isStatus(err, http.StatusNotFound) {
			return host, err
		}
	}
	host, err := server.HostByName(ctx, name)
	if isStatus(err, http.StatusNotFound) {
		return host, fmt.Errorf("%w; rollcall hosts ls shows which there are", err)
	}
	return host, err
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Status == status
}

type hostsAddCommand struct {
	Name          string            `arg:"" help:"What to call it."`
	Address       string            `arg:"" optional:"" help:"Host name or IP address (the name)."`
	Port          int               `help:"Port of sshd (22)." placeholder:"N"`
	Site          string            `help:"Whose workers collect from it (default)." placeholder:"SITE"`
	Label         map[string]string `short:"l" help:"A label; may be given several times." placeholder:"KEY=VALUE" mapsep:"none"`
	Credential    string            `short:"c" help:"Name or ID of the credential that lets us in." placeholder:"NAME"`
	Connection    string            `help:"How it is reached: ${enum}." enum:"ssh,local" default:"ssh"`
	HostKeyPolicy string            `help:"Whether the first key that it shows is trusted (tofu), or has to be trusted by hand (strict)." enum:"tofu,strict" default:"tofu"`
	Become        string            `help:"How the account becomes root on it: ${enum}." enum:"none,sudo,doas" default:"none"`
	BecomeWith    string            `help:"Name or ID of the credential with the password that sudo wants, if it wants one." placeholder:"NAME"`
	Disabled      bool              `help:"Do not collect from it yet."`
	output
}

// Run adds a host.
func (c hostsAddCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := c.input(ctx, server)
	if err != nil {
		return err
	}
	added, err := server.AddHost(ctx, host)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, added, hostColumns()...)
	}
	_, err = fmt.Fprintf(in.Stdout, "Added %s (%s). Next: rollcall collect name=%s --wait\n", added.Name, added.ID, added.Name)
	return err
}

func (c hostsAddCommand) input(ctx context.Context, server *client.Client) (wire.HostInput, error) {
	host := wire.HostInput{
		Name: c.Name, Labels: c.Label, Connection: &c.Connection, Enabled: new(!c.Disabled), Address: orNil(c.Address), Site: orNil(c.Site), Port: orNil(c.Port),
	}
	if c.Connection == "ssh" {
		host.Address = new(cmp.Or(c.Address, c.Name))
	}
	host.SSH = &wire.SSHInput{HostKeyPolicy: &c.HostKeyPolicy, Become: &c.Become}
	if c.BecomeWith != "" {
		credential, err := findCredential(ctx, server, c.BecomeWith)
		if err != nil {
			return host, err
		}
		host.SSH.BecomeCredentialID = &credential.ID
	}
	if c.Credential != "" {
		credential, err := findCredential(ctx, server, c.Credential)
		if err != nil {
			return host, err
		}
		host.CredentialID = &credential.ID
	}
	return host, nil
}

// orNil returns nil for the zero value.
func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

type hostsRmCommand struct {
	Hosts []string `arg:"" name:"host" help:"Names or IDs."`
}

// Run retires hosts.
func (c hostsRmCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, c.Hosts, func(name string) (string, error) {
		host, err := findHost(ctx, server, name)
		if err == nil {
			err = server.RetireHost(ctx, host.ID)
		}
		return "Retired " + host.Name + ".", err
	})
}

// each does something for each of the names, and tells of each. Some that fail make it partly failed.
func each(in Invocation, names []string, do func(name string) (string, error)) error {
	failed := 0
	for _, name := range names {
		said, err := do(name)
		if err != nil && len(names) == 1 {
			return err
		}
		if err != nil {
			failed++
			_, _ = fmt.Fprintf(in.Stderr, "%s: %s\n", plain(name), explain(err))
			continue
		}
		_, _ = fmt.Fprintln(in.Stdout, plain(said))
	}
	return someFailed(failed, len(names), "were not done")
}

// someFailed returns the error of a command of which that many parts have failed.
func someFailed(failed, total int, what string) error {
	err := errors.New(strconv.Itoa(failed) + " of " + strconv.Itoa(total) + " " + what)
	switch failed {
	case 0:
		return nil
	case total:
		return err
	}
	return partly{err}
}
