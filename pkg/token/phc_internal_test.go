package token

import "testing"

// FuzzPHC reads what a database that others can write to may hold. What is read has costs within the bounds and is written
// as it was.
func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			return
		}
		if h.memory > maxMemory || h.time > maxTime || uint32(h.threads) > maxThreads || h.threads == 0 || h.time == 0 {
			t.Errorf("%q costs %+v", text, h.argonParams)
		}
		if h.String() != text {
			t.Errorf("%q is written as %q", text, h)
		}
	})
}
