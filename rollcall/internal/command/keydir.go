package command

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/secret"
)

// Where the keys lie in the directory that keygen fills: one folder for each process that may read them, so that each
// can be given its own and nothing else. They are what the variables NAME_FILE name.
const (
	signingFile = "api/ROLLCALL_SIGNING_KEY"
	sealFile    = "api/ROLLCALL_SEAL_KEYS"
	openFile    = "worker/ROLLCALL_OPEN_KEYS"
)

const (
	passwordBytes  = 24 // 192 bits
	maxSecretBytes = 1 << 20
)

// A keyDir is a directory of secrets, one file each, named by paths with slashes below it.
type keyDir struct {
	root *os.Root
	mode fs.FileMode
	told io.Writer // which files were made and which kept, never what they hold
}

// fill makes what the directory lacks. Whatever a start needs can be made again and again: interrupted anywhere, the
// next call finishes it.
func (c keygenCommand) fill(told io.Writer) error {
	mode, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || mode&0o400 == 0 || mode&^0o666 != 0 {
		return usage{fmt.Errorf("--mode: %q is not a file's permissions such as 0600 or 0644", c.Mode)}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of the keys: %w", err)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return fmt.Errorf("opening the directory of the keys: %w", err)
	}
	defer func() { _ = root.Close() }()
	d := keyDir{root: root, mode: fs.FileMode(mode), told: told}
	if err := d.keep(signingFile, newSigningKey); err != nil {
		return err
	}
	if err := d.keepPairs(c.Site); err != nil {
		return err
	}
	for _, name := range c.Password {
		if err := d.keep(name, newPassword); err != nil {
			return err
		}
	}
	for _, flag := range c.Text {
		if err := d.derive(flag); err != nil {
			return err
		}
	}
	return nil
}

// newPassword returns a random password that needs no escaping in a URL, a shell or a configuration file.
func newPassword() string {
	raw := make([]byte, passwordBytes)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

// keep makes a secret unless it is there.
func (d keyDir) keep(name string, fresh func() string) error {
	if held, err := d.read(name); err != nil || held != "" {
		return cmp.Or(err, d.tell("kept", name))
	}
	return d.write(name, fresh())
}

// keepPairs makes the pairs of the sites that have none. The half that opens is written first: with the half that
// seals missing nothing can have been sealed that could not be opened.
func (d keyDir) keepPairs(sites []string) error {
	seals, err := d.read(sealFile)
	if err != nil {
		return err
	}
	opens, err := d.read(openFile)
	if err != nil {
		return err
	}
	if seals != "" && opens == "" {
		return fmt.Errorf("%s is missing, which opens the stored credentials: put it back from a backup, or remove %s as well and give them up", openFile, sealFile)
	}
	missing := slices.Compact(slices.Sorted(slices.Values(sites)))
	if seals != "" {
		known, err := secret.ParseSealKeys(seals)
		if err != nil {
			return fmt.Errorf("reading %s: %w", sealFile, err)
		}
		missing = slices.DeleteFunc(missing, func(site string) bool { return slices.Contains(known.Sites(), site) })
	}
	if len(missing) == 0 {
		return cmp.Or(d.tell("kept", sealFile), d.tell("kept", openFile))
	}
	newSeals, newOpens, err := newPairs(missing)
	if err != nil {
		return usage{err}
	}
	if err := d.write(openFile, joined(opens, newOpens)); err != nil {
		return err
	}
	return d.write(sealFile, joined(seals, newSeals))
}

// joined is a list of keys with more entries.
func joined(list string, more []string) string {
	if list != "" {
		more = append([]string{list}, more...)
	}
	return strings.Join(more, ",")
}

// derive writes a file that follows from secrets: FILE=TEXT with {FILE} for each.
func (d keyDir) derive(flag string) error {
	name, text, ok := strings.Cut(flag, "=")
	if !ok || text == "" {
		return usage{fmt.Errorf("--text: %q is not FILE=TEXT", name)}
	}
	var problem error
	text = regexp.MustCompile(`\{[^{}]*\}`).ReplaceAllStringFunc(text, func(place string) string {
		held, err := d.read(strings.Trim(place, "{}"))
		if err == nil && held == "" {
			err = errors.New("there is no such file in the directory, nor does a --password make it")
		}
		if err != nil && problem == nil {
			problem = usage{fmt.Errorf("--text %s: %s: %w", name, place, err)}
		}
		return held
	})
	if problem != nil {
		return problem
	}
	held, err := d.read(name)
	if err != nil || held == text {
		return cmp.Or(err, d.tell("kept", name))
	}
	return d.write(name, text)
}

// read returns what a file holds without the line break at its end, and "" if it is not there. An empty file is an
// error: it is no secret, and to replace it could lose one.
func (d keyDir) read(name string) (string, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the keys: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	held := strings.TrimRight(string(content), "\r\n")
	if held == "" || len(content) > maxSecretBytes {
		return "", fmt.Errorf("reading %s: it is empty or has more than %d bytes; put it back from a backup, or remove it", name, maxSecretBytes)
	}
	return held, nil
}

// write writes a file whole or not at all.
func (d keyDir) write(name, content string) error {
	if folder := path.Dir(name); folder != "." {
		if err := d.root.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	part := name + ".part"
	if err := d.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a call that was interrupted
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := d.writePart(part, content); err != nil {
		_ = d.root.Remove(part)
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := d.root.Rename(part, name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return d.tell("made", name)
}

func (d keyDir) writePart(part, content string) error {
	f, err := d.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, d.mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content + "\n")
	if err == nil {
		err = f.Chmod(d.mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	return cmp.Or(err, f.Close())
}

func (d keyDir) tell(what, name string) error {
	_, err := fmt.Fprintf(d.told, "%s %s\n", what, name)
	return err
}
