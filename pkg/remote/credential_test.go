package remote_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

func TestACredentialNeverShowsItsSecrets(t *testing.T) {
	t.Parallel()
	credential := remote.Credential{
		Kind: remote.KindPassword, Username: "ops",
		PrivateKey: []byte("kkkk"), Passphrase: []byte("pppp"), Password: []byte("wwww"),
	}
	target := remote.Target{Address: "a", Credential: credential}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", credential, &credential, []any{target, &target})
	}
	encoded, err := json.Marshal([]any{credential, &credential, struct{ C remote.Credential }{credential}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "credential", credential, "pointer", &credential)
	}
	for _, secret := range []string{"kkkk", "pppp", "wwww"} {
		for _, form := range []string{
			secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
			strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"), fmt.Sprintf("%#v", []byte(secret)),
		} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%q is in the output:\n%s", form, out.String())
			}
		}
	}
	if !strings.Contains(out.String(), "password of ops") {
		t.Errorf("the output does not name the credential:\n%s", out.String())
	}
}

func TestValidatePrivateKey(t *testing.T) {
	t.Parallel()
	ed := newEd25519(t)
	good := newPair(t, ed)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(ed, "", []byte("sesame"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted := pem.EncodeToMemory(block)
	tests := []struct {
		name       string
		key        []byte
		passphrase string
		field      string // empty: accepted
		message    string
	}{
		{"a plain key", good.pem, "", "", ""},
		{"a plain key with a needless passphrase", good.pem, "x", "", ""},
		{"an ECDSA key", newPair(t, newECDSA(t)).pem, "", "", ""},
		{"an RSA key", newPair(t, newRSA(t)).pem, "", "", ""},
		{"an encrypted key", encrypted, "sesame", "", ""},
		{"an encrypted key without passphrase", encrypted, "", "passphrase", "needs its passphrase"},
		{"an encrypted key with a wrong passphrase", encrypted, "SECRET", "passphrase", "does not open"},
		{"a passphrase without end", encrypted, strings.Repeat("SECRET", 1000), "passphrase", "longer"},
		{"nothing", nil, "", "private_key", "empty"},
		{"a word", []byte("SECRET"), "", "private_key", "not a private key"},
		{"a public key", ssh.MarshalAuthorizedKey(good.signer.PublicKey()), "", "private_key", "public key"},
		{"a PuTTY key", []byte("PuTTY-User-Key-File-3: SECRET"), "", "private_key", "PuTTY"},
		{"encrypted PKCS #8", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("SECRET")}), "x", "private_key", "PKCS #8"},
		{"a damaged key", pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("SECRET")}), "", "private_key", "damaged"},
		{"a short RSA key", newPair(t, small).pem, "", "private_key", "2048"},
		{"a file without end", bytes.Repeat([]byte("SECRET"), 10_000), "", "private_key", "longer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fingerprint, err := remote.ValidatePrivateKey(tt.key, []byte(tt.passphrase))
			if tt.field == "" {
				if err != nil || !strings.HasPrefix(fingerprint, "SHA256:") {
					t.Errorf("ValidatePrivateKey = %q, %v", fingerprint, err)
				}
				return
			}
			fields := fleet.FieldsOf(err)
			if fleet.KindOf(err) != fleet.Invalid || len(fields) != 1 || fields[0].Field != tt.field || !strings.Contains(fields[0].Message, tt.message) {
				t.Errorf("ValidatePrivateKey = %v (fields %v), want Invalid about %s: %s", err, fields, tt.field, tt.message)
			}
			if strings.Contains(fmt.Sprintf("%v %v", err, fields), "SECRET") {
				t.Errorf("the refusal echoes the material: %v", err)
			}
		})
	}
	if got, err := remote.ValidatePrivateKey(good.pem, nil); err != nil || got != ssh.FingerprintSHA256(good.signer.PublicKey()) {
		t.Errorf("fingerprint = %q, %v, want that of the public key", got, err)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	public := newPair(t, newRSA(t)).signer.PublicKey()
	key, err := remote.ParseKey(public.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if key.Algorithm != "ssh-rsa" || key.Fingerprint != ssh.FingerprintSHA256(public) {
		t.Errorf("ParseKey = %s %s", key.Algorithm, key.Fingerprint)
	}
	if want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))); key.AuthorizedLine() != want {
		t.Errorf("AuthorizedLine = %q, want %q", key.AuthorizedLine(), want)
	}
	again, err := remote.ParseAuthorizedLine(key.AuthorizedLine() + " root@web-1\n")
	if err != nil || again.Fingerprint != key.Fingerprint {
		t.Errorf("ParseAuthorizedLine = %+v, %v, want the key again", again, err)
	}
	_, blob, _ := strings.Cut(key.AuthorizedLine(), " ")
	for _, line := range []string{"", "ssh-rsa", "ssh-rsa !!", "ssh-rsa AAAA", "ssh-ed25519 " + blob, strings.Repeat("a ", 40<<10)} {
		if _, err := remote.ParseAuthorizedLine(line); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("ParseAuthorizedLine(%.40q) = %v, want Invalid", line, err)
		}
	}
	if _, err := remote.ParseKey(make([]byte, 20<<10)); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("ParseKey of 20 KiB = %v, want Invalid", err)
	}
}
