package facts_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/facts"
)

// packageList returns the decoded facts of a host with n packages, of which the first few have another version.
func packageList(n, upgraded int) any {
	list := map[string]any{}
	for i := range n {
		version := "1.2.3-4+deb12u1"
		if i < upgraded {
			version = "1.2.3-4+deb12u2"
		}
		list[fmt.Sprintf("dpkg:lib%d-dev:amd64", i*7919%n)] = map[string]any{
			"manager": "dpkg", "name": fmt.Sprintf("lib%d-dev", i*7919%n), "version": version, "arch": "amd64",
			"source": fmt.Sprintf("lib%d", i), "status": "installed", "size": float64(i * 1024), "auto": i%2 == 0,
		}
	}
	return map[string]any{"packages": list, "managers": map[string]any{"dpkg": map[string]any{"count": float64(n)}}}
}

func BenchmarkCompare(b *testing.B) {
	unavailable := patterns(b, "updates", "packages.*.origin")
	for _, n := range []int{600, 5_000} {
		before, after := packageList(n, 0), packageList(n, 5)
		for _, spelled := range []struct {
			name   string
			before []byte
		}{
			{"canonical", encode(before)},
			{"jsonb", []byte(respelled(nil, before))},
		} {
			later := encode(after)
			b.Run(fmt.Sprintf("%s/%d", spelled.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(spelled.before) + len(later)))
				for b.Loop() {
					c, err := facts.Compare(spelled.before, later, facts.Options{BeforeUnavailable: unavailable, AfterUnavailable: unavailable})
					if err != nil || len(c.Changes) != 5 {
						b.Fatalf("%d changes, %v", len(c.Changes), err)
					}
				}
			})
		}
	}
}

// BenchmarkDecode is what decoding the two documents of BenchmarkCompare alone would take.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{600, 5_000} {
		before, after := encode(packageList(n, 0)), encode(packageList(n, 5))
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(before) + len(after)))
			for b.Loop() {
				for _, doc := range [][]byte{before, after} {
					var v map[string]any
					if err := json.Unmarshal(doc, &v); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
