package ephemeral

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

type mode uint8

const (
	single mode = iota
	sentinel
	cluster
	socket // a single server behind a Unix socket
)

// An address is a Redis URL taken apart.
type address struct {
	mode                               mode
	tls                                bool
	hosts                              []string // host:port each, or one path
	master                             string   // sentinel only
	db                                 int
	username, password                 string
	sentinelUsername, sentinelPassword string
}

const (
	redisPort    = "6379"
	sentinelPort = "26379"
	maxURLBytes  = 4 << 10
	maxHosts     = 64
	maxDB        = 1 << 16
)

// schemeOf knows the schemes, each also with rediss for TLS.
func schemeOf(scheme string) (m mode, tls, ok bool) {
	switch scheme {
	case "redis":
		return single, false, true
	case "rediss":
		return single, true, true
	case "redis-sentinel":
		return sentinel, false, true
	case "rediss-sentinel":
		return sentinel, true, true
	case "redis-cluster":
		return cluster, false, true
	case "rediss-cluster":
		return cluster, true, true
	case "unix":
		return socket, false, true
	}
	return 0, false, false
}

// parseURL takes a Redis URL apart. net/url cannot, because of the lists of hosts. Its errors quote nothing
// but the scheme: a password with an unescaped character may stand anywhere.
func parseURL(s string) (address, error) {
	if len(s) > maxURLBytes {
		return address{}, fmt.Errorf("the Redis URL is longer than %d bytes", maxURLBytes)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return address{}, errors.New("the Redis URL has no scheme; for example redis://127.0.0.1:6379/0")
	}
	var a address
	if a.mode, a.tls, ok = schemeOf(scheme); !ok {
		return address{}, errors.New("the scheme of the Redis URL is none of redis, rediss, redis-sentinel, redis-cluster, unix")
	}
	if strings.ContainsAny(rest, "# \t\r\n") {
		return address{}, errors.New("the Redis URL has a # or white space; in a password write it percent-encoded")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(query, "@") {
		return address{}, errors.New("the Redis URL has an @ after a ?; in a password write ? as %3F")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if a.mode != socket && strings.Contains(path, "@") {
		return address{}, errors.New("the Redis URL has an @ after a /; in a password write / as %2F")
	}
	if err := errors.Join(a.parseAuthority(authority), a.parsePath(path), a.parseQuery(query)); err != nil {
		return address{}, err
	}
	return a, nil
}

func (a *address) parseAuthority(s string) error {
	hosts := s
	if i := strings.LastIndex(s, "@"); i >= 0 {
		hosts = s[i+1:]
		user, password, _ := strings.Cut(s[:i], ":")
		var err1, err2 error
		a.username, err1 = url.PathUnescape(user)
		a.password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errors.New("user or password of the Redis URL is not percent-encoded correctly; write % as %25")
		}
	}
	if a.mode == socket {
		if hosts != "" {
			return errors.New("a unix URL has no host; for example unix:///run/redis/redis.sock")
		}
		return nil
	}
	port := redisPort
	if a.mode == sentinel {
		port = sentinelPort
	}
	for i, host := range strings.Split(hosts, ",") {
		addr, err := hostPort(host, port)
		if err != nil {
			return fmt.Errorf("host %d of the Redis URL %w", i+1, err)
		}
		a.hosts = append(a.hosts, addr)
	}
	if a.mode == single && len(a.hosts) > 1 {
		return errors.New("a redis URL names one host; several are for redis-sentinel or redis-cluster")
	}
	if len(a.hosts) > maxHosts {
		return fmt.Errorf("the Redis URL names more than %d hosts", maxHosts)
	}
	return nil
}

// hostPort completes host, host:port, [v6] and [v6]:port with the port where it is missing.
func hostPort(s, port string) (string, error) {
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		host = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		return "", errors.New("is neither host nor host:port; IPv6 addresses go in brackets")
	}
	if host == "" {
		return "", errors.New("is empty")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("has a port that is not 1 to 65535")
	}
	return net.JoinHostPort(host, port), nil
}

func (a *address) parsePath(path string) error {
	switch a.mode {
	case socket:
		if path == "" {
			return errors.New("the unix URL has no path; for example unix:///run/redis/redis.sock")
		}
		a.hosts = []string{"/" + path}
	case sentinel:
		if path == "" || strings.Contains(path, "/") {
			return errors.New("the redis-sentinel URL does not end in the master's name; for example redis-sentinel://s1,s2/mymaster")
		}
		a.master = path
	case cluster:
		if path != "" && path != "0" {
			return errors.New("a Redis cluster has database 0 only")
		}
	case single:
		if path != "" {
			return a.setDB(path)
		}
	}
	return nil
}

// parseQuery refuses what it does not know, so that a misspelt setting does not go unnoticed.
func (a *address) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the part of the Redis URL after the ? cannot be read")
	}
	for name, v := range values {
		switch {
		case len(v) != 1:
			return errors.New("the Redis URL gives a parameter twice")
		case name == "db" && a.mode != cluster:
			if err := a.setDB(v[0]); err != nil {
				return err
			}
		case name == "sentinel_username" && a.mode == sentinel:
			a.sentinelUsername = v[0]
		case name == "sentinel_password" && a.mode == sentinel:
			a.sentinelPassword = v[0]
		default:
			return errors.New("the Redis URL has a parameter that is not known; db, and for sentinels sentinel_username and sentinel_password, are")
		}
	}
	return nil
}

func (a *address) setDB(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > maxDB {
		return errors.New("the database of the Redis URL is not a number; for example redis://127.0.0.1:6379/0")
	}
	a.db = int(n)
	return nil
}
