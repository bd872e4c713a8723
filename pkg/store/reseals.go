package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// AddReseal stores c, of kind reseal, with a part for each seal whose site is in current and whose key is not the one that
// current names for it. It returns c with its total. Without such a seal the collection has ended at once.
func (s *Store) AddReseal(ctx context.Context, c fleet.Collection, current map[string]string) (fleet.Collection, error) {
	c.CreatedAt = fleet.TimeOf(c.ID)
	w := newWhere()
	w.args["host_ids"] = nil
	w.collectionArgs(c)
	var sites, keys []string
	for site, key := range current {
		sites, keys = append(sites, site), append(keys, key)
	}
	w.args["sites"], w.args["keys"] = sites, keys
	err := s.db.QueryRow(ctx, `
		with outdated as materialized (
			select s.credential_id, s.site, s.key_id as from_key, k.key_id
			from unnest(@sites::text[], @keys::text[]) k(site, key_id) join credential_seals s on s.site = k.site and s.key_id <> k.key_id
		), collection as (
			insert into collections (id, created_at, kind, requested_by, actor, selector, report_types, priority, state, total, deadline_seconds, expires_at)
			select @id, @created_at, @kind, @requested_by, @actor, nullif(@selector, ''), coalesce(@report_types::text[], '{}'), @priority, 'pending',
				(select count(*) from outdated), @deadline_seconds, @expires_at
		), reseals as (
			insert into reseals (collection_id, credential_id, site, from_key, key_id)
			select @id, credential_id, site, from_key, key_id from outdated
		)
		select count(*) from outdated`, w.args).Scan(&c.Counts.Total)
	if err != nil {
		return c, fail(err, "adding a collection that reseals")
	}
	c.State, c.Counts.Queued = fleet.CollectionPending, c.Counts.Total
	if c.Counts.Total == 0 {
		_, err = s.FinishCollections(ctx, &c.ID, 1)
		c.State = fleet.CollectionSucceeded
	}
	return c, err
}

// An OutdatedSeal is a seal that is to be sealed anew.
type OutdatedSeal struct {
	CollectionID uuid.UUID
	CredentialID uuid.UUID
	WantedKey    string // the ID of the key that the api seals to
	Seal         fleet.Seal
}

// TakeReseals locks and returns at most limit of the seals that wait to be sealed anew and that the worker can: it serves their
// sites, holds the keys that they are sealed to, and its own current keys are the wanted ones. It belongs into a
// transaction that ends with EndReseals.
func (s *Store) TakeReseals(ctx context.Context, w fleet.Worker, limit int) ([]OutdatedSeal, error) {
	rows, _ := s.db.Query(ctx, `
		select r.collection_id, r.credential_id, r.key_id, s.site, s.key_id, s.sealed
		from reseals r join credential_seals s on s.credential_id = r.credential_id and s.site = r.site
		where r.state = 'queued' and r.site = any(@sites) and r.site || '/' || r.key_id = any(@current)
			and s.key_id <> r.key_id and s.site || '/' || s.key_id = any(@open)
			and not exists (select from collections c where c.id = r.collection_id and c.cancel_requested_at is not null)
		order by r.credential_id, r.site limit @limit for update of r skip locked`,
		pgx.NamedArgs{"sites": w.Sites, "current": w.CurrentKeys, "open": w.OpenKeys, "limit": limit})
	seals, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OutdatedSeal, error) {
		var o OutdatedSeal
		err := row.Scan(&o.CollectionID, &o.CredentialID, &o.WantedKey, &o.Seal.Site, &o.Seal.KeyID, &o.Seal.Sealed)
		return o, err
	})
	return seals, fail(err, "taking seals to seal anew")
}

// ReplaceSeal stores anew in the place of the seal, unless somebody has replaced that meanwhile: then it reports false,
// and what is there stays.
func (s *Store) ReplaceSeal(ctx context.Context, credential uuid.UUID, former, anew fleet.Seal) (bool, error) {
	tag, err := s.db.Exec(ctx, `
		update credential_seals set key_id = $5, sealed = $6
		where credential_id = $1 and site = $2 and key_id = $3 and sealed = $4`,
		credential, former.Site, former.KeyID, former.Sealed, anew.KeyID, anew.Sealed)
	return err == nil && tag.RowsAffected() == 1, fail(err, "replacing a seal")
}

// EndReseals notes how the parts ended: their states and codes, and who did it.
func (s *Store) EndReseals(ctx context.Context, worker uuid.UUID, ended []fleet.Reseal) error {
	if len(ended) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for _, r := range ended {
		batch.Queue(`
			update reseals set state = $4, error_code = nullif($5, ''), worker_id = $6, finished_at = now()
			where collection_id = $1 and credential_id = $2 and site = $3 and state = 'queued'`,
			r.CollectionID, r.CredentialID, r.Site, string(r.State), string(r.Code), worker)
	}
	return fail(s.db.SendBatch(ctx, batch).Close(), "ending reseals")
}

func (s *Store) cancelReseals(ctx context.Context, collection uuid.UUID) (int, error) {
	tag, err := s.db.Exec(ctx, `
		update reseals set state = 'cancelled', error_code = $2, finished_at = now()
		where collection_id = $1 and state = 'queued'`, collection, string(fleet.CodeCancelled))
	return int(tag.RowsAffected()), fail(err, "cancelling reseals")
}

// sweepAtOnce bounds how many parts one statement of SettleReseals ends.
const sweepAtOnce = 5000

// SettleReseals ends the parts that need no worker or that none will do: the seal is gone or is sealed to the wanted key already,
// which is a success; the collection was cancelled or has expired; or, once the collection is older than patience, workers of
// the site are alive and none of them could. A site without workers waits. It returns how many it ended.
func (s *Store) SettleReseals(ctx context.Context, silence, patience time.Duration) (int, error) {
	tag, err := s.db.Exec(ctx, `
		with alive as materialized (
			select sites, coalesce(open_keys, '{}') as open_keys, coalesce(current_keys, '{}') as current_keys
			from workers where seen_at > now() - @silence::interval and exists (select from reseals where state = 'queued')
		), decided as materialized (
			select * from (
				select r.collection_id, r.credential_id, r.site, case
					when s.key_id is null or s.key_id = r.key_id then ''
					when c.cancel_requested_at is not null then 'cancelled'
					when c.expires_at < now() then 'expired'
					when c.created_at < now() - @patience::interval
						and exists (select from alive a where r.site = any(a.sites))
						and not exists (select from alive a where r.site = any(a.sites) and r.site || '/' || r.key_id = any(a.current_keys)
							and r.site || '/' || s.key_id = any(a.open_keys)) then 'no_open_key'
					end as code
				from reseals r join collections c on c.id = r.collection_id
					left join credential_seals s on s.credential_id = r.credential_id and s.site = r.site
				where r.state = 'queued'
			) d where code is not null limit @limit
		), locked as materialized (
			select r.collection_id, r.credential_id, r.site, d.code
			from reseals r join decided d using (collection_id, credential_id, site)
			where r.state = 'queued' for update of r skip locked
		)
		update reseals r set error_code = nullif(l.code, ''), finished_at = now(),
			state = case l.code when '' then 'succeeded' when 'cancelled' then 'cancelled' else 'failed' end
		from locked l where r.collection_id = l.collection_id and r.credential_id = l.credential_id and r.site = l.site`,
		pgx.NamedArgs{"silence": silence, "patience": patience, "limit": sweepAtOnce})
	return int(tag.RowsAffected()), fail(err, "settling reseals")
}

// Reseals returns a page of the parts of a collection of kind reseal, and the cursor of the next page; an empty state
// takes all.
func (s *Store) Reseals(ctx context.Context, collection uuid.UUID, state fleet.TaskState, page fleet.Page) ([]fleet.Reseal, string, error) {
	w := newWhere()
	w.add("r.collection_id = @collection", "collection", collection)
	if state != "" {
		w.add("r.state = @state", "state", string(state))
	}
	if page.After != "" {
		key, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add("r.credential_id::text || ' ' || r.site > @after collate \"C\"", "after", key)
	}
	limit := limitOf(page)
	w.args["limit"] = limit + 1
	rows, _ := s.db.Query(ctx, `
		select r.collection_id, r.credential_id, coalesce(c.name, ''), r.site, r.from_key, r.key_id, r.state, coalesce(r.error_code, ''), r.worker_id, r.finished_at
		from reseals r left join credentials c on c.id = r.credential_id
		where `+w.String()+` order by (r.credential_id::text || ' ' || r.site) collate "C" limit @limit`, w.args)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[fleet.Reseal])
	if err != nil {
		return nil, "", fail(err, "listing reseals")
	}
	found, next := cut(found, limit, func(r fleet.Reseal) string { return r.CredentialID.String() + " " + r.Site })
	return found, next, nil
}

// SealCounts returns how many credentials are sealed to which key, by site and key, and how many workers that were seen
// within silence hold it. Which key is current is not known here.
func (s *Store) SealCounts(ctx context.Context, silence time.Duration) ([]fleet.SealCount, error) {
	rows, _ := s.db.Query(ctx, `
		select s.site, s.key_id, s.n, (
			select count(*) from workers w where w.seen_at > now() - $1::interval and s.site = any(w.sites) and s.site || '/' || s.key_id = any(w.open_keys))
		from (select site, key_id, count(*) as n from credential_seals group by 1, 2) s order by 1, 2`, silence)
	counts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.SealCount, error) {
		var c fleet.SealCount
		err := row.Scan(&c.Site, &c.KeyID, &c.Seals, &c.Workers)
		return c, err
	})
	return counts, fail(err, "counting seals")
}

// ForgetReseals removes at most limit parts that ended longer than age ago. What the collections counted stays.
func (s *Store) ForgetReseals(ctx context.Context, age time.Duration, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		with old as materialized (
			select r.collection_id, r.credential_id, r.site from reseals r
			where r.finished_at < now() - $1::interval and not exists (select from collections c where c.id = r.collection_id)
			order by r.finished_at limit $2 for update skip locked
		)
		delete from reseals r using old
		where r.collection_id = old.collection_id and r.credential_id = old.credential_id and r.site = old.site`, age, limit)
	return int(tag.RowsAffected()), fail(err, "forgetting reseals")
}

// countReseals fills in the counts and errors of those of the open collections that reseal; at says where they are. Who
// does not see everything sees none of them.
func (s *Store) countReseals(ctx context.Context, scope fleet.Scope, found []fleet.Collection, at map[uuid.UUID]int) error {
	var ids []uuid.UUID
	for id, i := range at {
		if found[i].Kind == fleet.KindReseal {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || scope.SeesNothing() || scope.Selector() != nil {
		return nil
	}
	rows, _ := s.db.Query(ctx, `
		select collection_id, state, coalesce(error_code, ''), count(*), max(finished_at) from reseals
		where collection_id = any($1) group by 1, 2, 3`, ids)
	var id uuid.UUID
	var state fleet.TaskState
	var code fleet.Code
	var n int
	var finished *time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &state, &code, &n, &finished}, func() error {
		c := &found[at[id]]
		c.Counts.Add(state, n)
		if code != "" {
			c.Errors[code] += n
		}
		if finished != nil {
			c.StartedAt = new(c.CreatedAt)
		}
		return nil
	})
	return fail(err, "counting reseals")
}
