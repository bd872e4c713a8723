// Package sql carries the schema: the migrations, applied by pkg/store in the order of their numbers.
package sql

import "embed"

// Migrations holds migrations/NNN_title.sql. They only go forward, and each is safe while the previous release
// still runs.
//
//go:embed migrations/*.sql
var Migrations embed.FS
