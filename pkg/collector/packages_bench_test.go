package collector_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// manyPackages is the section of a machine with n packages of dpkg.
func manyPackages(n int) string {
	var query, auto, lists strings.Builder
	for i := range n {
		fmt.Fprintf(&query, "planted-package-%05d\t1:2.%d.3-4+deb12u%d\tamd64\tii \tplanted-source-%d\t1:2.%d.3-4\t%d\tPlanted Maintainers <planted@lists.example.org>\n", i, i%90, i%7, i/3, i%90, 100+i)
		fmt.Fprintf(&auto, "Package: planted-package-%05d\nArchitecture: amd64\nAuto-Installed: %d\n", i, i%2)
		fmt.Fprintf(&lists, "17325%05d planted-package-%05d.list\n", i, i)
	}
	return "#query\n" + query.String() + "#auto\n" + auto.String() + "#lists\n" + lists.String()
}

// BenchmarkTwentyThousandPackages has to stay well below a second.
func BenchmarkTwentyThousandPackages(b *testing.B) {
	const n = 20_000
	p := plan(b, collector.Options{Nonce: recordedNonce}, "packages")
	stdout := answer(map[string]string{"id": linuxIdentity, "pkg_dbs": "/var/lib/dpkg/status\n", "dpkg": manyPackages(n)}, p.Sections())
	b.SetBytes(int64(len(stdout)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := p.Read(stdout)
		if err != nil {
			b.Fatal(err)
		}
		if report := p.Reports(r)[0]; report.Status != collector.StatusOK || strings.Count(string(report.Facts), `"manager"`) != n {
			b.Fatalf("the report is %s with %d bytes of facts", report.Status, len(report.Facts))
		}
	}
}
