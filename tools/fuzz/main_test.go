package main

import (
	"slices"
	"testing"
)

func TestParseListing(t *testing.T) {
	t.Parallel()
	const listing = "FuzzA\nFuzzB\nok  \texample.org/x\t0.004s\n?   \texample.org/y\t[no test files]\n" +
		"ok  \texample.org/z\t0.001s\nFuzzC\nok  \texample.org/w\t0.002s\n"
	want := []target{{"example.org/x", "FuzzA"}, {"example.org/x", "FuzzB"}, {"example.org/w", "FuzzC"}}
	if got := parseListing([]byte(listing)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
