package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

func TestCredentialSurvivesEncoding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]secret.Credential{
		"an encrypted private key":      {PrivateKey: []byte("-----BEGIN"), Passphrase: []byte("tr\"ee\n")},
		"a password that is not UTF-8":  {Password: []byte{0xff, 0x00, 'a'}},
		"nothing at all":                {},
		"a password of everyday tokens": {Password: []byte(`{"password":"x"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := secret.DecodeCredential(c.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.PrivateKey, c.PrivateKey) || !bytes.Equal(got.Passphrase, c.Passphrase) ||
				!bytes.Equal(got.Password, c.Password) {
				t.Error("the decoded credential differs from the encoded one")
			}
		})
	}
}

func TestDecodeCredentialQuotesNothing(t *testing.T) {
	t.Parallel()
	_, err := secret.DecodeCredential([]byte(`{"password":hunter2}`))
	if fleet.KindOf(err) != fleet.Invalid || fleet.CodeOf(err) != secret.CodeSealBroken {
		t.Errorf("err = %v, want Invalid with code %s", err, secret.CodeSealBroken)
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") || strings.Contains(fmt.Sprint(err), "'h'") {
		t.Errorf("the error quotes the secret: %v", err)
	}
}

func TestCredentialPrintsNothing(t *testing.T) {
	t.Parallel()
	c := secret.Credential{PrivateKey: []byte("hunter1"), Passphrase: []byte("hunter2"), Password: []byte("hunter3")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credential", c)
	asJSON, err := json.Marshal(map[string]any{"c": c})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %d %x", c, c, c, c, c, c) + log.String() + string(asJSON)
	for _, leak := range []string{"hunter", fmt.Sprintf("%x", "hunter3"), "104 117 110"} {
		if strings.Contains(printed, leak) {
			t.Errorf("printed %q, which holds %q", printed, leak)
		}
	}
	c.Wipe()
	if diff := cmp.Diff(make([]byte, 7), c.Password); diff != "" {
		t.Errorf("after Wipe the password is still there (-want +got)\n%s", diff)
	}
}
