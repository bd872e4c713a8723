package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// postgresRole is the name of the one role that can log in, and of its database. It may make databases and roles,
// and is no superuser: who steals its password cannot run programs on this machine.
const postgresRole = "rollcall"

// A cluster is PostgreSQL's files in a directory, with all that is needed to start a server over them.
type cluster struct {
	dir       string // the caller's directory
	data      string // PostgreSQL's own, dir/pg15 for version 15
	build     build
	id        identity
	password  string
	ephemeral bool
}

// openCluster finds the cluster in dir or makes one. The caller holds the lock on dir.
func openCluster(ctx context.Context, log *slog.Logger, dir string, o PostgresOptions) (cluster, error) {
	major, err := dataMajor(dir)
	if err != nil {
		return cluster{}, err
	}
	b, err := findBuild(ctx, o.Source, major, o.Cache)
	if err != nil {
		return cluster{}, err
	}
	id, err := chooseIdentity(ctx, log, dir, b.postgres(), "postgres", "_postgres", "nobody")
	if err != nil {
		return cluster{}, err
	}
	c := cluster{dir: dir, build: b, id: id, ephemeral: o.Ephemeral, data: filepath.Join(dir, "pg"+strconv.Itoa(b.major))}
	known, err := c.readPassword()
	if err != nil {
		return cluster{}, err
	}
	if major == 0 {
		return c, c.init(ctx)
	}
	if err := own(c.data, id); err != nil {
		return cluster{}, err
	}
	if err := c.endOrphan(ctx, log); err != nil {
		return cluster{}, err
	}
	if !known {
		return c, c.setPassword(ctx)
	}
	return c, nil
}

// dataMajor returns the major version that wrote the data in dir, 0 if there is none yet. Of several the newest
// counts, because data is only ever moved on to newer versions.
func dataMajor(dir string) (int, error) {
	found, _ := filepath.Glob(filepath.Join(dir, "pg[0-9]*")) // the one error is a bad pattern
	newest := 0
	for _, data := range found {
		name := filepath.Base(data)
		major, err := strconv.Atoi(strings.TrimPrefix(name, "pg"))
		if err != nil {
			continue // pg15.init and whatever people keep beside it
		}
		text, err := readSmall(filepath.Join(data, "PG_VERSION"), 16)
		if err != nil {
			return 0, fleet.Wrap(err, fleet.Conflict, "%s does not look like PostgreSQL's data; it is left alone: move it away or restore it", data)
		}
		if got := strings.TrimSpace(string(text)); got != strconv.Itoa(major) {
			return 0, fleet.Errorf(fleet.Conflict, "%s holds data of PostgreSQL %q, not of %d; it is left alone: move it to where it belongs", data, got, major)
		}
		newest = max(newest, major)
	}
	return newest, nil
}

func (c *cluster) passwordFile() string { return filepath.Join(c.dir, "postgres.password") }

// readPassword reads the password, or makes one. It says whether the cluster may know it already.
func (c *cluster) readPassword() (known bool, err error) {
	c.password, known, err = readOrMakePassword(c.passwordFile())
	return known, err
}

// readOrMakePassword returns the password in the file at path. Where there is none it makes one and keeps it there.
func readOrMakePassword(path string) (password string, found bool, err error) {
	text, err := readSmall(path, 256)
	if err == nil && passwordForm().Match(text) {
		return strings.TrimSpace(string(text)), true, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("reading a server's password: %w", err)
	}
	password = rand.Text()
	if err := writeWhole(path, []byte(password+"\n")); err != nil {
		return "", false, fmt.Errorf("keeping a server's password: %w", err)
	}
	return password, false, nil
}

// passwordForm is what our passwords look like: nothing in them needs quoting anywhere.
func passwordForm() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]{20,128}\n?$`) }

// init makes the cluster beside its place and renames it there, so that what has the right name is whole. What an
// interrupted one left is removed; nobody's data was ever in it.
func (c *cluster) init(ctx context.Context) error {
	work := c.data + ".init"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("removing what an interrupted initdb left: %w", err)
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return fmt.Errorf("making the database cluster: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := own(work, c.id); err != nil {
		return err
	}
	final := c.data
	c.data = filepath.Join(work, "data")
	if err := c.initdb(ctx); err != nil {
		return err
	}
	if err := os.Rename(c.data, final); err != nil {
		return fmt.Errorf("making the database cluster: %w", err)
	}
	c.data = final
	return syncDir(c.dir)
}

// initdb runs PostgreSQL's own tool, and then makes the role and its database.
func (c *cluster) initdb(ctx context.Context) error {
	args := []string{
		"--pgdata=" + c.data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if c.ephemeral {
		args = append(args, "--no-sync")
	}
	_, err := run(ctx, command{path: c.build.initdb(), args: args, id: c.id, death: syscall.SIGKILL})
	if err != nil {
		return fleet.Wrap(err, fleet.Unavailable, "PostgreSQL could not set up its data in %s", c.dir)
	}
	// Trust was for initdb, which otherwise wants a password for the superuser. It has none and cannot log in.
	hba := "# Written by Rollcall. Passwords only, from this machine only.\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(c.data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return fmt.Errorf("writing pg_hba.conf: %w", err)
	}
	return c.single(ctx,
		"CREATE ROLE "+postgresRole+" LOGIN CREATEDB CREATEROLE PASSWORD '"+c.password+"';",
		"CREATE DATABASE "+postgresRole+" OWNER "+postgresRole+";")
}

// setPassword gives the role the password that the file has.
func (c *cluster) setPassword(ctx context.Context) error {
	return c.single(ctx, "ALTER ROLE "+postgresRole+" PASSWORD '"+c.password+"';")
}

// single runs statements, one a line, as superuser without a server.
func (c *cluster) single(ctx context.Context, statements ...string) error {
	args := []string{"--single", "-D", c.data, "-c", "password_encryption=scram-sha-256", "-c", "log_min_error_statement=panic"}
	if c.ephemeral {
		args = append(args, "-c", "fsync=off")
	}
	out, err := run(ctx, command{
		path: c.build.postgres(), args: append(args, "postgres"), id: c.id, death: syscall.SIGKILL,
		stdin: []byte(strings.Join(statements, "\n") + "\n"),
	})
	if err == nil && (strings.Contains(out, "ERROR:") || strings.Contains(out, "FATAL:")) {
		err = errors.New(out) // it ends with status 0 even when a statement fails
	}
	if err != nil {
		return fleet.Wrap(err, fleet.Unavailable, "PostgreSQL could not set up its role in %s", c.dir)
	}
	return nil
}

// url is the address of the role's database on a server on port.
func (c *cluster) url(port int) string {
	return "postgres://" + postgresRole + ":" + c.password + "@" + address(port) + "/" + postgresRole + "?sslmode=disable"
}

// args are the arguments of the server. Settings on the command line win over files and ALTER SYSTEM.
func (c *cluster) args(port int, settings map[string]string) []string {
	all := map[string]string{
		"max_connections": "200",
		"timezone":        "UTC",
		"log_timezone":    "UTC",
		"jit":             "off", // our queries are short; compiling them costs more than running them
		"cluster_name":    "rollcall",
	}
	if c.ephemeral {
		maps.Copy(all, map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"})
	}
	maps.Copy(all, settings)
	maps.Copy(all, ownSettings(port))
	args := []string{"-D", c.data}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}

// ownSettings are the settings that a caller may not choose, because the server's privacy and its start depend on them.
func ownSettings(port int) map[string]string {
	return map[string]string{
		"listen_addresses":        loopback,
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
		"password_encryption":     "scram-sha-256",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"external_pid_file":       "",
	}
}

// checkSettings refuses names that are no settings, and those that are ours.
func checkSettings(settings map[string]string) error {
	form := regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$`)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		_, ours := ownSettings(0)[name]
		if ours || slices.Contains([]string{"data_directory", "config_file", "hba_file", "ident_file"}, name) {
			return fleet.InvalidField("settings."+name, "is set by Rollcall and cannot be changed")
		}
		if !form.MatchString(name) {
			return fleet.InvalidField("settings", "%q is not the name of a PostgreSQL setting", name)
		}
	}
	return nil
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // a directory of the caller's choice
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
