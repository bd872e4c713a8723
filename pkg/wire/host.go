package wire

import (
	"time"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// DefaultKeepaliveSeconds is how often an idle SSH connection is asked for a sign of life unless its host says
// otherwise.
const DefaultKeepaliveSeconds = 15

// A Host is a machine to collect from.
type Host struct {
	ID           uuid.UUID         `json:"id" format:"uuid"`
	Name         string            `json:"name"`
	Address      string            `json:"address"`
	Port         int               `json:"port"`
	Site         string            `json:"site"`
	Labels       map[string]string `json:"labels"`
	CredentialID *uuid.UUID        `json:"credential_id" nullable:"true" format:"uuid"`
	Connection   string            `json:"connection" enum:"ssh,local"`
	JumpHostID   *uuid.UUID        `json:"jump_host_id" nullable:"true" format:"uuid"`
	SSH          SSH               `json:"ssh"`
	Enabled      bool              `json:"enabled"`
	MachineID    *string           `json:"machine_id" doc:"which machine the host stands for; null until it is known"`
	Status       *HostStatus       `json:"status,omitempty" doc:"how fresh what is known of the host is, and how its last task went"`
	Version      int64             `json:"version" doc:"one more with each change; the ETag"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

// SSH are the particulars of a host's SSH connection.
type SSH struct {
	Become             string     `json:"become" enum:"none,sudo,doas"`
	BecomeCredentialID *uuid.UUID `json:"become_credential_id" nullable:"true" format:"uuid"`
	HostKeyPolicy      string     `json:"host_key_policy" enum:"tofu,strict,ca"`
	Algorithms         string     `json:"algorithms"`
	KeepaliveSeconds   int        `json:"keepalive_seconds"`
}

// A HostStatus is how fresh what is known of a host is, and how its last task went. What is about that task is null until
// one has ended.
type HostStatus struct {
	Freshness      string     `json:"freshness" enum:"fresh,stale,failing,never,disabled" doc:"failing: its last task failed; never: no task has brought a report yet; stale: the last one that did is older than allowed_seconds"`
	Since          time.Time  `json:"since" doc:"when it came to be that fresh"`
	AllowedSeconds int        `json:"allowed_seconds" doc:"how old its last report may be"`
	CoveredBy      *uuid.UUID `json:"covered_by" nullable:"true" format:"uuid" doc:"the schedule that allowed_seconds follows from: of those that collect from the host, the one that allows the least; null where none does"`
	StaleAt        *time.Time `json:"stale_at" doc:"when its last report is older than allowed; null before the first"`
	State          *string    `json:"state" enum:"succeeded,partial,failed,cancelled"`
	Code           *string    `json:"code" doc:"why it failed"`
	CollectionID   *uuid.UUID `json:"collection_id" nullable:"true" format:"uuid"`
	FinishedAt     *time.Time `json:"finished_at"`
	SucceededAt    *time.Time `json:"succeeded_at" doc:"end of the last task that brought a report"`
	Failures       int        `json:"failures" doc:"failed tasks in a row"`
}

// A HostInput is a host as it is added or imported. What is absent or null takes its default.
type HostInput struct {
	Name         string            `json:"name" doc:"unique; letters, digits and . _ : -" example:"web-1"`
	Address      *string           `json:"address,omitempty" nullable:"true" doc:"host name or IP address; required unless the connection is local" example:"192.0.2.10"`
	Port         *int              `json:"port,omitempty" nullable:"true" default:"22"`
	Site         *string           `json:"site,omitempty" nullable:"true" default:"default" doc:"whose workers collect from it"`
	Labels       map[string]string `json:"labels,omitempty"`
	CredentialID *uuid.UUID        `json:"credential_id,omitempty" nullable:"true" format:"uuid"`
	Connection   *string           `json:"connection,omitempty" nullable:"true" default:"ssh" enum:"ssh,local"`
	JumpHostID   *uuid.UUID        `json:"jump_host_id,omitempty" nullable:"true" format:"uuid" doc:"not supported yet"`
	SSH          *SSHInput         `json:"ssh,omitempty"`
	Enabled      *bool             `json:"enabled,omitempty" nullable:"true" default:"true"`
}

// SSHInput are the particulars of a host's SSH connection as they are set.
type SSHInput struct {
	Become             *string    `json:"become,omitempty" nullable:"true" default:"none" enum:"none,sudo,doas" doc:"how the account becomes root, for what only root may read; doas without a password only"`
	BecomeCredentialID *uuid.UUID `json:"become_credential_id,omitempty" nullable:"true" format:"uuid" doc:"a password for sudo; none: sudo must not want one (GET /api/v1/sudoers prints the line)"`
	HostKeyPolicy      *string    `json:"host_key_policy,omitempty" nullable:"true" default:"tofu" enum:"tofu,strict,ca" doc:"ca is not supported yet"`
	Algorithms         *string    `json:"algorithms,omitempty" nullable:"true" default:"modern" doc:"only modern is supported yet"`
	KeepaliveSeconds   *int       `json:"keepalive_seconds,omitempty" nullable:"true" default:"15" minimum:"0" maximum:"3600"`
}

// A HostPatch changes a host (RFC 7396): what is absent stays, null returns to the default, a label that is null goes.
type HostPatch struct {
	Name         *string            `json:"name,omitempty"`
	Address      *string            `json:"address,omitempty" nullable:"true" doc:"another address, port or site suspends the trust in the host's keys until somebody trusts one anew"`
	Port         *int               `json:"port,omitempty" nullable:"true"`
	Site         *string            `json:"site,omitempty" nullable:"true"`
	Labels       map[string]*string `json:"labels,omitempty"`
	CredentialID *uuid.UUID         `json:"credential_id,omitempty" nullable:"true" format:"uuid"`
	Connection   *string            `json:"connection,omitempty" nullable:"true" enum:"ssh,local"`
	JumpHostID   *uuid.UUID         `json:"jump_host_id,omitempty" nullable:"true" format:"uuid" doc:"not supported yet"`
	SSH          *SSHInput          `json:"ssh,omitempty"`
	Enabled      *bool              `json:"enabled,omitempty" nullable:"true"`
}

// HostView returns h as the API shows it; status may be nil.
func HostView(h fleet.Host, status *fleet.HostStatus) Host {
	return Host{
		ID: h.ID, Name: h.Name, Address: h.Address, Port: h.Port, Site: h.Site, Labels: orEmpty(h.Labels),
		CredentialID: h.CredentialID, Connection: string(h.Connection), JumpHostID: h.JumpHostID, SSH: sshView(h.SSH),
		Enabled: h.Enabled, MachineID: orNull(h.MachineID), Status: statusView(status), Version: h.Version,
		CreatedAt: utc(h.CreatedAt), UpdatedAt: utc(h.UpdatedAt),
	}
}

func sshView(o fleet.SSHOptions) SSH {
	view := SSH{
		Become: string(o.Become), BecomeCredentialID: o.BecomeCredentialID, HostKeyPolicy: string(o.HostKeyPolicy),
		Algorithms: o.Algorithms, KeepaliveSeconds: DefaultKeepaliveSeconds,
	}
	orDefault(&view.Become, string(fleet.BecomeNone))
	orDefault(&view.HostKeyPolicy, string(fleet.HostKeyTOFU))
	orDefault(&view.Algorithms, "modern")
	if o.KeepaliveSeconds != nil {
		view.KeepaliveSeconds = *o.KeepaliveSeconds
	}
	return view
}

func statusView(st *fleet.HostStatus) *HostStatus {
	if st == nil {
		return nil
	}
	view := &HostStatus{
		Freshness: string(st.Freshness), Since: utc(st.Since), AllowedSeconds: int(st.Allowed / time.Second), CoveredBy: st.CoveredBy,
		State: orNull(string(st.State)), Code: orNull(string(st.Code)), SucceededAt: utcOrNull(st.SucceededAt), Failures: st.Failures,
	}
	if st.State != "" {
		view.CollectionID, view.FinishedAt = &st.CollectionID, new(utc(st.FinishedAt))
	}
	if st.SucceededAt != nil {
		view.StaleAt = new(utc(st.SucceededAt.Add(st.Allowed)))
	}
	return view
}

// HostInputOf returns what h looks like as it was set, for a merge patch to be applied to.
func HostInputOf(h fleet.Host) HostInput {
	ssh := sshView(h.SSH)
	return HostInput{
		Name: h.Name, Address: &h.Address, Port: &h.Port, Site: &h.Site, Labels: orEmpty(h.Labels), CredentialID: h.CredentialID,
		Connection: new(string(h.Connection)), JumpHostID: h.JumpHostID, Enabled: &h.Enabled,
		SSH: &SSHInput{
			Become: &ssh.Become, BecomeCredentialID: ssh.BecomeCredentialID, HostKeyPolicy: &ssh.HostKeyPolicy,
			Algorithms: &ssh.Algorithms, KeepaliveSeconds: &ssh.KeepaliveSeconds,
		},
	}
}

// Host returns the host that in describes. Fields that in leaves out are zero; a host that is left out of use only by
// in.Enabled is enabled.
func (in HostInput) Host() fleet.Host {
	h := fleet.Host{
		Name: in.Name, Address: orZero(in.Address), Port: orZero(in.Port), Site: orZero(in.Site), Labels: in.Labels,
		CredentialID: in.CredentialID, Connection: fleet.Connection(orZero(in.Connection)), JumpHostID: in.JumpHostID,
		Enabled: in.Enabled == nil || *in.Enabled,
	}
	if in.SSH != nil {
		h.SSH = fleet.SSHOptions{
			Become: fleet.Become(orZero(in.SSH.Become)), BecomeCredentialID: in.SSH.BecomeCredentialID,
			HostKeyPolicy: fleet.HostKeyPolicy(orZero(in.SSH.HostKeyPolicy)), Algorithms: orZero(in.SSH.Algorithms),
			KeepaliveSeconds: in.SSH.KeepaliveSeconds,
		}
	}
	return h
}
