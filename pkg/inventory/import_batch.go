package inventory

import (
	"context"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// A plan is what a batch is going to do.
type plan struct {
	create   []fleet.Host
	created  []int // outcomes of create, by index
	update   []hostChange
	updated  []int // outcomes of update, by index
	outcomes []Outcome
}

type hostChange struct{ before, after fleet.Host }

// batch stores some of the hosts in one transaction and reports what became of them once it is committed.
func (im *importing) batch(ctx context.Context, hosts []candidate) error {
	var p plan
	err := im.Store.InTx(ctx, func(tx *store.Store) error {
		var err error
		if p, err = im.plan(ctx, tx, hosts); err != nil || im.dryRun {
			return err
		}
		return im.carryOut(ctx, tx, &p)
	})
	if err != nil {
		return err
	}
	for _, o := range p.outcomes {
		im.report(o)
	}
	return nil
}

// plan compares the hosts with what there is.
func (im *importing) plan(ctx context.Context, tx *store.Store, hosts []candidate) (plan, error) {
	names := make([]string, len(hosts))
	for i, c := range hosts {
		names[i] = c.given.Name
	}
	existing, err := tx.HostsByName(ctx, fleet.Everything(), names) // a name is taken whoever sees it
	if err != nil {
		return plan{}, err
	}
	known, err := im.knownCredentials(ctx, tx, hosts, existing)
	if err != nil {
		return plan{}, err
	}
	p := plan{outcomes: make([]Outcome, len(hosts))}
	for i, c := range hosts {
		before, exists := existing[c.given.Name]
		p.outcomes[i] = Outcome{Line: c.line, Name: c.given.Name}
		p.outcomes[i].Result, p.outcomes[i].Err = im.decide(&p, i, c, before, exists, known)
	}
	return p, nil
}

// decide says what is to become of one host, and puts it into the plan.
func (im *importing) decide(p *plan, i int, c candidate, before fleet.Host, exists bool, known map[uuid.UUID]fleet.Credential) (Result, error) {
	base := fleet.Host{Enabled: true}
	if exists {
		if !im.actor.Scope().Sees(before) {
			return Refused, outsideScope(im.actor)
		}
		base = before
	}
	after := c.given.apply(base)
	if c.inline != nil {
		if c.inline.err != nil {
			return Refused, c.inline.err
		}
		after.CredentialID = &c.inline.id
	}
	after = withDefaults(after)
	if err := checkHost(after); err != nil {
		return Refused, err
	}
	if !im.actor.Scope().Sees(after) {
		return Refused, outsideScope(im.actor)
	}
	if err := credentialProblem(known, after); err != nil {
		return Refused, err
	}
	switch {
	case !exists:
		after.ID = fleet.NewID()
		p.create, p.created = append(p.create, after), append(p.created, i)
		return Created, nil
	case len(changes(before, after)) == 0:
		return Unchanged, nil
	}
	p.update, p.updated = append(p.update, hostChange{before, after}), append(p.updated, i)
	return Updated, nil
}

// knownCredentials returns the credentials that the hosts use or will use. In a dry run those that the import brings
// along are known without being stored.
func (im *importing) knownCredentials(ctx context.Context, tx *store.Store, hosts []candidate, existing map[string]fleet.Host) (map[uuid.UUID]fleet.Credential, error) {
	wanted := map[uuid.UUID]bool{}
	for _, c := range hosts {
		for _, id := range credentialIDs(c.given.apply(existing[c.given.Name])) {
			wanted[id] = true
		}
		if c.inline != nil {
			wanted[c.inline.id] = true
		}
	}
	ids := make([]uuid.UUID, 0, len(wanted))
	for id := range wanted {
		ids = append(ids, id)
	}
	known, err := tx.CredentialsByID(ctx, ids)
	if err != nil {
		return known, err
	}
	if err := usable(ctx, tx, im.actor, known); err != nil || !im.dryRun {
		return known, err
	}
	for _, in := range im.credentials {
		c := known[in.id]
		for site := range in.sites {
			c.Sites = append(c.Sites, site)
		}
		known[in.id] = c
	}
	return known, nil
}

// carryOut stores what the plan says, and corrects its outcomes where somebody else was faster.
func (im *importing) carryOut(ctx context.Context, tx *store.Store, p *plan) error {
	var entries []fleet.AuditEntry
	if len(p.create) > 0 {
		stored, err := tx.AddHosts(ctx, p.create)
		if err != nil {
			return err
		}
		for i, h := range p.create {
			if !stored[h.ID] {
				o := &p.outcomes[p.created[i]]
				o.Result, o.Err = Refused, fieldError("name", "name_taken", "a host of that name was added meanwhile")
				continue
			}
			entries = append(entries, hostEntry("create", h.ID, map[string]any{"name": h.Name, "address": h.Address, "import": im.id.String()}))
		}
	}
	for i, change := range p.update {
		_, err := tx.UpdateHost(ctx, change.after)
		if fleet.KindOf(err) == fleet.Precondition {
			o := &p.outcomes[p.updated[i]]
			o.Result, o.Err = Refused, err
			continue
		}
		if err != nil {
			return err
		}
		if err := suspendKeys(ctx, tx, im.actor, change.before, change.after); err != nil {
			return err
		}
		entries = append(entries, hostEntry("update", change.after.ID, map[string]any{
			"name": change.after.Name, "changed": changes(change.before, change.after), "import": im.id.String(),
		}))
	}
	return tx.AuditAll(ctx, im.actor, entries)
}
