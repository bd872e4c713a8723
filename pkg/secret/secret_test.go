package secret_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/secret"
)

type pair struct{ seal, open string }

func newPair(tb testing.TB, site string) pair {
	tb.Helper()
	seal, open, err := secret.GenerateKeyPair(site)
	if err != nil {
		tb.Fatalf("GenerateKeyPair(%q): %v", site, err)
	}
	return pair{seal, open}
}

func sealKeys(tb testing.TB, entries ...string) *secret.SealKeys {
	tb.Helper()
	keys, err := secret.ParseSealKeys(strings.Join(entries, ","))
	if err != nil {
		tb.Fatalf("ParseSealKeys: %v", err)
	}
	return keys
}

func openKeys(tb testing.TB, entries ...string) *secret.OpenKeys {
	tb.Helper()
	keys, err := secret.ParseOpenKeys(strings.Join(entries, ","))
	if err != nil {
		tb.Fatalf("ParseOpenKeys: %v", err)
	}
	return keys
}

func material(entry string) string {
	_, key, _ := strings.Cut(entry, ":")
	return key
}

// renamed gives the key of entry another name.
func renamed(entry, name string) string { return name + ":" + material(entry) }

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	p := newPair(t, "eu-1")
	owner := uuid.New()
	for _, size := range []int{0, 1, 400, secret.MaxPlaintext} {
		t.Run(fmt.Sprintf("%d bytes come back as they were", size), func(t *testing.T) {
			t.Parallel()
			plaintext := bytes.Repeat([]byte{'x'}, size)
			keyID, sealed, err := sealKeys(t, p.seal).Seal("eu-1", owner, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if size > 1 && bytes.Contains(sealed, plaintext) {
				t.Error("the seal shows the plaintext")
			}
			got, err := openKeys(t, p.open).Open("eu-1", keyID, owner, sealed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, plaintext) {
				t.Errorf("opened %d bytes that differ from the %d sealed ones", len(got), len(plaintext))
			}
		})
	}
}

func TestSealingTwiceGivesDifferentSeals(t *testing.T) {
	t.Parallel()
	keys, owner := sealKeys(t, newPair(t, "eu").seal), uuid.New()
	_, first, err := keys.Seal("eu", owner, []byte("same"))
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := keys.Seal("eu", owner, []byte("same"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, second) {
		t.Error("two seals of one secret are equal, so readers of the database see which passwords are shared")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	eu, us := newPair(t, "eu"), newPair(t, "us")
	// The same key under a second site and a second ID: only the binding keeps these apart.
	open := openKeys(t, renamed(eu.open, "eu/a"), renamed(eu.open, "eu/b"), renamed(eu.open, "asia/a"), us.open)
	owner := uuid.New()
	keyID, sealed, err := sealKeys(t, renamed(eu.seal, "eu/a")).Seal("eu", owner, []byte("hunter2hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Open("eu", keyID, owner, sealed); err != nil {
		t.Fatalf("the untouched seal does not open: %v", err)
	}
	flip := func(i int) []byte {
		altered := slices.Clone(sealed)
		altered[i] ^= 1
		return altered
	}
	tests := []struct {
		name   string
		site   string
		keyID  string
		owner  uuid.UUID
		sealed []byte
		kind   fleet.Kind
		code   string
	}{
		{"a seal moved to another credential", "eu", "a", uuid.New(), sealed, fleet.Invalid, secret.CodeSealBroken},
		{"a seal moved to another site with the same key", "asia", "a", owner, sealed, fleet.Invalid, secret.CodeSealBroken},
		{"a seal said to be of another key ID", "eu", "b", owner, sealed, fleet.Invalid, secret.CodeSealBroken},
		{"a key that is not held", "eu", "c", owner, sealed, fleet.NotFound, secret.CodeNoOpenKey},
		{"a site that is not served", "mars", "a", owner, sealed, fleet.NotFound, secret.CodeNoOpenKey},
		{"another version", "eu", "a", owner, flip(0), fleet.Invalid, secret.CodeSealBroken},
		{"an altered encapsulated key", "eu", "a", owner, flip(5), fleet.Invalid, secret.CodeSealBroken},
		{"an altered ciphertext", "eu", "a", owner, flip(40), fleet.Invalid, secret.CodeSealBroken},
		{"an altered tag", "eu", "a", owner, flip(len(sealed) - 1), fleet.Invalid, secret.CodeSealBroken},
		{"a seal cut short", "eu", "a", owner, sealed[:len(sealed)-1], fleet.Invalid, secret.CodeSealBroken},
		{"a seal shorter than its header", "eu", "a", owner, sealed[:20], fleet.Invalid, secret.CodeSealBroken},
		{"no seal at all", "eu", "a", owner, nil, fleet.Invalid, secret.CodeSealBroken},
		{"an encapsulated key of low order", "eu", "a", owner, append([]byte{1}, make([]byte, 60)...), fleet.Invalid, secret.CodeSealBroken},
		{"a seal that is too long", "eu", "a", owner, make([]byte, secret.MaxPlaintext+100), fleet.Invalid, secret.CodeSealBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := open.Open(tt.site, tt.keyID, tt.owner, tt.sealed)
			if fleet.KindOf(err) != tt.kind || fleet.CodeOf(err) != tt.code || got != nil {
				t.Errorf("Open = %q, %v (kind %d, code %s), want kind %d, code %s",
					got, err, fleet.KindOf(err), fleet.CodeOf(err), tt.kind, tt.code)
			}
		})
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	keys := sealKeys(t, newPair(t, "eu").seal)
	_, _, err := keys.Seal("us", uuid.New(), []byte("x"))
	if fleet.KindOf(err) != fleet.Invalid || fleet.CodeOf(err) != secret.CodeNoSealKey {
		t.Errorf("sealing for a site without a key = %v (code %s)", err, fleet.CodeOf(err))
	}
	_, _, err = keys.Seal("eu", uuid.New(), make([]byte, secret.MaxPlaintext+1))
	if fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("sealing too long a secret = %v", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	old, fresh, us := newPair(t, "eu"), newPair(t, "eu"), newPair(t, "us")
	owner := uuid.New()
	oldID, oldSeal, err := sealKeys(t, old.seal).Seal("eu", owner, []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	seals := sealKeys(t, us.seal, fresh.seal, old.seal)
	newID, newSeal, err := seals.Seal("eu", owner, []byte("after"))
	if err != nil {
		t.Fatal(err)
	}
	if current, ok := seals.CurrentKey("eu"); !ok || current != newID || newID == oldID {
		t.Errorf("sealed with %s, current is %s, the old one is %s", newID, current, oldID)
	}
	if _, ok := seals.CurrentKey("mars"); ok {
		t.Error("a site without a key has a current one")
	}
	opens := openKeys(t, fresh.open, old.open)
	for keyID, tt := range map[string]struct {
		sealed []byte
		want   string
	}{oldID: {oldSeal, "before"}, newID: {newSeal, "after"}} {
		got, err := opens.Open("eu", keyID, owner, tt.sealed)
		if err != nil || string(got) != tt.want {
			t.Errorf("Open with key %s = %q, %v, want %q", keyID, got, err, tt.want)
		}
	}
	if got := seals.Sites(); !slices.Equal(got, []string{"us", "eu"}) {
		t.Errorf("Sites = %q, want us and eu in the order of the list", got)
	}
	if got := opens.Sites(); !slices.Equal(got, []string{"eu"}) {
		t.Errorf("Sites of the open keys = %q, want eu once", got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	p := newPair(t, "eu")
	encode := base64.StdEncoding.EncodeToString
	tests := []struct {
		name string
		list string
		want []string // what both parsers' errors hold
	}{
		{"an empty list", " ", []string{"empty", "site/id:base64"}},
		{"an empty entry", p.seal + ",", []string{"entry 2", "is empty"}},
		{"an entry without a colon", "eu/a", []string{"entry 1", "no colon"}},
		{"a bare key", encode(make([]byte, 32)), []string{"entry 1", "no colon"}},
		{"an entry without a slash", "eu:" + material(p.seal), []string{"entry 1", "no slash"}},
		{"an entry without a site", "/a:" + material(p.seal), []string{"entry 1", "the site"}},
		{"an entry without an ID", "eu/:" + material(p.seal), []string{"entry 1", "the ID"}},
		{"a site with a space", "e u/a:" + material(p.seal), []string{"entry 1", "the site"}},
		{"a site of 64 letters", strings.Repeat("a", 64) + "/a:" + material(p.seal), []string{"entry 1", "the site"}},
		{"a key that is not base64", "eu/a:$$$", []string{"entry 1", "not base64"}},
		{"a key of 31 bytes", "eu/a:" + encode(make([]byte, 31)), []string{"entry 1", "31 bytes instead of 32"}},
		{"one name twice", "eu/a:" + material(p.seal) + ",us/a:" + material(p.seal) + ",eu/a:" + material(p.seal), []string{"entry 3", "entry 1"}},
		{"a list of a mebibyte", strings.Repeat("x", 1<<20+1), []string{"longer than"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, sealErr := secret.ParseSealKeys(tt.list)
			_, openErr := secret.ParseOpenKeys(strings.ReplaceAll(tt.list, p.seal, p.open))
			for _, err := range []error{sealErr, openErr} {
				if fleet.KindOf(err) != fleet.Invalid {
					t.Fatalf("error = %v (kind %d), want Invalid", err, fleet.KindOf(err))
				}
				for _, want := range tt.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				if key := material(p.seal); strings.Contains(err.Error(), key) || strings.Contains(err.Error(), encode(make([]byte, 32))) {
					t.Errorf("error %q shows the key", err)
				}
			}
		})
	}
}

func TestParseNoticesUnusableAndMixedUpKeys(t *testing.T) {
	t.Parallel()
	p := newPair(t, "eu")
	if _, err := secret.ParseSealKeys("eu/a:" + base64.StdEncoding.EncodeToString(make([]byte, 32))); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a public key of low order = %v, want Invalid", err)
	}
	_, err := secret.ParseSealKeys(p.open)
	if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), "mixed up") {
		t.Errorf("a private key among the seal keys = %v, want it noticed", err)
	}
	if err != nil && strings.Contains(err.Error(), material(p.open)) {
		t.Error("the error shows the private key")
	}
	if _, err := secret.ParseOpenKeys(p.seal); fleet.KindOf(err) != fleet.Invalid {
		t.Errorf("a public key among the open keys = %v, want it noticed", err)
	}
	if _, err := secret.ParseSealKeys(strings.TrimRight(p.seal, "=") + " , " + newPair(t, "us").seal); err != nil {
		t.Errorf("spaces around entries and missing padding are refused: %v", err)
	}
}

func TestGenerateKeyPairRefusesABadSite(t *testing.T) {
	t.Parallel()
	for _, site := range []string{"", "a/b", "a,b", "a:b", "ä", ".a"} {
		if _, _, err := secret.GenerateKeyPair(site); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("GenerateKeyPair(%q) = %v, want Invalid", site, err)
		}
	}
}

func TestKeysNeverPrint(t *testing.T) {
	t.Parallel()
	p := newPair(t, "eu")
	seals, opens := sealKeys(t, p.seal), openKeys(t, p.open)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "seal", seals, "open", opens)
	slog.New(slog.NewTextHandler(&log, nil)).Info("keys", "seal", *seals, "open", *opens)
	printed := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		printed = append(printed, fmt.Sprintf(verb, seals), fmt.Sprintf(verb, opens), fmt.Sprintf(verb, *seals), fmt.Sprintf(verb, *opens))
	}
	for _, got := range printed {
		if !strings.Contains(got, "1 seal keys") && !strings.Contains(got, "1 open keys") {
			t.Errorf("printed %q instead of a count", got)
		}
		if strings.Contains(got, material(p.open)) || strings.Contains(got, "0x") {
			t.Errorf("printed key material or an address: %q", got)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	p := newPair(f, "eu")
	f.Add(p.seal)
	f.Add(p.open + "," + p.seal)
	f.Add("eu/a:AAAA,")
	f.Fuzz(func(t *testing.T, list string) {
		keys, err := secret.ParseSealKeys(list)
		if err == nil && len(keys.Sites()) == 0 {
			t.Errorf("%q was accepted and holds no site", list)
		}
		if _, err := secret.ParseOpenKeys(list); err != nil && fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v is not Invalid", list, err)
		}
	})
}
