// Package rescue is what whoever may write to the database can do where nobody can sign in any more.
package rescue

import (
	"context"
	"time"

	"github.com/rollcallhq/rollcall/pkg/account"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// ResetLink makes a one-time link with which the user of that name sets a password, and returns it as a path below the
// address of the pages. An unknown name is an error of kind NotFound, a disabled user one of kind Conflict.
func ResetLink(ctx context.Context, st *store.Store, username string) (path string, expires time.Time, err error) {
	link, err := account.RecoveryLink(ctx, st, username)
	if err != nil {
		return "", time.Time{}, err
	}
	return link.Path(), link.ExpiresAt, nil
}
