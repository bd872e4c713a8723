package inventory

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// requireWhole refuses everybody but admins who see all hosts: which credentials there are at which site is about all of them.
func (s *Service) requireWhole(ctx context.Context, actor fleet.Actor, e fleet.AuditEntry) error {
	if err := s.requireAdmin(ctx, actor, e); err != nil {
		return err
	}
	if actor.Selector == nil {
		return nil
	}
	s.denied(ctx, actor, e)
	return fleet.Errorf(fleet.Forbidden, "the seals are those of all hosts, and you may see some of them only")
}

// Reseal asks on behalf of actor, an admin who sees everything, that each seal of the sites (none: of all that there is a
// seal key for) that is not sealed to its site's current key is sealed to that. Workers of the sites do it: the answer is
// a collection of kind reseal, which ends when they have. It has ended already if there is nothing to do. A site without
// a seal key is Invalid.
func (s *Service) Reseal(ctx context.Context, actor fleet.Actor, sites []string) (fleet.Collection, error) {
	if err := s.requireWhole(ctx, actor, fleet.AuditEntry{Action: "credential.reseal", ResourceType: "collection"}); err != nil {
		return fleet.Collection{}, err
	}
	if len(sites) == 0 {
		sites = s.Seals.Sites()
	}
	var p problems
	s.checkSites(&p, sites)
	if err := p.err(); err != nil {
		return fleet.Collection{}, err
	}
	current := make(map[string]string, len(sites))
	for _, site := range sites {
		current[site], _ = s.Seals.CurrentKey(site)
	}
	id := fleet.NewID()
	c := fleet.Collection{
		ID: id, Kind: fleet.KindReseal, Actor: actor.String(), RequestedBy: actor.UserID, Priority: fleet.PriorityNormal,
		Deadline: fleet.DefaultDeadline, ExpiresAt: fleet.TimeOf(id).Add(fleet.DefaultExpiry),
	}
	var stored fleet.Collection
	err := s.Store.InTx(ctx, func(tx *store.Store) error {
		added, err := tx.AddReseal(ctx, c, current)
		if err != nil {
			return err
		}
		err = tx.Audit(ctx, actor, fleet.AuditEntry{
			Action: "credential.reseal", ResourceType: "collection", ResourceID: id.String(),
			Details: map[string]any{"sites": slices.Sorted(slices.Values(sites)), "keys": current, "total": added.Counts.Total},
		})
		if err != nil {
			return err
		}
		stored, err = tx.Collection(ctx, actor.Scope(), id)
		return err
	})
	return stored, err
}

// Reseals returns a page of what a collection of kind reseal is made of, for an admin who sees everything.
func (s *Service) Reseals(ctx context.Context, actor fleet.Actor, id uuid.UUID, state fleet.TaskState, page fleet.Page) ([]fleet.Reseal, string, error) {
	if err := s.requireWhole(ctx, actor, fleet.AuditEntry{Action: "credential.seals", ResourceType: "collection", ResourceID: id.String()}); err != nil {
		return nil, "", err
	}
	c, err := s.Store.Collection(ctx, actor.Scope(), id)
	if err == nil && c.Kind != fleet.KindReseal {
		err = fleet.Errorf(fleet.NotFound, "there is no collection of the kind reseal with this ID")
	}
	if err != nil {
		return nil, "", err
	}
	return s.Store.Reseals(ctx, id, state, page)
}

// SealCounts returns how many credentials are sealed to which key of which site, for an admin who sees everything. silence is after what time a worker that has
// not been seen counts as gone.
func (s *Service) SealCounts(ctx context.Context, actor fleet.Actor, silence time.Duration) ([]fleet.SealCount, error) {
	if err := s.requireWhole(ctx, actor, fleet.AuditEntry{Action: "credential.seals", ResourceType: "credential"}); err != nil {
		return nil, err
	}
	counts, err := s.Store.SealCounts(ctx, silence)
	if err != nil {
		return nil, err
	}
	for i, c := range counts {
		id, ok := s.Seals.CurrentKey(c.Site)
		counts[i].Current = ok && id == c.KeyID
	}
	return counts, nil
}
