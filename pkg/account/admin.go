package account

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/token"
)

// FirstAdmin is the name of the user that EnsureFirstAdmin makes.
const FirstAdmin = "admin"

// EnsureFirstAdmin makes the user FirstAdmin where there is no user at all, and reports whether it did. With an empty
// password it makes one up and returns it; it is kept nowhere, so that the caller must show it. Any number of
// processes may call it at once: one of them creates. A password that token.CheckPassword refuses is an error of kind
// Invalid, even when it is not needed any more.
func (s *Service) EnsureFirstAdmin(ctx context.Context, password string) (generated string, created bool, err error) {
	if password != "" {
		if err := token.CheckPassword(password); err != nil {
			return "", false, err
		}
	}
	has, err := s.store.HasUsers(ctx)
	if err != nil || has {
		return "", false, err
	}
	if password == "" {
		generated = newPassword()
		password = generated
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return "", false, fmt.Errorf("hashing the first password: %w", err)
	}
	user := fleet.User{ID: fleet.NewIDAt(s.now()), Username: FirstAdmin, PasswordHash: hash, Role: fleet.Admin}
	err = s.store.InTx(ctx, func(tx *store.Store) error {
		added, err := tx.AddFirstUser(ctx, user)
		created = added
		if err != nil || !added {
			return err
		}
		return tx.Audit(ctx, fleet.System(), fleet.AuditEntry{
			Action: "user.create", ResourceType: "user", ResourceID: user.ID.String(),
			Details: map[string]any{"username": user.Username, "role": string(user.Role), "password_generated": generated != ""},
		})
	})
	if err != nil {
		return "", false, fmt.Errorf("making the first admin: %w", err)
	}
	if !created {
		return "", false, nil // another process was faster, and its password counts
	}
	return generated, true, nil
}

// newPassword makes a password of 120 random bits that can be read out and typed: 24 letters and digits in groups.
func newPassword() string {
	const groups, size = 6, 4
	text := strings.ToLower(rand.Text())
	parts := make([]string, groups)
	for i := range parts {
		parts[i] = text[i*size : (i+1)*size]
	}
	return strings.Join(parts, "-")
}
