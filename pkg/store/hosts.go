package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// hostColumns is the one list of a host's columns; scanHost reads them in this order.
const hostColumns = `h.id, h.name, h.address, h.port, h.site, h.labels, h.credential_id, h.connection, h.jump_host_id,
	h.ssh, h.enabled, coalesce(h.machine_id, ''), h.version, h.created_at, h.updated_at`

// sshColumn is how a host's SSH options are kept.
type sshColumn struct {
	Become             fleet.Become        `json:"become,omitempty"`
	BecomeCredentialID *uuid.UUID          `json:"become_credential_id,omitempty"`
	HostKeyPolicy      fleet.HostKeyPolicy `json:"host_key_policy,omitempty"`
	Algorithms         string              `json:"algorithms,omitempty"`
	KeepaliveSeconds   *int                `json:"keepalive_seconds,omitempty"`
}

func scanHost(row pgx.CollectableRow) (fleet.Host, error) {
	var h fleet.Host
	var ssh sshColumn
	err := row.Scan(&h.ID, &h.Name, &h.Address, &h.Port, &h.Site, &h.Labels, &h.CredentialID, &h.Connection, &h.JumpHostID,
		&ssh, &h.Enabled, &h.MachineID, &h.Version, &h.CreatedAt, &h.UpdatedAt)
	h.SSH = fleet.SSHOptions(ssh)
	return h, err
}

func hostArgs(h fleet.Host) pgx.NamedArgs {
	labels := h.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return pgx.NamedArgs{
		"id": h.ID, "name": h.Name, "address": h.Address, "port": h.Port, "site": h.Site, "labels": labels,
		"credential_id": h.CredentialID, "connection": h.Connection, "jump_host_id": h.JumpHostID, "ssh": sshColumn(h.SSH),
		"enabled": h.Enabled, "version": h.Version,
	}
}

// Host returns the host of the ID, if the scope sees it.
func (s *Store) Host(ctx context.Context, scope fleet.Scope, id uuid.UUID) (fleet.Host, error) {
	w := newWhere()
	w.add("h.id = @id", "id", id)
	return s.oneHost(ctx, scope, w)
}

// HostByName returns the host of the name, if the scope sees it.
func (s *Store) HostByName(ctx context.Context, scope fleet.Scope, name string) (fleet.Host, error) {
	w := newWhere()
	w.add("h.name = @name", "name", name)
	return s.oneHost(ctx, scope, w)
}

func (s *Store) oneHost(ctx context.Context, scope fleet.Scope, w *where) (fleet.Host, error) {
	w.and("h.retired_at is null")
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+hostColumns+" from hosts h where "+w.String(), w.args)
	h, err := pgx.CollectExactlyOneRow(rows, scanHost)
	return h, notFound(err, "host")
}

// Hosts returns a page of the hosts that f selects within the scope, by name, and the cursor of the next page.
func (s *Store) Hosts(ctx context.Context, scope fleet.Scope, f fleet.HostFilter, page fleet.Page) ([]fleet.Host, string, error) {
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	w.hostFilter(f)
	from, name := hostsFrom(f)
	if page.After != "" {
		after, err := keyOf(page.After)
		if err != nil {
			return nil, "", err
		}
		w.add(name+" > @after", "after", after)
	}
	limit := limitOf(page)
	rows, _ := s.db.Query(ctx, "select "+hostColumns+from+" where "+w.String()+
		fmt.Sprintf(" order by %s limit %d", name, limit+1), w.args)
	hosts, err := pgx.CollectRows(rows, scanHost)
	if err != nil {
		return nil, "", fail(err, "listing hosts")
	}
	hosts, next := cut(hosts, limit, func(h fleet.Host) string { return h.Name })
	return hosts, next, nil
}

// hostsFrom returns what is read to find the hosts that f selects, and the column of their names: those of a status are
// found, in the order of their names, by the index of who has it.
func hostsFrom(f fleet.HostFilter) (from, name string) {
	if f.Status != "" || f.Code != "" {
		return " from host_freshness f join hosts h on h.id = f.host_id", "f.name"
	}
	return " from hosts h", "h.name"
}

func (w *where) hostFilter(f fleet.HostFilter) {
	if f.Code != "" && f.Status == "" {
		f.Status = fleet.HostFailing // no other has one
	}
	if f.Status != "" {
		w.add("f.status = @status", "status", f.Status)
	}
	if f.Code != "" {
		w.add("f.code = @code", "code", f.Code)
	}
	if f.Selector != nil {
		w.selector(f.Selector)
	}
	if f.Site != "" {
		w.add("h.site = @site", "site", f.Site)
	}
	if f.Enabled != nil {
		w.add("h.enabled = @enabled", "enabled", *f.Enabled)
	}
	if f.Search != "" {
		w.add("(h.name ilike @search or h.address ilike @search)", "search", like(f.Search))
	}
}

// CountHosts returns how many hosts f selects within the scope.
func (s *Store) CountHosts(ctx context.Context, scope fleet.Scope, f fleet.HostFilter) (int, error) {
	w := newWhere()
	w.and("h.retired_at is null")
	w.scope(scope)
	w.hostFilter(f)
	var n int
	from, _ := hostsFrom(f)
	err := s.db.QueryRow(ctx, "select count(*)"+from+" where "+w.String(), w.args).Scan(&n)
	return n, fail(err, "counting hosts")
}

// AddHost stores a new host and returns it as stored. A name that is taken is a Conflict.
func (s *Store) AddHost(ctx context.Context, h fleet.Host) (fleet.Host, error) {
	rows, _ := s.db.Query(ctx, `
		insert into hosts as h (id, name, address, port, site, labels, credential_id, connection, jump_host_id, ssh, enabled)
		values (@id, @name, @address, @port, @site, @labels, @credential_id, @connection, @jump_host_id, @ssh, @enabled)
		returning `+hostColumns, hostArgs(h))
	stored, err := pgx.CollectExactlyOneRow(rows, scanHost)
	if err != nil {
		return stored, hostWriteError(err, "adding a host")
	}
	return stored, s.keepFreshness(ctx, stored.ID)
}

// UpdateHost stores h over the version it was read at. Another version is a Precondition error. The host's tasks that
// wait follow it to another site: the messages that they had at the former one name them no more.
func (s *Store) UpdateHost(ctx context.Context, h fleet.Host) (fleet.Host, error) {
	rows, _ := s.db.Query(ctx, `
		update hosts h set name = @name, address = @address, port = @port, site = @site, labels = @labels,
			credential_id = @credential_id, connection = @connection, jump_host_id = @jump_host_id, ssh = @ssh,
			enabled = @enabled, version = version + 1, updated_at = now()
		where id = @id and version = @version and retired_at is null
		returning `+hostColumns, hostArgs(h))
	stored, err := pgx.CollectExactlyOneRow(rows, scanHost)
	if isNoRows(err) {
		return fleet.Host{}, fleet.Errorf(fleet.Precondition, "the host was changed meanwhile; read it again")
	}
	if err != nil {
		return stored, hostWriteError(err, "changing a host")
	}
	if err := s.moveTasks(ctx, stored.ID); err != nil {
		return stored, err
	}
	return stored, s.keepFreshness(ctx, stored.ID)
}

func hostWriteError(err error, doing string) error {
	switch {
	case violates(err, uniqueViolation, "hosts_name_live"):
		return fleet.Errorf(fleet.Conflict, "a host of that name exists already").WithCode("name_taken").
			WithFields(fleet.FieldError{Field: "name", Code: "name_taken", Message: "a host of that name exists already"})
	case violates(err, foreignKeyViolation, "hosts_credential_id_fkey"):
		return fleet.InvalidField("credential_id", "there is no such credential").WithCode("unknown_credential")
	case violates(err, foreignKeyViolation, "hosts_jump_host_id_fkey"):
		return fleet.InvalidField("jump_host_id", "there is no such host").WithCode("unknown_host")
	}
	return fail(err, doing)
}

// RetireHost takes the host out of use; its name is free again, and its reports stay. Its pending keys go.
func (s *Store) RetireHost(ctx context.Context, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, `
		update hosts set retired_at = now(), updated_at = now(), version = version + 1, enabled = false, credential_id = null,
			ssh = ssh - 'become_credential_id'
		where id = $1 and retired_at is null`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return fleet.Errorf(fleet.NotFound, "there is no such host")
	}
	if err == nil {
		_, err = s.db.Exec(ctx, "delete from host_freshness where host_id = $1", id)
	}
	return fail(err, "retiring a host")
}

// PinMachineID records which machine the host stands for, unless that is known already, and returns what is known.
func (s *Store) PinMachineID(ctx context.Context, host uuid.UUID, machineID string) (string, error) {
	var pinned string
	err := s.db.QueryRow(ctx, `
		update hosts set machine_id = coalesce(machine_id, $2) where id = $1 returning machine_id`, host, machineID).Scan(&pinned)
	return pinned, notFound(err, "host")
}

// HostsByName returns the hosts of the names, for imports; names without a host are absent.
func (s *Store) HostsByName(ctx context.Context, scope fleet.Scope, names []string) (map[string]fleet.Host, error) {
	w := newWhere()
	w.add("h.name = any(@names)", "names", names)
	w.and("h.retired_at is null")
	w.scope(scope)
	rows, _ := s.db.Query(ctx, "select "+hostColumns+" from hosts h where "+w.String(), w.args)
	hosts, err := pgx.CollectRows(rows, scanHost)
	byName := make(map[string]fleet.Host, len(hosts))
	for _, h := range hosts {
		byName[h.Name] = h
	}
	return byName, fail(err, "reading hosts by name")
}

// jsonOf returns the JSON of a value of our own types, which always has one.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("store: a value without JSON: " + err.Error())
	}
	return b
}
