package session

import (
	"context"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// Authenticate returns the actor that the value of an Authorization header speaks for, coming from address. A value
// that is no bearer token is an error of kind Unauthenticated and code token_invalid; the others are those of
// account.Service.Authenticate. With an error comes the zero actor.
func Authenticate(ctx context.Context, accounts *account.Service, authorization, address string) (fleet.Actor, error) {
	if authorization == "" {
		return fleet.Actor{}, nobody()
	}
	bearer, ok := parseBearer(authorization)
	if !ok {
		return fleet.Actor{}, fleet.Errorf(fleet.Unauthenticated, "the Authorization header has to be: Bearer TOKEN").WithCode(token.CodeTokenInvalid)
	}
	actor, err := accounts.Authenticate(ctx, bearer)
	if err != nil {
		return fleet.Actor{}, err
	}
	actor.Address = address
	return actor, nil
}

// isBearer reports whether the header is of the scheme Bearer, well-formed or not.
func isBearer(authorization string) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	return strings.EqualFold(scheme, "Bearer")
}

func parseBearer(authorization string) (bearer string, ok bool) {
	_, bearer, _ = strings.Cut(strings.TrimSpace(authorization), " ")
	bearer = strings.TrimSpace(bearer)
	return bearer, isBearer(authorization) && bearer != "" && !strings.ContainsAny(bearer, " ,")
}
