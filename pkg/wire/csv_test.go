package wire_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/wire"
)

func TestASpreadsheetTakesTextForText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "web-1": "web-1", "a=b": "a=b", "5": "5", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+1": "'+1", "-1": "'-1",
		"@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "'=1": "'=1", "é=": "é=",
	} {
		if got := wire.CSVText(text); got != want {
			t.Errorf("CSVText(%q) = %q, want %q", text, got, want)
		}
	}
}
