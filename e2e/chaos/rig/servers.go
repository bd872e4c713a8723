package rig

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/embedded"
)

// diskSize is that of the file system that PostgreSQL has for itself.
const diskSize = 4 << 30

// A postgres is a PostgreSQL server that can be ended in every way and started again over the same files.
type postgres struct {
	dir    string
	server *embedded.Postgres
	moved  func(address string) // told where it listens

	mu sync.Mutex
	at string
}

func (p *postgres) start(ctx context.Context) error {
	server, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: p.dir, Settings: map[string]string{
		"fsync": "on", "max_wal_size": "256MB",
		"wal_recycle": "off", // new files for the write-ahead log are needed soon, so that a full disk is met there, too
	}})
	if err != nil {
		return err
	}
	p.server = server
	p.mu.Lock()
	p.at = server.URL()
	p.mu.Unlock()
	p.moved(hostOf(server.URL()))
	return nil
}

// url is the address of the server that runs or ran last. It may be asked for at any time.
func (p *postgres) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// finely makes the write-ahead log one of small files, so that a disk that is full for seconds is met there, too: then
// PostgreSQL gives up, where elsewhere it refuses. The server must be stopped. Programs are those of the server.
func (p *postgres) finely(ctx context.Context, programs string) error {
	data, _ := filepath.Glob(filepath.Join(p.dir, "pg[0-9]*")) // the one error is a bad pattern
	if len(data) != 1 {
		return fmt.Errorf("finding the server's files: %d directories", len(data))
	}
	command := exec.CommandContext(ctx, filepath.Join(programs, "pg_resetwal"), "--wal-segsize=1", "-D", data[0]) //nolint:gosec // our own
	command.Dir = "/"
	attr, err := ownerAttr(data[0])
	if err != nil {
		return err
	}
	command.SysProcAttr = attr
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("making the files of the log small: %w: %s", err, out)
	}
	return nil
}

// stop is a fast shutdown.
func (p *postgres) stop(ctx context.Context) error { return p.server.Stop(ctx) }

// crash kills the server and all of its processes.
func (p *postgres) crash(ctx context.Context) error {
	files, _ := filepath.Glob(filepath.Join(p.dir, "pg[0-9]*", "postmaster.pid")) // the one error is a bad pattern
	if len(files) != 1 {
		return fmt.Errorf("finding the server's process: %d files", len(files))
	}
	pid, err := pidIn(files[0])
	if err != nil {
		return err
	}
	own := children(pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for _, child := range own {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	return p.buried(ctx)
}

// buried waits until a server that is dying has ended, and gives back what it held.
func (p *postgres) buried(ctx context.Context) error {
	select {
	case <-p.server.Done():
		return p.server.Stop(ctx)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of PostgreSQL: %w", ctx.Err())
	}
}

// down reports whether the server has ended.
func (p *postgres) down() bool {
	select {
	case <-p.server.Done():
		return true
	default:
		return false
	}
}

// A redis is a Redis server likewise.
type redis struct {
	dir    string
	server *embedded.Redis
	moved  func(address string)
}

var errNoRedis = errors.New("redis-server is not installed: the one inside of this process cannot be killed")

func (r *redis) start(ctx context.Context) error {
	server, err := embedded.StartRedis(ctx, embedded.RedisOptions{Dir: r.dir})
	if err != nil {
		return err
	}
	r.server = server
	if server.InProcess() {
		return errors.Join(errNoRedis, server.Stop(ctx))
	}
	r.moved(hostOf(server.URL()))
	return nil
}

func (r *redis) stop(ctx context.Context) error { return r.server.Stop(ctx) }

// wipe kills the server and deletes its files.
func (r *redis) wipe(ctx context.Context) error {
	pid, err := pidIn(filepath.Join(r.dir, "redis", "redis.pid"))
	if err != nil {
		return err
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	select {
	case <-r.server.Done():
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of Redis: %w", ctx.Err())
	}
	return errors.Join(r.server.Stop(ctx), os.RemoveAll(filepath.Join(r.dir, "redis")))
}

// pidIn returns the process that the first line of the file names.
func pidIn(path string) (int, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a server of our own wrote it
	if err != nil {
		return 0, fmt.Errorf("finding a server's process: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !slices.Contains(children(os.Getpid()), pid) { // nobody else's is ended
		return 0, fmt.Errorf("finding a server's process: %s says %q, which is none of ours", path, line)
	}
	return pid, nil
}

// hostOf returns host and port of a URL.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// through returns the URL with another host and port.
func through(address, host string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.Host = host
	return u.String()
}

// A disk is the file system that PostgreSQL has for itself, if this process may mount one.
type disk struct {
	dir    string
	kind   string // what it is; empty: there is none
	reason string // why there is none
}

// newDisk mounts a disk at dir/disk, or makes an ordinary directory of that name where it may not.
func newDisk(dir string) (*disk, error) {
	d := &disk{dir: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's account has to pass
		return nil, fmt.Errorf("making the disk's directory: %w", err)
	}
	kind, err := mountDisk(d.dir, filepath.Join(dir, "disk.img"), diskSize)
	if err != nil {
		d.reason = err.Error()
		return d, nil //nolint:nilerr // it is said in the table
	}
	d.kind = kind
	return d, nil
}

// full leaves nothing on the disk until the function that it returns is called.
func (d *disk) full() (empty func(), err error) {
	file, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		return nil, fmt.Errorf("filling the disk: %w", err)
	}
	empty = func() { _ = os.Remove(file.Name()) }
	err = fill(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		empty()
		return nil, err
	}
	return empty, nil
}

func (d *disk) close() error {
	if d.kind == "" {
		return nil
	}
	d.kind = ""
	return unmountDisk(d.dir)
}

const serverLimit = 90 * time.Second // for what a server does, recovery after a crash included
