//go:build unix

package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// sharedLinger is how long the shared server outlives its last user, in steps of a fifth of a second: long enough
// for "go test" to start the next package's tests, short enough that nobody finds it afterwards.
const sharedLinger = 20

// sharedKeeper is the parent of the shared server. It learns from a named pipe who uses the server: every user
// keeps the pipe open for writing, and the kernel closes it for those that die. A user announces himself with a
// word and waits for a file of that name, which proves that the keeper was still listening after the pipe had been
// opened. When nobody has been there for a while the keeper takes the pipe away first, so that nobody can come any
// more, and then ends the server and removes everything.
//
// It is a script because a test binary cannot be asked to be anything but a test.
const sharedKeeper = `
dir=$1; linger=$2; shift 2
trap '' HUP INT
(
	"$@" </dev/null &
	echo $! >"$dir/pid"
	wait $!
	: >"$dir/ended"
) </dev/null &
idle=0
while [ "$idle" -lt "$linger" ] && [ ! -e "$dir/ended" ]; do
	if read -r word; then
		idle=0
		case $word in ''|*[!0-9a-f]*) ;; *) : >"$dir/acks/$word" ;; esac
	else
		idle=$((idle + 1))
		sleep 0.2
	fi
done
rm -f "$dir/users"
kill -INT "$(cat "$dir/pid")" 2>/dev/null
wait
cd / && rm -rf -- "$dir"
`

// A sharedServer is what the file "current" says about the running server.
type sharedServer struct {
	Dir string `json:"dir"`
	URL string `json:"url"`
}

// SharedForTests returns the URL of a PostgreSQL server for tests, an ephemeral one as StartPostgres would start it.
// All test binaries of this user that run at about the same time share one server, which the first of them starts
// and which ends by itself a few seconds after the last of them has ended, however it ended. A caller therefore has
// nothing to stop, must make databases of its own, and calls this once per process, since every call keeps a file
// descriptor until the process ends. If ROLLCALL_TEST_DATABASE_URL is set, that is the answer.
func SharedForTests(ctx context.Context) (string, error) {
	if url, ok := os.LookupEnv("ROLLCALL_TEST_DATABASE_URL"); ok && url != "" {
		return url, nil
	}
	base, err := ensureDir(filepath.Join(os.TempDir(), "rollcall-tests-v1-"+strconv.Itoa(os.Geteuid())))
	if err != nil {
		return "", err
	}
	if err := checkOwn(base); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	lock, err := waitForLock(ctx, filepath.Join(base, "lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for the shared PostgreSQL: %w", err)
	}
	defer func() { _ = unlockFile(lock) }()
	if s, ok := currentShared(base); ok && rejoinShared(ctx, s) == nil {
		return s.URL, nil
	}
	sweepShared(ctx, base)
	s, err := startShared(ctx, base)
	if err != nil {
		return "", fmt.Errorf("starting the shared PostgreSQL: %w", err)
	}
	return s.URL, nil
}

// checkOwn refuses a directory that somebody else has put in our way in the common directory for temporary files.
func checkOwn(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if uid, _ := ownerOf(info); !info.IsDir() || uid != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fleet.Errorf(fleet.Forbidden, "%s is not a directory of our own; remove it or set TMPDIR", dir)
	}
	return nil
}

// serversDir is where the servers' directories are; it belongs to the account that runs them.
func serversDir(base string) string { return filepath.Join(base, "servers") }

// currentShared reads which server runs, if any.
func currentShared(base string) (sharedServer, bool) {
	text, err := readSmall(filepath.Join(base, "current"), 4<<10)
	if err != nil {
		return sharedServer{}, false
	}
	var s sharedServer
	err = json.Unmarshal(text, &s)
	return s, err == nil && filepath.Dir(s.Dir) == serversDir(base)
}

// rejoinShared makes this process a user of a server that was started by another.
func rejoinShared(ctx context.Context, s sharedServer) error {
	leave, err := joinShared(ctx, s)
	if err != nil {
		return err
	}
	if err := s.answers(ctx); err != nil {
		leave()
		return err
	}
	return nil
}

// joinShared makes this process a user of the server until it ends, or calls leave.
func joinShared(ctx context.Context, s sharedServer) (leave func(), err error) {
	// A bare descriptor and not an *os.File, which would be closed when the garbage collector finds it.
	users, err := syscall.Open(filepath.Join(s.Dir, "users"), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("joining the shared PostgreSQL: %w", err)
	}
	leave = func() { _ = syscall.Close(users) }
	if err := announce(ctx, users, s); err != nil {
		leave()
		return nil, fmt.Errorf("joining the shared PostgreSQL: %w", err)
	}
	return leave, nil
}

// announce tells the keeper of a new user and waits for its answer.
func announce(ctx context.Context, users int, s sharedServer) error {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	word := hex.EncodeToString(random)
	if _, err := syscall.Write(users, []byte(word+"\n")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ack := filepath.Join(s.Dir, "acks", word)
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		if os.Remove(ack) == nil {
			return true, nil
		}
		_, err := os.Lstat(filepath.Join(s.Dir, "users"))
		return false, err // the keeper may have taken the pipe away
	})
}

// answers says whether the server accepts logins.
func (s sharedServer) answers(ctx context.Context) error {
	if _, err := os.Lstat(filepath.Join(s.Dir, "ended")); err == nil {
		return fleet.Errorf(fleet.Unavailable, "the shared PostgreSQL has ended by itself")
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("reading the shared server's URL: %w", err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return fmt.Errorf("reading the shared server's URL: %w", err)
	}
	return pingPostgres(ctx, port)
}

// sweepShared removes what killed keepers left. The caller holds the lock, so no server is starting, and none
// whose keeper listens is touched.
func sweepShared(ctx context.Context, base string) {
	found, _ := filepath.Glob(filepath.Join(serversDir(base), "server-*")) // the one error is a bad pattern
	for _, dir := range found {
		users, err := syscall.Open(filepath.Join(dir, "users"), syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err == nil {
			_ = syscall.Close(users)
			continue
		}
		data, _ := filepath.Glob(filepath.Join(dir, "pg[0-9]*"))
		for _, d := range data {
			c := cluster{data: d}
			_ = c.endOrphan(ctx, slog.New(slog.DiscardHandler)) // what cannot be ended must not keep tests from running
		}
		_ = os.RemoveAll(dir) // what is left is found again the next time
	}
}

// startShared starts a server with a keeper, and joins it.
func startShared(ctx context.Context, base string) (sharedServer, error) {
	o := PostgresOptions{Ephemeral: true}
	if err := o.complete(); err != nil {
		return sharedServer{}, err
	}
	servers := serversDir(base)
	if err := os.MkdirAll(servers, 0o700); err != nil {
		return sharedServer{}, err
	}
	dir, err := os.MkdirTemp(servers, "server-*")
	if err != nil {
		return sharedServer{}, err
	}
	if err := errors.Join(openDir(base), openDir(servers)); err != nil {
		return sharedServer{}, err
	}
	c, err := openCluster(ctx, o.Log, dir, o)
	if err == nil {
		// The keeper has to take the directory out of this one in the end.
		uid, gid := c.id.owner()
		err = os.Lchown(servers, uid, gid)
	}
	if err != nil {
		return sharedServer{}, errors.Join(err, os.RemoveAll(dir))
	}
	s, err := c.share(ctx, dir)
	if err != nil {
		return sharedServer{}, errors.Join(err, os.RemoveAll(dir))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return sharedServer{}, err
	}
	return s, writeWhole(filepath.Join(base, "current"), text)
}

// share runs the server under a keeper that does not end with this process.
func (c *cluster) share(ctx context.Context, dir string) (sharedServer, error) {
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "acks"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "users"), 0o600),
	} {
		if err != nil {
			return sharedServer{}, fmt.Errorf("preparing the keeper: %w", err)
		}
	}
	if err := own(dir, c.id); err != nil { // the keeper has to remove it
		return sharedServer{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return sharedServer{}, err
	}
	s := sharedServer{Dir: dir, URL: c.url(port)}
	if err := c.startKeeper(dir, port); err != nil {
		return sharedServer{}, err
	}
	leave, err := joinShared(ctx, s)
	if err != nil {
		return sharedServer{}, err
	}
	if err := c.awaitShared(ctx, s, port); err != nil {
		leave()
		return sharedServer{}, err
	}
	return s, nil
}

// startKeeper starts the keeper, which starts the server, in a session of its own: no signal to the terminal or to
// this process reaches it.
func (c *cluster) startKeeper(dir string, port int) error {
	// Opened without waiting for a writer, then made an ordinary pipe again for the shell's read.
	fd, err := syscall.Open(filepath.Join(dir, "users"), syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the keeper's pipe: %w", err)
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		_ = syscall.Close(fd)
		return fmt.Errorf("opening the keeper's pipe: %w", err)
	}
	users := os.NewFile(uintptr(fd), "users")
	defer func() { _ = users.Close() }()
	output, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // in a directory that we have just made
	if err != nil {
		return fmt.Errorf("opening the server's log: %w", err)
	}
	defer func() { _ = output.Close() }()
	attr := childAttr(c.id, 0)
	attr.Setpgid, attr.Setsid = false, true
	settings := map[string]string{"max_connections": "400", "log_min_messages": "fatal"} // tests provoke errors, and nobody rotates this log
	args := append([]string{"sh", "-c", sharedKeeper, "keeper", dir, strconv.Itoa(sharedLinger), c.build.postgres()}, c.args(port, settings)...)
	keeper, err := os.StartProcess("/bin/sh", args, &os.ProcAttr{
		Dir: "/", Env: childEnv(), Files: []*os.File{users, output, output}, Sys: attr,
	})
	if err != nil {
		return fmt.Errorf("starting the keeper: %w", err)
	}
	return keeper.Release() // it outlives us, and is nobody's child then
}

// awaitShared waits until the server that the keeper has started answers.
func (c *cluster) awaitShared(ctx context.Context, s sharedServer, port int) error {
	err := poll(ctx, 10*time.Millisecond, func() (bool, error) {
		if _, err := os.Lstat(filepath.Join(s.Dir, "ended")); err == nil {
			return false, errors.New("it has ended")
		}
		pm, err := readPostmaster(c.data)
		return err == nil && pm.ready && pingPostgres(ctx, port) == nil, nil
	})
	if err == nil {
		return nil
	}
	text, _ := readSmall(filepath.Join(s.Dir, "log"), 64<<10) // it explains what err only states
	return fleet.Wrap(err, fleet.Unavailable, "PostgreSQL did not start; its last words:\n%s", lastLines(string(text), 12))
}
