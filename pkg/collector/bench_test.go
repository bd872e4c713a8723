package collector_test

import (
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

func BenchmarkReports(b *testing.B) {
	stdout := recordings(b)["debian-12-vm"]
	p := plan(b, collector.Options{Nonce: recordedNonce})
	b.SetBytes(int64(len(stdout)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := p.Read(stdout)
		if err != nil {
			b.Fatal(err)
		}
		p.Reports(r)
	}
}

func BenchmarkPlanOfOneType(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		plan(b, collector.Options{}, "os")
	}
}

func BenchmarkReportOfOneType(b *testing.B) {
	p := plan(b, collector.Options{Nonce: recordedNonce}, "os")
	stdout := recordings(b)["debian-12-vm"]
	b.ReportAllocs()
	for b.Loop() {
		r, err := p.Read(stdout)
		if err != nil {
			b.Fatal(err)
		}
		p.Reports(r)
	}
}
