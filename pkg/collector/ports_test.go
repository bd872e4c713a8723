package collector_test

import (
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// TestAPortWhoseHolderIsAboutToEndKeepsItsProgram plants a process whose files are still there and whose program is not.
func TestAPortWhoseHolderIsAboutToEndKeepsItsProgram(t *testing.T) {
	t.Parallel()
	const sockets = "#tcp\n  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7001 1 0 100 0 0 10 0\n"
	const link = "lrwxrwxrwx 1 0 0 0 Jan  1 00:00 7/exe -> /usr/bin/planted\n"
	holders := "#inodes\n7 7001\n#processes\n7/stat:7 (planted) S 1" + strings.Repeat(" 0", 40) + "\n"
	read := func(holders string) collector.Report {
		return reportOf(t, "ports", map[string]string{"sockets": sockets, "holders": holders})
	}
	before, after := read(holders+link), read(holders)
	const port = "tcp:127.0.0.1:6379"
	equal(t, "the program", at(decode(t, before.Facts), "listening", port, "exe"), any("/usr/bin/planted"))
	equal(t, "the program that is gone", at(decode(t, after.Facts), "listening", port, "exe"), nil)
	equal(t, "why", after.Unavailable[`listening."`+port+`".exe`], collector.ReasonUnsettled)
	carried, err := after.CarryOver(before.Facts)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "changes", paths(t, before, carried), []string{})
}
