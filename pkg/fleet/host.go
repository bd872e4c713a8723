package fleet

import (
	"time"

	"github.com/google/uuid"
)

// DefaultSite is the site of hosts and workers that name none.
const DefaultSite = "default"

// A Connection is the way to a host.
type Connection string

// The connections.
const (
	ConnectionSSH   Connection = "ssh"
	ConnectionLocal Connection = "local" // the machine the worker itself runs on
)

// Become is how commands gain root on a host.
type Become string

// The ways to become root.
const (
	BecomeNone Become = "none"
	BecomeSudo Become = "sudo"
	BecomeDoas Become = "doas"
)

// A HostKeyPolicy says what happens to the first host key a host shows.
type HostKeyPolicy string

// The policies. A changed key is refused under each of them.
const (
	HostKeyTOFU   HostKeyPolicy = "tofu"   // trust on first use: the first key is pinned, with an audit entry
	HostKeyStrict HostKeyPolicy = "strict" // only keys that somebody has trusted
	HostKeyCA     HostKeyPolicy = "ca"
)

// SSHOptions are a host's particulars of its SSH connection. The zero value takes the defaults.
type SSHOptions struct {
	Become             Become
	BecomeCredentialID *uuid.UUID
	HostKeyPolicy      HostKeyPolicy
	Algorithms         string // profile of algorithms: modern
	KeepaliveSeconds   *int   // nil means 15, 0 means none
}

// A Host is a machine to collect from.
type Host struct {
	ID           uuid.UUID
	Name         string
	Address      string
	Port         int
	Site         string
	Labels       map[string]string
	CredentialID *uuid.UUID
	Connection   Connection
	JumpHostID   *uuid.UUID
	SSH          SSHOptions
	Enabled      bool
	MachineID    string // pinned or learned; empty means not known
	Version      int64  // one more with each change; the ETag
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// A HostFilter selects hosts within a scope. The zero value selects all of the scope.
type HostFilter struct {
	Selector *Selector
	Search   string // part of a name or address, any case
	Site     string
	Enabled  *bool
	Status   Freshness // how fresh; empty: any
	Code     Code      // why they fail; empty: any. Only failing hosts have one
}

// A Page bounds a list read by key. The zero value is the first page of 100.
type Page struct {
	Limit int    // 0 means 100; at most 1,000
	After string // opaque: the cursor of the page before
}

// A HostKeyState says what was decided about a host key.
type HostKeyState string

// The states of a host key.
const (
	HostKeyPending HostKeyState = "pending" // seen, not decided
	HostKeyTrusted HostKeyState = "trusted"
	HostKeyChanged HostKeyState = "changed" // seen on a host that has another trusted key; not decided
	HostKeyRevoked HostKeyState = "revoked"
)

// A HostKey is an SSH key that a host has shown or must show.
type HostKey struct {
	ID          uuid.UUID
	HostID      uuid.UUID
	Algorithm   string
	Key         []byte // SSH wire format
	Fingerprint string // SHA256:…
	State       HostKeyState
	FirstSeen   time.Time
	LastSeen    time.Time
	DecidedBy   string
	Reason      string
}

// A HostStatus is how fresh what is known of a host is, and how its last task went.
type HostStatus struct {
	HostID    uuid.UUID
	Freshness Freshness
	Since     time.Time     // when the host came to be that fresh
	Allowed   time.Duration // how old its last report may be
	CoveredBy *uuid.UUID    // the schedule that Allowed follows from; nil: no schedule covers the host

	// Of the last task that ended; zero where none has.
	CollectionID uuid.UUID
	State        TaskState
	Code         Code
	FinishedAt   time.Time
	SucceededAt  *time.Time // of the last task that brought a report
	Failures     int        // failed tasks in a row
}

// A HostOutcome is how the last tasks of any number of hosts went.
type HostOutcome struct {
	State   TaskState // empty: none has ended yet
	Code    Code      // empty where nothing failed
	Enabled bool      // whether the hosts are collected from at all
	Hosts   int
	Sample  []HostRef // the first few by name
}

// A CredentialKind says how a credential lets us in.
type CredentialKind string

// The kinds of credentials.
const (
	CredentialPrivateKey  CredentialKind = "private_key"
	CredentialPassword    CredentialKind = "password"
	CredentialCertificate CredentialKind = "certificate"
	CredentialAgent       CredentialKind = "agent"
)

// A Credential is what lets us in, without the secret: that is sealed to each site and opened in its workers only.
type Credential struct {
	ID          uuid.UUID
	Name        string
	Kind        CredentialKind
	Username    string
	Fingerprint string // of the public key; empty for passwords
	Sites       []string
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// A Seal is a credential's secret as one site's workers can open it.
type Seal struct {
	Site   string
	KeyID  string
	Sealed []byte
}

// MaxSite is the length of a site's name at most.
const MaxSite = 63

// CheckSite returns an Invalid error unless name is one of a site: lower-case letters, digits and hyphens, not
// beginning with a hyphen. It is part of a queue's name.
func CheckSite(name string) error {
	ok := name != "" && len(name) <= MaxSite && name[0] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return InvalidField("site", "1 to %d lower-case letters, digits and hyphens, such as default or fra1", MaxSite)
	}
	return nil
}
