// Package storetest gives tests a Store on a real PostgreSQL: ROLLCALL_TEST_DATABASE_URL if set, else a private
// server that the test binaries of one run share.
package storetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/embedded"
	"github.com/rollcallhq/rollcall/pkg/store"
	schema "github.com/rollcallhq/rollcall/sql"
)

// New returns a Store whose writes nobody else sees and which are rolled back when the test ends. It belongs to one
// transaction: one goroutine at a time.
func New(tb testing.TB) *store.Store {
	tb.Helper()
	pool, err := shared()
	if err != nil {
		tb.Fatalf("opening the test database: %v", err)
	}
	tx, err := pool.Begin(tb.Context())
	if err != nil {
		tb.Fatalf("beginning the test's transaction: %v", err)
	}
	tb.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(tb.Context())) })
	return store.New(tx)
}

// Database returns the URL of a database of the test's own, migrated and with its partitions, for tests that need
// several connections or processes. It is dropped when the test ends.
func Database(tb testing.TB) string {
	tb.Helper()
	template, err := template()
	if err != nil {
		tb.Fatalf("preparing the test database: %v", err)
	}
	name := fmt.Sprintf("t_%d_%d", time.Now().UnixNano(), fnvOf(tb.Name()))
	if err := admin("create database " + name + " template " + template.name); err != nil {
		tb.Fatalf("creating the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if err := admin("drop database " + name + " with (force)"); err != nil {
			tb.Logf("dropping the test's database: %v", err)
		}
	})
	return withDatabase(template.server, name)
}

// Empty returns the URL of an empty database of the test's own, for tests of what happens before the schema is there.
func Empty(tb testing.TB) string {
	tb.Helper()
	template, err := template()
	if err != nil {
		tb.Fatalf("preparing the test database: %v", err)
	}
	name := fmt.Sprintf("e_%d_%d", time.Now().UnixNano(), fnvOf(tb.Name()))
	if err := admin("create database " + name); err != nil {
		tb.Fatalf("creating the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if err := admin("drop database " + name + " with (force)"); err != nil {
			tb.Logf("dropping the test's database: %v", err)
		}
	})
	return withDatabase(template.server, name)
}

// Pool returns a Store on a database of the test's own, and its pool.
func Pool(tb testing.TB) (*store.Store, *pgxpool.Pool) {
	tb.Helper()
	pool, err := store.OpenPool(tb.Context(), Database(tb), store.Options{Name: "test"})
	if err != nil {
		tb.Fatalf("opening the test's pool: %v", err)
	}
	tb.Cleanup(pool.Close)
	return store.New(pool), pool
}

func fnvOf(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return h.Sum32()
}

// A templateDB is a migrated database that others are copied from.
type templateDB struct {
	server string
	name   string
}

// template makes the template once for all test binaries that share the server and the same migrations.
var template = sync.OnceValues(func() (templateDB, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := embedded.SharedForTests(ctx)
	if err != nil {
		return templateDB{}, err
	}
	digest, err := digestOfMigrations()
	if err != nil {
		return templateDB{}, err
	}
	t := templateDB{server: server, name: fmt.Sprintf("template_%08x", digest)}
	return t, t.make(ctx)
})

func digestOfMigrations() (uint32, error) {
	h := fnv.New32a()
	err := fs.WalkDir(schema.Migrations, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(schema.Migrations, path)
		_, _ = h.Write(text)
		return err
	})
	_, _ = fmt.Fprint(h, time.Now().UTC().Format("2006-01")) // it has this month's partitions
	return h.Sum32(), err
}

// make makes the template if no other test binary has. It is built under another name and renamed when it is whole.
func (t templateDB) make(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, t.server)
	if err != nil {
		return fmt.Errorf("connecting to the test server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(726355)"); err != nil {
		return err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", t.name).Scan(&exists); err != nil || exists {
		return err
	}
	building := t.name + "_building"
	for _, sql := range []string{"drop database if exists " + building + " with (force)", "create database " + building} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := prepare(ctx, withDatabase(t.server, building)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "alter database "+building+" rename to "+t.name)
	return err
}

func prepare(ctx context.Context, url string) error {
	if err := store.Migrate(ctx, url, ""); err != nil {
		return err
	}
	pool, err := store.OpenPool(ctx, url, store.Options{MaxConns: 1})
	if err != nil {
		return err
	}
	defer pool.Close()
	return store.New(pool).MakePartitions(ctx, time.Now())
}

// shared returns the pool of a database that the tests of this binary use in transactions of their own.
var shared = sync.OnceValues(func() (*pgxpool.Pool, error) {
	t, err := template()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("shared_%d", time.Now().UnixNano())
	if err := admin("create database " + name + " template " + t.name); err != nil {
		return nil, err
	}
	return store.OpenPool(context.Background(), withDatabase(t.server, name), store.Options{Name: "test", MaxConns: 50})
})

// admin runs one statement on the test server.
func admin(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	t, err := template()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, t.server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	u.Path = "/" + name
	return u.String()
}
