package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// minMajor is the oldest PostgreSQL that Rollcall runs on.
const minMajor = 14

// A Source says where PostgreSQL's programs may come from.
type Source string

// The sources.
const (
	SourceAny      Source = ""         // installed here, else downloaded
	SourceLocal    Source = "local"    // what is on this machine; nothing is downloaded
	SourceDownload Source = "download" // downloaded only, even if it is installed here
)

// A build is a set of PostgreSQL programs of one version.
type build struct {
	bin     string // directory of postgres and initdb
	major   int
	version string // as the program says it: 15.18
}

func (b build) postgres() string { return filepath.Join(b.bin, "postgres") }
func (b build) initdb() string   { return filepath.Join(b.bin, "initdb") }

// findBuild returns programs of the wanted major version, or of any supported one if major is 0.
func findBuild(ctx context.Context, source Source, major int, cache string) (build, error) {
	if source != SourceDownload {
		if b, ok := localBuild(ctx, major); ok {
			return b, nil
		}
	}
	b, err := cachedOrDownloaded(ctx, source, major, cache)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil {
		return build{}, fmt.Errorf("looking for PostgreSQL: %w", ctx.Err())
	}
	wanted, debian := fmt.Sprintf("%d or later", minMajor), "postgresql"
	if major != 0 {
		wanted = fmt.Sprintf("%d, which wrote the data that is there,", major)
		debian = fmt.Sprintf("postgresql-%d", major)
	}
	return build{}, fleet.Wrap(err, fleet.Unavailable,
		"PostgreSQL %s is needed and was not found; three ways out: set DATABASE_URL to a server of yours; install its programs (Debian: apt-get install %s); "+
			"or install npm and let it reach its registry, so that a build can be downloaded", wanted, debian)
}

// cachedOrDownloaded returns the one build that can be downloaded, from the cache if it is there.
func cachedOrDownloaded(ctx context.Context, source Source, major int, cache string) (build, error) {
	if major != 0 && major != downloadMajor {
		return build{}, fmt.Errorf("only PostgreSQL %d can be downloaded", downloadMajor)
	}
	if dir, ok := cachedBuild(cache); ok {
		return inspect(ctx, dir)
	}
	if source == SourceLocal {
		return build{}, errors.New("downloading is not allowed")
	}
	dir, err := download(ctx, cache)
	if err != nil {
		return build{}, err
	}
	b, err := inspect(ctx, dir)
	if err != nil {
		return build{}, fmt.Errorf("the downloaded PostgreSQL does not run on this system: %w", err)
	}
	return b, nil
}

// localBuild returns the first installed build of the wanted major version.
func localBuild(ctx context.Context, major int) (build, bool) {
	seen := map[string]bool{}
	for _, dir := range localDirs(ctx) {
		resolved, err := filepath.EvalSymlinks(dir)
		if err != nil || seen[resolved] {
			continue
		}
		seen[resolved] = true
		b, err := inspect(ctx, resolved)
		if err == nil && b.major >= minMajor && (major == 0 || b.major == major) {
			return b, true
		}
	}
	return build{}, false
}

// localDirs lists where PostgreSQL's programs may be installed, the likeliest first. The directories need not exist.
func localDirs(ctx context.Context) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// Through the link: PostgreSQL finds its own files beside the real program.
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(resolved))
		}
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		if text, err := firstLine(ctx, path, "--bindir"); err == nil && filepath.IsAbs(text) {
			dirs = append(dirs, text)
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                          // Debian
		"/usr/pgsql-*/bin",                                   // the PostgreSQL project's RPMs
		"/usr/libexec/postgresql*",                           // Alpine
		"/opt/homebrew/opt/postgresql*/bin",                  // macOS
		"/usr/local/opt/postgresql*/bin",                     // macOS on Intel
		"/Applications/Postgres.app/Contents/Versions/*/bin", // macOS
	} {
		found, _ := filepath.Glob(pattern) // the one error is a bad pattern
		slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// numberIn returns the first number in text, 0 if there is none.
func numberIn(text string) int {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return 0
	}
	digits := text[start:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.Atoi(digits) // too large is as good as none
	return n
}

// inspect finds out what is in a directory of programs.
func inspect(ctx context.Context, dir string) (build, error) {
	b := build{bin: dir}
	for _, path := range []string{b.postgres(), b.initdb()} {
		if err := isProgram(path); err != nil {
			return build{}, err
		}
	}
	text, err := firstLine(ctx, b.postgres(), "--version") // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	if err != nil {
		return build{}, err
	}
	_, after, ok := strings.Cut(text, "(PostgreSQL) ")
	if !ok {
		return build{}, fmt.Errorf("%s is not PostgreSQL: it says %q", b.postgres(), text)
	}
	b.version, _, _ = strings.Cut(after, " ")
	b.major = numberIn(b.version)
	if b.major == 0 {
		return build{}, fmt.Errorf("%s has no version: it says %q", b.postgres(), text)
	}
	return b, nil
}

// isProgram refuses what is no program of its own. Version managers and distributions put scripts of the same name
// into the path, which choose a server by files in the home directory and do not pass signals on.
func isProgram(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	head, err := readSmall(path, 2)
	if err != nil {
		return err
	}
	if bytes.Equal(head, []byte("#!")) {
		return fmt.Errorf("%s is a script around the real program", path)
	}
	return nil
}

// firstLine runs a program and returns the first line that it prints.
func firstLine(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := run(ctx, command{path: path, args: args, death: syscall.SIGKILL})
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line), nil
}
