package store_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rollcallhq/rollcall/pkg/store"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// patience bounds every wait of a test; none takes that long unless something is wrong.
const patience = 20 * time.Second

// connect opens one connection that the end of the test closes.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// openPool opens a pool that the end of the test closes.
func openPool(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := store.OpenPool(t.Context(), dsn, store.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// exec runs one statement, or several without arguments.
func exec(t *testing.T, db store.DBTX, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the one value that a query yields.
func ask[T any](t *testing.T, db store.DBTX, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// emptyDatabase returns the URL of a database without any schema, which the end of the test drops.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	admin := storetest.Database(t)
	conn := connect(t, admin)
	name := fmt.Sprintf("empty_%d", time.Now().UnixNano())
	exec(t, conn, "create database "+name+" template template0")
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), "drop database "+name+" with (force)"); err != nil {
			t.Errorf("dropping the empty database: %v", err)
		}
	})
	u := parseURL(t, admin)
	u.Path = "/" + name
	return u.String()
}

func parseURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// role makes a role that can log in and do nothing else, and returns its name and how it reaches the database.
func role(t *testing.T, dsn string) (name, asRole string) {
	t.Helper()
	conn := connect(t, dsn)
	name = "app_" + uuid.NewString()[:8]
	exec(t, conn, fmt.Sprintf("create role %s login password 'secret'", name))
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf("grant %[1]s to current_user; drop owned by %[1]s cascade; drop role %[1]s", name)); err != nil {
			t.Errorf("dropping the role: %v", err)
		}
	})
	u := parseURL(t, dsn)
	u.User = url.UserPassword(name, "secret")
	return name, u.String()
}
