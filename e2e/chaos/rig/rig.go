// Package rig runs the product as its users do, in processes of its own on servers of its own, under load, does to it
// what a plan of faults says, and compares afterwards what the client, the hosts and the database know.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/link"
	"github.com/rollcallhq/rollcall/e2e/chaos/plan"
)

// Options say how to run.
type Options struct {
	Seed   uint64
	Faults int
	Hosts  int           // simulated ones
	Gap    time.Duration // between faults; see plan.Options
	Drain  time.Duration // how long everything may take to end once nothing goes wrong any more
	Bin    string        // directory with the built binaries
	Dir    string        // an empty directory for everything; its logs remain
	Log    *slog.Logger
}

// processes are what faults are done to, by the binaries they run.
func processes() []struct{ name, binary string } {
	return []struct{ name, binary string }{
		{"api-1", "api"},
		{"api-2", "api"},
		{"worker-1", "worker"},
		{"worker-2", "worker"},
		{"worker-3", "worker"},
		{"scheduler-1", "scheduler"},
		{"scheduler-2", "scheduler"},
	}
}

func names() []string {
	var names []string
	for _, p := range processes() {
		names = append(names, p.name)
	}
	return names
}

// A rig is everything that runs.
type rig struct {
	Options

	logs      string
	disk      *disk
	postgres  *postgres
	redis     *redis
	links     map[string]*link.Link // by process and server, "api-1 to redis"
	processes map[string]*process
	simulate  *process
	counts    string // URL of the hosts' own counts
	apis      []string
	token     string
	password  string
}

// build brings everything up. Close is owed even after an error.
func (r *rig) build(ctx context.Context) error {
	r.logs = filepath.Join(r.Dir, "logs")
	r.links, r.processes = map[string]*link.Link{}, map[string]*process{}
	if err := os.Mkdir(r.logs, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return fmt.Errorf("making the directory of logs: %w", err)
	}
	if err := r.startServers(ctx); err != nil {
		return err
	}
	if err := r.startSimulate(ctx); err != nil {
		return err
	}
	if err := r.startProcesses(ctx); err != nil {
		return err
	}
	return r.prepare(ctx)
}

func (r *rig) startServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serverLimit)
	defer cancel()
	var err error
	if r.disk, err = newDisk(r.Dir); err != nil {
		return err
	}
	r.postgres = &postgres{dir: filepath.Join(r.disk.dir, "pg"), moved: func(address string) { r.lead(plan.Postgres, address) }}
	if err := r.postgres.start(ctx); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if r.disk.kind != "" {
		programs := r.postgres.server.Programs()
		if err := errors.Join(r.postgres.stop(ctx), r.postgres.finely(ctx, programs), r.postgres.start(ctx)); err != nil {
			return fmt.Errorf("starting PostgreSQL: %w", err)
		}
	}
	r.redis = &redis{dir: filepath.Join(r.Dir, "redis"), moved: func(address string) { r.lead(plan.Redis, address) }}
	if err := r.redis.start(ctx); err != nil {
		return fmt.Errorf("starting Redis: %w", err)
	}
	return nil
}

// lead lets all links to the server lead to the address.
func (r *rig) lead(server, address string) {
	for name, l := range r.links {
		if strings.HasSuffix(name, " to "+server) {
			l.To(address)
		}
	}
}

func (r *rig) startSimulate(ctx context.Context) error {
	counts, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	r.counts = "http://" + counts + "/"
	r.simulate, err = newProcess(r.Log, r.logs, "simulate", filepath.Join(r.Bin, "rollcall"), []string{
		"simulate", "--hosts", strconv.Itoa(r.Hosts), "--latency", "100ms", "--seed", strconv.FormatUint(r.Seed, 10),
		"--counts", counts, "--inventory", filepath.Join(r.Dir, "inventory.ndjson"),
	}, nil)
	if err != nil {
		return err
	}
	return r.simulate.start()
}

func (r *rig) startProcesses(ctx context.Context) error {
	keys, err := exec.CommandContext(ctx, filepath.Join(r.Bin, "rollcall"), "keygen").Output() //nolint:gosec // our own build
	if err != nil {
		return fmt.Errorf("making keys: %w", err)
	}
	r.password = "chaos " + strconv.FormatUint(rand.Uint64(), 36) //nolint:gosec // of an installation that lives for minutes on loopback
	for _, p := range processes() {
		if err := r.startProcess(ctx, p.name, p.binary, string(keys)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, serverLimit)
	defer cancel()
	for _, p := range r.processes {
		if err := p.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startProcess starts one process behind links of its own.
func (r *rig) startProcess(ctx context.Context, name, binary, keys string) error {
	database, redis := r.postgres.url(), r.redis.server.URL()
	for server, address := range map[string]string{plan.Postgres: database, plan.Redis: redis} {
		l, err := link.Open(ctx, hostOf(address))
		if err != nil {
			return err
		}
		r.links[name+" to "+server] = l
	}
	first, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	second, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	env := append(strings.Split(strings.TrimSpace(keys), "\n"),
		"DATABASE_URL="+through(database, r.links[name+" to "+plan.Postgres].Addr()),
		"REDIS_URL="+through(redis, r.links[name+" to "+plan.Redis].Addr()),
		"ROLLCALL_ADMIN_PASSWORD="+r.password, "ROLLCALL_LOG_FORMAT=json", "ROLLCALL_DRAIN=0s", "HOME="+r.Dir,
		"ROLLCALL_HTTP_ADDR="+first, "ROLLCALL_GRPC_ADDR="+second, "ROLLCALL_OPS_ADDR="+first,
		"ROLLCALL_WORKER_CONCURRENCY=40", // three workers share this machine with everything else
	)
	p, err := newProcess(r.Log, r.logs, name, filepath.Join(r.Bin, binary), nil, env)
	if err != nil {
		return err
	}
	p.ops = "http://" + first
	if binary == "api" {
		r.apis = append(r.apis, p.ops)
	}
	r.processes[name] = p
	return p.start()
}

// close ends everything in order. It may be called at any time after build has begun.
func (r *rig) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverLimit)
	defer cancel()
	var errs []error
	all := []*process{r.simulate}
	for _, p := range r.processes {
		all = append(all, p)
	}
	for _, p := range all {
		if p != nil {
			errs = append(errs, p.down(ctx, syscall.SIGKILL), p.out.Close())
		}
	}
	for _, l := range r.links {
		l.Close()
	}
	if r.redis != nil && r.redis.server != nil {
		errs = append(errs, r.redis.stop(ctx))
	}
	if r.postgres != nil && r.postgres.server != nil {
		errs = append(errs, r.postgres.stop(ctx), keepLog(filepath.Join(r.postgres.dir, "postgres.log"), r.logs))
	}
	if r.disk != nil {
		errs = append(errs, r.disk.close())
	}
	return errors.Join(errs...)
}

// keepLog copies a log out of what is about to go.
func keepLog(path, logs string) error {
	from, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return fmt.Errorf("keeping a log: %w", err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.Create(filepath.Join(logs, filepath.Base(path))) //nolint:gosec // our own
	if err != nil {
		return fmt.Errorf("keeping a log: %w", err)
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// Ports that the kernel gives to nobody by itself, so that a process which is down for a moment finds its own again.
const (
	firstPort = 15_000
	portRange = 15_000
)

// freeAddress returns an address on loopback at which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(portRange))) //nolint:gosec // any will do
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		return address, l.Close()
	}
	return "", errNoPort
}

var errNoPort = errors.New("finding a free port: a hundred were taken")
