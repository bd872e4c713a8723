package client

import (
	"context"
	"net/http"
	"strings"
)

// Sudoers returns the lines of sudoers, or of doas.conf where become is doas, that let the account collect reports of
// the types as root; no types are all built-in ones, and an empty account or become is the server's default.
func (c *Client) Sudoers(ctx context.Context, types []string, account, become string) (string, error) {
	r := c.newCall(http.MethodGet, "/sudoers", nil)
	for name, value := range map[string]string{"types": strings.Join(types, ","), "account": account, "become": become} {
		if value != "" {
			r.query.Set(name, value)
		}
	}
	a, err := c.exchange(ctx, r)
	if err == nil && (a.status != http.StatusOK || !isMedia(a.header, "text/plain")) {
		err = errorOf(r, a)
	}
	return string(a.content), err
}
