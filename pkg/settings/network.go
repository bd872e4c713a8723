package settings

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ListenAddr returns an address to listen on, host:port or :port, or def. Port 0 lets the system choose.
func (r *Reader) ListenAddr(name, def, meaning string) string {
	v := Variable{Name: name, Default: def, Example: def, Meaning: meaning}
	return read(r, v, def, func(s string) (string, error) {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return "", errors.New("is not host:port or :port")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", errors.New("has a port that is not a number from 0 to 65535")
		}
		if strings.ContainsAny(host, " \t\r\n/@") {
			return "", errors.New("has a host that is not an address or a name")
		}
		return s, nil
	})
}

// PostgresURL returns the address of a database, postgres://… or the keyword form host=… dbname=…. What it holds
// is never shown. Whether a server listens there is not looked at.
func (r *Reader) PostgresURL(name string, required bool, meaning string) string {
	v := Variable{
		Name: name, Meaning: meaning, Required: required, Secret: true,
		Example: "postgres://rollcall:PASSWORD@127.0.0.1:5432/rollcall",
	}
	return read(r, v, "", parsePostgres)
}

// parsePostgres looks at the form only; the driver has the last word.
func parsePostgres(s string) (string, error) {
	scheme, _, isURL := strings.Cut(s, "://")
	if !isURL {
		for _, keyword := range []string{"host=", "dbname=", "service="} {
			if strings.Contains(strings.ReplaceAll(s, " =", "="), keyword) {
				return s, nil
			}
		}
		return "", errors.New("is neither a postgres:// URL nor of the form host=… dbname=…")
	}
	if scheme != "postgres" && scheme != "postgresql" {
		return "", errors.New("has another scheme than postgres or postgresql")
	}
	u, err := url.Parse(s) // its error would show the password
	if err != nil {
		return "", errors.New("is not a URL; in a password write / ? # @ : % percent-encoded")
	}
	if u.Host == "" && !u.Query().Has("host") && !u.Query().Has("service") {
		return "", errors.New("names no host")
	}
	return s, nil
}

// RedisURL returns the address of a Redis. What it holds is never shown. The scheme is checked here, the rest by
// package ephemeral, which opens it.
func (r *Reader) RedisURL(name string, required bool, meaning string) string {
	v := Variable{Name: name, Example: "redis://127.0.0.1:6379/0", Meaning: meaning, Required: required, Secret: true}
	return read(r, v, "", func(s string) (string, error) {
		scheme, rest, ok := strings.Cut(s, "://")
		if !ok || rest == "" {
			return "", errors.New("is not a URL")
		}
		switch scheme {
		case "redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster", "unix":
			return s, nil
		}
		return "", errors.New("has a scheme that is none of redis, rediss, redis-sentinel, redis-cluster, unix")
	})
}

// HTTPURL returns an http or https URL, or "" where there is none. A user or password in it is refused, so it
// can be shown.
func (r *Reader) HTTPURL(name, example, meaning string) string {
	v := Variable{Name: name, Example: example, Meaning: meaning, Secret: true} // until it is known to hold no password
	return read(r, v, "", func(s string) (string, error) {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return "", errors.New("is not an http:// or https:// URL")
		case u.User != nil:
			return "", errors.New("holds a user or password, which does not belong there")
		}
		return s, nil
	})
}
