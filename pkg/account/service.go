package account

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/rollcallhq/rollcall/pkg/ephemeral"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// Config is what a Service works with. Store, Sessions, Signer and Passwords are required; the caller keeps them.
type Config struct {
	Store     *store.Store
	Sessions  *ephemeral.Store
	Signer    *token.Signer
	Passwords *token.Passwords
	Log       *slog.Logger     // nil: silent
	Now       func() time.Time // nil: time.Now
	Options   Options
}

// Options bound what callers may do. The zero value takes the defaults.
type Options struct {
	CookieLifetime  time.Duration   // how long a person stays signed in at the web UI; default 12h
	RefreshLifetime time.Duration   // how long a session can be refreshed after it began; default 7 days
	PerAddress      ephemeral.Limit // sign-ins from one address (IPv6: one /64) to any account, good ones too; default 120 a minute
	Lockout         Lockout         // what failed sign-ins make others wait
	Refreshes       ephemeral.Limit // refreshes from one address; default 120 a minute
	PasswordWait    time.Duration   // the longest a sign-in waits for its turn to verify a password; default 10s
}

func (o Options) withDefaults() Options {
	if o.CookieLifetime <= 0 {
		o.CookieLifetime = 12 * time.Hour
	}
	if o.RefreshLifetime <= 0 {
		o.RefreshLifetime = 7 * 24 * time.Hour
	}
	if o.PasswordWait <= 0 {
		o.PasswordWait = 10 * time.Second
	}
	none := ephemeral.Limit{}
	if o.PerAddress == none {
		o.PerAddress = ephemeral.PerMinute(120)
	}
	if o.Refreshes == none {
		o.Refreshes = ephemeral.PerMinute(120)
	}
	o.Lockout = o.Lockout.withDefaults()
	return o
}

// A Service is the rules about accounts. It is safe for concurrent use.
type Service struct {
	store     *store.Store
	sessions  *ephemeral.Store
	signer    *token.Signer
	passwords *token.Passwords
	log       *slog.Logger
	now       func() time.Time
	options   Options
	users     userCache
}

// New returns a Service, or an error if something required is missing.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Sessions == nil || c.Signer == nil || c.Passwords == nil {
		return nil, errors.New("an account service needs a store, sessions, a signer and passwords")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{
		store: c.Store, sessions: c.Sessions, signer: c.Signer, passwords: c.Passwords,
		log: c.Log, now: c.Now, options: c.Options.withDefaults(),
	}, nil
}

// A Client is where a request comes from, for limits, sessions and the audit log. The zero value is unknown.
type Client struct {
	Address   string // an IP address; anything else counts as unknown
	UserAgent string // as the client calls itself; cut where it is stored
}

// Bounds on what strangers type.
const (
	maxUsernameBytes = 63 // as the users table has it
	maxNameRunes     = 64 // of a name as the audit log keeps it
)

// cleanAddress returns the canonical form of an IP address without its zone, or nothing if it is none.
func cleanAddress(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	return ip.Unmap().WithZone("").String()
}

// limitAddress returns what an address is counted as here; all that are none count as one.
func limitAddress(address string) string { return cmp.Or(Network(address), "unknown") }

// Network returns what an address, without a port, is counted as: whoever has one IPv6 address usually has the whole /64.
// It is empty for what is no address.
func Network(address string) string {
	ip, err := netip.ParseAddr(cleanAddress(address))
	if err != nil {
		return ""
	}
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// cleanName makes what a stranger typed as a name fit for the audit log: printable UTF-8 of at most 64 characters.
func cleanName(name string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(name, "\uFFFD") {
		if n == maxNameRunes {
			break
		}
		if !unicode.IsPrint(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// validUsername reports whether there can be a user of the name.
func validUsername(name string) bool {
	if name == "" || len(name) > maxUsernameBytes {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._@-", rune(c))) {
			return false
		}
	}
	return true
}

// audit writes an entry in a transaction of its own, which makes a missing partition.
func (s *Service) audit(ctx context.Context, actor fleet.Actor, entry fleet.AuditEntry) error {
	return s.store.InTx(ctx, func(tx *store.Store) error { return tx.Audit(ctx, actor, entry) })
}
