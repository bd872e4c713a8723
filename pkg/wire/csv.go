package wire

import "strings"

// CSVText returns a text as a cell of CSV that a spreadsheet does not take for a formula: what begins like one gets an
// apostrophe before it, as OWASP's page about CSV injection advises. Numbers are not for it.
func CSVText(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
