package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type hostKeysCommand struct {
	Ls     hostKeysLsCommand     `cmd:"" help:"List the SSH keys that a host has shown."`
	Trust  hostKeysTrustCommand  `cmd:"" help:"Trust a key. Compare its fingerprint with the host's own first."`
	Revoke hostKeysRevokeCommand `cmd:"" help:"Revoke a key. A host that shows it is offered no credential."`
}

func hostKeyColumns() []column[wire.HostKey] {
	return []column[wire.HostKey]{
		col("FINGERPRINT", func(k wire.HostKey) any { return k.Fingerprint }),
		col("ALGORITHM", func(k wire.HostKey) any { return k.Algorithm }),
		col("STATE", func(k wire.HostKey) any { return k.State }),
		col("FIRST SEEN", func(k wire.HostKey) any { return k.FirstSeen }),
		col("LAST SEEN", func(k wire.HostKey) any { return k.LastSeen }),
		col("DECIDED BY", func(k wire.HostKey) any { return k.DecidedBy }),
		col("REASON", func(k wire.HostKey) any { return k.Reason }),
		col("ID", func(k wire.HostKey) any { return k.ID }),
	}
}

type hostKeysLsCommand struct {
	Host string `arg:"" help:"Name or ID."`
	output
}

// Run lists a host's keys.
func (c hostKeysLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	host, err := findHost(ctx, server, c.Host)
	if err != nil {
		return err
	}
	keys, err := server.HostKeys(ctx, host.ID)
	if err != nil {
		return err
	}
	return list(in, c.output, seqOf(keys), hostKeyColumns()...)
}

type hostKeysTrustCommand struct {
	Host   string `arg:"" help:"Name or ID."`
	Key    string `arg:"" optional:"" help:"Fingerprint or ID; not needed if only one key waits for a decision."`
	Reason string `help:"Kept with the key and in the audit log." placeholder:"TEXT"`
}

// Run trusts a key.
func (c hostKeysTrustCommand) Run(ctx context.Context, in Invocation) error {
	server, host, key, err := findHostKey(ctx, in, c.Host, c.Key)
	if err != nil {
		return err
	}
	decided, err := server.TrustHostKey(ctx, host.ID, key.ID, c.Reason)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "%s of %s is %s.\n", plain(decided.Fingerprint), host.Name, decided.State)
	return err
}

type hostKeysRevokeCommand struct {
	Host   string `arg:"" help:"Name or ID."`
	Key    string `arg:"" help:"Fingerprint or ID."`
	Reason string `help:"Kept with the key and in the audit log." placeholder:"TEXT"`
}

// Run revokes a key.
func (c hostKeysRevokeCommand) Run(ctx context.Context, in Invocation) error {
	server, host, key, err := findHostKey(ctx, in, c.Host, c.Key)
	if err != nil {
		return err
	}
	decided, err := server.RevokeHostKey(ctx, host.ID, key.ID, c.Reason)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(in.Stdout, "%s of %s is %s.\n", plain(decided.Fingerprint), host.Name, decided.State)
	return err
}

// findHostKey returns a key of a host by its fingerprint or ID, or the only one that nobody has decided on.
func findHostKey(ctx context.Context, in Invocation, hostName, name string) (*client.Client, wire.Host, wire.HostKey, error) {
	server, err := connect(in)
	if err != nil {
		return nil, wire.Host{}, wire.HostKey{}, err
	}
	host, err := findHost(ctx, server, hostName)
	if err != nil {
		return nil, host, wire.HostKey{}, err
	}
	keys, err := server.HostKeys(ctx, host.ID)
	if err != nil {
		return nil, host, wire.HostKey{}, err
	}
	key, err := pickKey(keys, name)
	if err != nil {
		return nil, host, key, fmt.Errorf("%w; rollcall host-keys ls %s shows them", err, host.Name)
	}
	return server, host, key, nil
}

func pickKey(keys []wire.HostKey, name string) (wire.HostKey, error) {
	id, _ := uuid.Parse(name) // the zero ID is that of no key
	var found []wire.HostKey
	for _, k := range keys {
		waits := k.State == "pending" || k.State == "changed"
		if name == "" && waits || name != "" && (k.Fingerprint == name || k.ID == id) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return wire.HostKey{}, errors.New("the host has shown no such key")
	case len(found) == 0:
		return wire.HostKey{}, errors.New("no key of the host waits for a decision")
	}
	return wire.HostKey{}, usage{errors.New("several keys of the host wait for a decision: say which")}
}
