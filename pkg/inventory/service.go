// Package inventory is the rules about what there is to collect from: hosts, the SSH keys they are known by, the
// credentials that let us in, and their import. Every change is checked, made and audited in one transaction.
//
// Reading needs no rule but the scope, so readers go straight to the store.
package inventory

import (
	"context"
	"errors"
	"log/slog"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// Config is what a Service works with. All but Log and DigestKey are required.
type Config struct {
	Store *store.Store
	Seals *secret.SealKeys

	// ValidateKey checks that key is a usable private key, opened by passphrase if it is encrypted, and returns the
	// fingerprint of its public half. Its refusals are errors of kind Invalid that name private_key or passphrase.
	ValidateKey func(key, passphrase []byte) (fingerprint string, err error)

	// DigestKey keys the digest that tells imported passwords without a name apart. Without it, one user name can
	// have only one such password.
	DigestKey []byte

	Log *slog.Logger // nil: silent
}

// A Service is the rules. It is safe for concurrent use.
type Service struct {
	Config
}

// New returns a Service, or an error if something required is missing.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Seals == nil || c.ValidateKey == nil {
		return nil, errors.New("making the inventory: Store, Seals and ValidateKey are required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Config: c}, nil
}

// requireAdmin refuses everybody but admins; a refusal of somebody who is known is audited as denied.
func (s *Service) requireAdmin(ctx context.Context, actor fleet.Actor, e fleet.AuditEntry) error {
	err := actor.Require(fleet.Admin)
	if fleet.KindOf(err) == fleet.Forbidden {
		s.denied(ctx, actor, e)
	}
	return err
}

// denied writes that the actor tried. What it tried has been refused either way, so a failure is only logged.
func (s *Service) denied(ctx context.Context, actor fleet.Actor, e fleet.AuditEntry) {
	e.Denied = true
	err := s.Store.InTx(context.WithoutCancel(ctx), func(tx *store.Store) error {
		return tx.Audit(context.WithoutCancel(ctx), actor, e)
	})
	if err != nil {
		s.Log.WarnContext(ctx, "a refusal is not in the audit log", "action", e.Action, "error", err)
	}
}
