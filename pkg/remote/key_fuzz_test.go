package remote_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/remote"
)

// FuzzHostKeys reads what a host may show and what somebody may paste.
func FuzzHostKeys(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20abcdefghijklmnopqrstuvwxyz012345"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDEyMzQ1 me")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, blob []byte, line string) {
		if key, err := remote.ParseKey(blob); err == nil && key.Fingerprint == "" {
			t.Errorf("%x has no fingerprint", blob)
		}
		_, _ = remote.ParseAuthorizedLine(line)
		_, _ = remote.ValidatePrivateKey(blob, []byte(line))
	})
}
