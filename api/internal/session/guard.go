package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// CodeCrossOrigin is the code of the error about a write that a browser sent for another site.
const CodeCrossOrigin = "cross_origin"

// Config is what a Guard works with. Accounts and Fail are required.
type Config struct {
	Accounts *account.Service
	// Fail answers a request that failed; it turns the error's kind into a status, and may look at the request for
	// whether a person or a program asked.
	Fail func(http.ResponseWriter, *http.Request, error)
	// Limiter bounds how often somebody may ask; nil: without bounds.
	Limiter *Limiter
	// TrustedProxies are the networks whose X-Forwarded-For and X-Forwarded-Proto are believed; none by default.
	TrustedProxies []netip.Prefix
	// TrustedOrigins are origins, such as https://fleet.example.net, whose pages may write with this site's cookie.
	// They are needed only where a proxy changes the Host header.
	TrustedOrigins []string
	// Denied counts what is refused, for the audit log; nil: nobody counts.
	Denied *Denials
	// Timeout bounds how long finding out may take, so that a database that accepts and does not answer holds nobody
	// up; 0 means 3 s.
	Timeout time.Duration
}

const defaultTimeout = 3 * time.Second

// A Guard finds out who is asking. It is safe for concurrent use.
type Guard struct {
	accounts *account.Service
	fail     func(http.ResponseWriter, *http.Request, error)
	limiter  *Limiter
	proxies  []netip.Prefix
	origins  *http.CrossOriginProtection
	denied   *Denials
	timeout  time.Duration
}

// New returns a Guard, or an error if something required is missing or an origin is none.
func New(c Config) (*Guard, error) {
	if c.Accounts == nil || c.Fail == nil {
		return nil, errors.New("a guard needs accounts and a way to fail")
	}
	origins := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		if err := origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("trusting an origin: %w", err)
		}
	}
	return &Guard{
		accounts: c.Accounts, fail: c.Fail, limiter: c.Limiter, proxies: c.TrustedProxies, origins: origins, denied: c.Denied, timeout: cmp.Or(c.Timeout, defaultTimeout),
	}, nil
}

// A caller is what was found out about who is asking: an actor, or why there is none.
type caller struct {
	actor   fleet.Actor
	err     error
	refusal *refusal
}

type callerKey struct{}

// Actor returns who is asking, or the zero Actor, which may do nothing, if nobody is known. It travels from the
// handler as a parameter and no further in the context.
func Actor(ctx context.Context) fleet.Actor {
	actor, _ := From(ctx) // with an error comes the zero actor
	return actor
}

// WithKey lets whoever is asking ask under an Idempotency-Key, so that what is done is noted with the key by the
// transaction that does it.
func WithKey(ctx context.Context, key string) context.Context {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return ctx
	}
	c.actor.Key = key
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns who is asking, or why nobody is known, which is of kind Unauthenticated.
func From(ctx context.Context) (fleet.Actor, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return fleet.Actor{}, nobody()
	}
	return c.actor, c.err
}

func nobody() error { return fleet.Errorf(fleet.Unauthenticated, "sign in first") }

// Middleware finds out who is asking, for Actor, From and RequireRole. Who shows nothing, or something that is not
// accepted any more, is let through as nobody, because signing in and refreshing are for them. Who cannot be judged,
// because Redis or PostgreSQL does not answer, is refused at once, so what must answer even then, such as /health,
// stays outside. So is a browser that writes for another site.
func (g *Guard) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := g.identify(w, r)
		c.refusal = &refusal{}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		served := next
		if err != nil {
			served = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.refuse(w, r, err) })
		}
		g.denied.watched(served, w, r, c, g.ClientAddress(r))
	})
}

// identify returns the caller, or why the request ends here.
func (g *Guard) identify(w http.ResponseWriter, r *http.Request) (caller, error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.timeout)
	defer cancel()
	address := g.ClientAddress(r)
	authorization := strings.Join(r.Header.Values("Authorization"), ", ") // more than one is no bearer token
	secret := cookieSecret(r)
	if isBearer(authorization) {
		actor, err := Authenticate(ctx, g.accounts, authorization, address)
		return caller{actor: actor, err: err}, g.judge(ctx, w, actor, err, address)
	}
	// Everything else a browser may have added by itself: the cookie, or the password of some proxy before us.
	if err := g.origins.Check(r); err != nil {
		return caller{}, fleet.Wrap(err, fleet.Forbidden, "a page of another site may not do that here").WithCode(CodeCrossOrigin)
	}
	if secret != "" {
		actor, err := g.accounts.AuthenticateCookie(ctx, secret)
		if err == nil {
			actor.Address = address
		}
		if fleet.KindOf(err) == fleet.Unauthenticated {
			g.ClearCookie(w, r)
		}
		return caller{actor: actor, err: err}, g.judge(ctx, w, actor, err, address)
	}
	if authorization != "" {
		actor, err := Authenticate(ctx, g.accounts, authorization, address)
		return caller{actor: actor, err: err}, g.judge(ctx, w, actor, err, address)
	}
	return caller{err: nobody()}, nil
}

// judge returns why somebody who has shown something, and was found to be actor or refused with err, cannot go on.
func (g *Guard) judge(ctx context.Context, w http.ResponseWriter, actor fleet.Actor, err error, address string) error {
	switch fleet.KindOf(err) {
	case fleet.OK:
		return g.count(ctx, w, actor)
	case fleet.Unauthenticated:
		return g.count(ctx, w, fleet.Actor{Address: address})
	default:
		return err
	}
}

// count counts a request, says in the answer's headers what is left, and returns an error if it was one too many.
func (g *Guard) count(ctx context.Context, w http.ResponseWriter, actor fleet.Actor) error {
	allowance, err := g.limiter.Allow(ctx, actor)
	SetAllowance(w.Header(), allowance)
	return err
}

// RequireRole lets those through who have the role or more. A person without a session is sent to the sign-in page and
// back; everybody else is refused.
func (g *Guard) RequireRole(role fleet.Role) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			actor, err := From(r.Context())
			if err == nil {
				err = actor.Require(role)
			}
			if fleet.CodeOf(err) == fleet.Unauthenticated.DefaultCode() { // has shown nothing, and so was not counted yet
				if limited := g.count(r.Context(), w, fleet.Actor{Address: g.ClientAddress(r)}); limited != nil {
					err = limited
				}
			}
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case fleet.KindOf(err) == fleet.Unauthenticated && wantsPage(r):
				http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			default:
				g.refuse(w, r, err)
			}
		})
	}
}

// refuse answers with err. That a 401 names the way to authenticate is a rule of HTTP (RFC 9110, section 11.6.1).
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if fleet.KindOf(err) == fleet.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rollcall"`)
	}
	LimitHeaders(w.Header(), err)
	g.fail(w, r, err)
}

// wantsPage reports whether a person looks for a page here.
func wantsPage(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return reads && strings.Contains(r.Header.Get("Accept"), "text/html") && !isBearer(r.Header.Get("Authorization"))
}
