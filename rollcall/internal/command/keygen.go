package command

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/secret"
)

type keygenCommand struct {
	Site     []string `help:"Sites to make sealing keys for." default:"default" placeholder:"SITE"`
	Dir      string   `help:"Keep the keys as files in this directory instead of printing them; what is there already stays." placeholder:"DIR" type:"path"`
	Mode     string   `help:"Permissions of the files, in octal." default:"0600"`
	Password []string `help:"With --dir: also keep a random password in this file of it." placeholder:"FILE" sep:"none"`
	Text     []string `help:"With --dir: also write this file of it; {FILE} in the text stands for what FILE of it holds." placeholder:"FILE=TEXT" sep:"none"`
}

// signingBytes is the length of a signing key: more than the 32 bytes that are required.
const signingBytes = 48

// Run prints fresh keys, ready for an environment file, or makes those that a directory lacks.
func (c keygenCommand) Run(in Invocation) error {
	if c.Dir != "" {
		return c.fill(in.Stdout)
	}
	if len(c.Password)+len(c.Text) > 0 {
		return usage{errors.New("--password and --text are files of --dir, which is missing")}
	}
	seals, opens, err := newPairs(c.Site)
	if err != nil {
		return usage{err}
	}
	_, err = fmt.Fprintf(in.Stdout, "ROLLCALL_SIGNING_KEY=%s\nROLLCALL_SEAL_KEYS=%s\nROLLCALL_OPEN_KEYS=%s\n",
		newSigningKey(), strings.Join(seals, ","), strings.Join(opens, ","))
	return err
}

// newPairs returns a fresh pair for each site, as entries of the two lists.
func newPairs(sites []string) (seals, opens []string, err error) {
	for _, site := range sites {
		seal, open, err := secret.GenerateKeyPair(site)
		if err != nil {
			return nil, nil, err
		}
		seals, opens = append(seals, seal), append(opens, open)
	}
	return seals, opens, nil
}

func newSigningKey() string {
	raw := make([]byte, signingBytes)
	_, _ = rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}
