package work

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/secret"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// Config is the worker's whole configuration.
type Config struct {
	Process     process.Config
	Version     string
	OpenKeys    string               // private keys of the sites, site/id:base64 each
	Sites       []string             // whose hosts this worker collects
	Concurrency int                  // hosts it talks to at once
	Local       bool                 // whether it may collect the machine it runs on
	Registry    *prometheus.Registry // where its metrics go; nil: one of its own
	OpsAddr     string               // where /healthz, /readyz and /metrics answer; empty: nowhere
	Drain       time.Duration
}

// A host in flight takes a connection and, for a local one, two pipes; this many descriptors are for all else.
const (
	descriptorsPerHost = 2
	descriptorsForRest = 200
)

// checkDescriptors refuses a concurrency that the process has not the file descriptors for.
func checkDescriptors(concurrency int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking for the limit of open files: %w", err)
	}
	if need := uint64(concurrency)*descriptorsPerHost + descriptorsForRest; need > limit.Cur { //nolint:gosec // bounded above
		return fmt.Errorf("%d hosts at once need %d open files and this process may have %d; "+
			"raise the limit (ulimit -n, LimitNOFILE=) or set for example ROLLCALL_WORKER_CONCURRENCY=%d",
			concurrency, need, limit.Cur, max(1, int(limit.Cur-min(limit.Cur, descriptorsForRest))/descriptorsPerHost)) //nolint:gosec // small
	}
	return nil
}

// Read reads the worker's configuration from an environment in the form of os.Environ. Every bad value is in the error.
func Read(environ []string) (Config, error) {
	r := settings.NewReader(settings.Environ(environ))
	c := read(r)
	process.Others(r)
	return c, r.Err()
}

// Variables returns what Read reads, for the documentation.
func Variables() []settings.Variable {
	r := settings.NewReader(nil)
	read(r)
	return r.Documented()
}

func read(r *settings.Reader) Config {
	c := Config{
		Process:     process.Read(r),
		OpenKeys:    r.KeyList("ROLLCALL_OPEN_KEYS", true, "private keys of this worker's sites, site/id:base64 each; all of them open"),
		Sites:       r.List("ROLLCALL_SITES", []string{fleet.DefaultSite}, "default,fra1", "sites whose hosts this worker collects"),
		Concurrency: r.Int("ROLLCALL_WORKER_CONCURRENCY", 200, 1, 20_000, "hosts this worker talks to at once"),
		Local:       r.Bool("ROLLCALL_LOCAL", false, "whether this worker may collect the machine it runs on (connection local)"),
		OpsAddr:     r.ListenAddr("ROLLCALL_OPS_ADDR", ":9180", "where /healthz, /readyz, /health and /metrics answer"),
		Drain:       r.Duration("ROLLCALL_WORKER_DRAIN", 20*time.Second, 0, 10*time.Minute, "how long a stopping worker lets its tasks go on before it puts them back"),
	}
	if keys, err := secret.ParseOpenKeys(c.OpenKeys); c.OpenKeys != "" && err != nil {
		r.Refuse("ROLLCALL_OPEN_KEYS", err)
	} else if c.OpenKeys != "" {
		c.checkKeys(r, keys)
	}
	if err := checkDescriptors(c.Concurrency); err != nil {
		r.Refuse("ROLLCALL_WORKER_CONCURRENCY", err)
	}
	return c
}

// checkKeys refuses a site whose credentials this worker could not open.
func (c Config) checkKeys(r *settings.Reader, keys *secret.OpenKeys) {
	for _, site := range c.Sites {
		if err := fleet.CheckSite(site); err != nil {
			r.Refuse("ROLLCALL_SITES", err)
		} else if !slices.Contains(keys.Sites(), site) {
			r.Refuse("ROLLCALL_OPEN_KEYS", fmt.Errorf("has no key for the site %s that ROLLCALL_SITES names; it has keys for %v", site, keys.Sites()))
		}
	}
}
