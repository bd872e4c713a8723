package up

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

// keys are what signs access tokens and seals and opens credentials.
type keys struct {
	Signing string `json:"signing_key"`
	Seal    string `json:"seal_keys"`
	Open    string `json:"open_keys"`
}

// loadKeys returns the keys given, and for those that are not, the ones kept in the data directory, which are made at
// the first start. Losing that file means losing the stored credentials.
func loadKeys(o Options) (keys, error) {
	path := filepath.Join(o.Data, "keys.json")
	kept, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if kept, err = newKeys(); err == nil {
			err = kept.write(path)
		}
	}
	if err != nil {
		return keys{}, fmt.Errorf("loading the keys: %w", err)
	}
	if (o.SealKeys == "") != (o.OpenKeys == "") {
		return keys{}, fleet.Errorf(fleet.Invalid, "set both of ROLLCALL_SEAL_KEYS and ROLLCALL_OPEN_KEYS, or neither")
	}
	return keys{
		Signing: cmp.Or(o.SigningKey, kept.Signing), Seal: cmp.Or(o.SealKeys, kept.Seal), Open: cmp.Or(o.OpenKeys, kept.Open),
	}, nil
}

func readKeys(path string) (keys, error) {
	var k keys
	content, err := os.ReadFile(path) //nolint:gosec // in the data directory that the operator named
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(content, &k); err != nil || k.Signing == "" || k.Seal == "" || k.Open == "" {
		return k, fmt.Errorf("%s is not a file of keys; restore it from a backup, or move it away to start without the stored credentials", path)
	}
	return k, nil
}

func newKeys() (keys, error) {
	raw := make([]byte, 48)
	_, _ = rand.Read(raw) // never fails
	seal, open, err := secret.GenerateKeyPair(fleet.DefaultSite)
	return keys{Signing: base64.StdEncoding.EncodeToString(raw), Seal: seal, Open: open}, err
}

// write keeps the keys for this user alone, whole or not at all.
func (k keys) write(path string) error {
	content, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
