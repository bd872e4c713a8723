package store

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"

	schema "github.com/rollcallhq/rollcall/sql"
)

const versionTable = "schema_version"

// ExpectedMigration returns the number of the newest migration this program knows.
func ExpectedMigration() (int32, error) {
	files, err := fs.Glob(schema.Migrations, "migrations/*.sql")
	if err != nil {
		return 0, fmt.Errorf("listing the migrations: %w", err)
	}
	return int32(len(files)), nil //nolint:gosec // a handful
}

// Migrate brings the schema of dsn up to date. It takes an advisory lock, so any number of processes may call it
// at once: one migrates, the others wait for it and find nothing left to do. A schema that is newer than this
// program is left alone. A database that was restored from another server's dump is taken in: its changes become the
// oldest of the feed. When appRole is not empty, that role is given what the application needs and not more.
func Migrate(ctx context.Context, dsn, appRole string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("reading the database URL: %w", err)
	}
	config.RuntimeParams["application_name"] = "rollcall-migrate"
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = "0"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fail(err, "connecting to migrate")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	migrator, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fail(err, "preparing to migrate")
	}
	files, err := fs.Sub(schema.Migrations, "migrations")
	if err != nil {
		return fmt.Errorf("opening the migrations: %w", err)
	}
	if err := migrator.LoadMigrations(files); err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	current, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return fail(err, "asking for the schema's version")
	}
	if int(current) < len(migrator.Migrations) {
		if err := migrator.Migrate(ctx); err != nil {
			return fail(err, "migrating")
		}
	}
	if _, err := conn.Exec(ctx, "select adopt_cluster()"); err != nil {
		return fail(err, "taking in the changes of another server")
	}
	if appRole == "" {
		return nil
	}
	return grant(ctx, conn, appRole)
}

// grant gives the application's role what it needs: it may add audit entries but not alter or remove them. It gets
// nothing on partitions, which are reached through their tables and would otherwise be a way around that. The lock
// is there because two grants on one table at once fail.
func grant(ctx context.Context, conn *pgx.Conn, role string) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext('rollcall.grant'))"); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where n.nspname = 'public' and c.relkind in ('r', 'p', 'v') and not c.relispartition order by 1`)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		name, all := pgx.Identifier{role}.Sanitize(), strings.Join(tables, ", ")
		_, err = tx.Exec(ctx, `
			grant usage on schema public to `+name+`;
			grant select, insert, update, delete on `+all+` to `+name+`;
			revoke update, delete, truncate on audit_logs, audit_seals, report_types, cluster from `+name+`;
			revoke insert, update, delete, truncate on `+versionTable+` from `+name+`;
			grant execute on function make_partition(text, date), drop_partition(text), detach_partition(text), uuid_v7(timestamptz) to `+name)
		return err
	})
	return fail(err, "granting the application's role its rights")
}

// WaitForMigration returns when the schema is at the migration this program expects or a newer one. It asks every
// half second and fails only with ctx; report, if not nil, is told each time what is in the way.
func WaitForMigration(ctx context.Context, pool *pgxpool.Pool, report func(error)) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := New(pool).CheckServing(ctx)
		if err == nil {
			return nil
		}
		if report != nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the schema: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
