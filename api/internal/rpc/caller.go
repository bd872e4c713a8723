package rpc

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// renewEvery is how long a call that waits or streams goes on for a token that was good when it began: logging out,
// revoking a token and taking a role away end it soon.
const renewEvery = 5 * time.Second

// A caller is who a call is made for, and on what proof. It belongs to the one goroutine of its call.
type caller struct {
	actor   fleet.Actor
	bearer  string
	checked time.Time
}

type callerKey struct{}

// callerOf returns who makes the call; nobody for a public method.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

// admit returns a context with the caller, or why there is none.
func (s *server) admit(ctx context.Context, method string) (context.Context, error) {
	if isPublic(method) {
		return ctx, nil
	}
	address := s.addressOf(ctx)
	bearer, err := bearerOf(ctx)
	if err != nil {
		return ctx, s.refuse(ctx, address, err)
	}
	c := &caller{bearer: bearer}
	if err := s.authenticate(ctx, c, address); err != nil {
		return ctx, s.refuse(ctx, address, err)
	}
	ctx = context.WithValue(ctx, callerKey{}, c)
	return ctx, s.count(ctx, c.actor)
}

func (s *server) authenticate(ctx context.Context, c *caller, address string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	actor, err := s.Accounts.Authenticate(ctx, c.bearer)
	if err != nil {
		return err
	}
	if err := actor.Require(fleet.Viewer); err != nil {
		return err
	}
	actor.Address = address
	c.actor, c.checked = actor, time.Now()
	return nil
}

// refuse counts the attempt of a stranger. It returns err, or that there were too many.
func (s *server) refuse(ctx context.Context, address string, err error) error {
	if fleet.KindOf(err) != fleet.Unauthenticated {
		return err
	}
	if limited := s.count(ctx, fleet.Actor{Address: address}); limited != nil {
		return limited
	}
	return err
}

// count counts a call, says in the answer's metadata what is left, and returns an error if it was one too many.
func (s *server) count(ctx context.Context, actor fleet.Actor) error {
	if s.Limit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	allowance, err := s.Limit(ctx, actor)
	if headers := session.AllowanceHeaders(allowance); headers != nil {
		_ = grpc.SetHeader(ctx, metadata.New(headers)) // fails only where nobody can see a header any more
	}
	return err
}

// renewed returns the actor of a call that takes a while, authenticated again if that was long ago.
func (s *server) renewed(ctx context.Context) (fleet.Actor, error) {
	c := callerOf(ctx)
	if time.Since(c.checked) < renewEvery {
		return c.actor, nil
	}
	if err := s.authenticate(ctx, c, c.actor.Address); err != nil {
		return fleet.Actor{}, err
	}
	return c.actor, nil
}

// bearerOf returns the token that the caller shows.
func bearerOf(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return "", fleet.Errorf(fleet.Unauthenticated, "this call needs the metadata authorization: Bearer TOKEN")
	}
	scheme, bearer, _ := strings.Cut(values[0], " ")
	bearer = strings.TrimSpace(bearer)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return "", fleet.Errorf(fleet.Unauthenticated, "the metadata authorization has to be one: Bearer TOKEN").
			WithCode(token.CodeTokenInvalid)
	}
	return bearer, nil
}

// addressOf returns the address that the call came from, without its port; empty if it came from nowhere.
func (s *server) addressOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return session.Address(s.TrustedProxies, p.Addr.String(), metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"))
}
