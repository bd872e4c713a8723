package command

import "testing"

func TestShares(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       share
		ok         bool
	}{
		{"per cent", "1%", 0.01, true},
		{"parts of a per cent", "0.5%", 0.005, true},
		{"a fraction", "0.25", 0.25, true},
		{"nothing", "0", 0, true},
		{"all, in per cent", "100%", 1, true},
		{"all", "1", 1, true},
		{"more than all", "101%", 0, false},
		{"per cent without the sign", "20", 0, false},
		{"less than nothing", "-1%", 0, false},
		{"no number", "NaN", 0, false},
		{"a sign alone", "%", 0, false},
		{"a space before the sign", "1 %", 0, false},
		{"no text", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got share
			if err := got.UnmarshalText([]byte(tt.text)); (err == nil) != tt.ok || got != tt.want {
				t.Errorf("UnmarshalText(%q) = %v, %v, want %v, ok %v", tt.text, got, err, tt.want, tt.ok)
			}
		})
	}
}
