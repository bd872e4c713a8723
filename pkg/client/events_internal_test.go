package client

import (
	"slices"
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, stream string
		want         []event
		fails        bool
	}{
		{name: "an event with a name", stream: "event: end\ndata: {}\n\n", want: []event{{name: "end", data: "{}"}}},
		{name: "without a space after the colon", stream: "event:end\ndata:{}\n\n", want: []event{{name: "end", data: "{}"}}},
		{name: "lines that end as on Windows", stream: "event: end\r\ndata: 1\r\n\r\n", want: []event{{name: "end", data: "1"}}},
		{name: "data of several lines", stream: "data: a\ndata: b\n\n", want: []event{{data: "a\nb"}}},
		{name: "comments and unknown fields mean nothing", stream: ": beat\nretry: 1\nmood: 2\n\nevent: x\n\ndata: y\n\n", want: []event{{data: "y"}}},
		{name: "an ID is of its event", stream: "id: 7\nevent: x\ndata: y\n\ndata: z\n\n", want: []event{{"7", "x", "y"}, {data: "z"}}},
		{name: "an ID alone tells how far the stream is", stream: "id:8\n\n", want: []event{{id: "8"}}},
		{name: "an event that breaks off is none", stream: "data: a\n\nevent: end\ndata: {}", want: []event{{data: "a"}}},
		{name: "a line without an end is refused", stream: "data: " + strings.Repeat("x", maxEvent+1), fails: true},
		{name: "an event without an end is refused", stream: strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 9), fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []event
			var failed error
			for e, err := range events(strings.NewReader(test.stream), func() {}) {
				if err != nil {
					failed = err
					continue
				}
				got = append(got, e)
			}
			if !slices.Equal(got, test.want) || (failed != nil) != test.fails {
				t.Errorf("got %q, %v; want %q", got, failed, test.want)
			}
		})
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("event: progress\ndata: {}\n\n: beat\n\n")
	f.Add("data\n\ndata:\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		for e, err := range events(strings.NewReader(stream), func() {}) {
			if err == nil && len(e.id)+len(e.name)+len(e.data) > len(stream) {
				t.Errorf("an event of %d bytes out of %d", len(e.id)+len(e.name)+len(e.data), len(stream))
			}
		}
	})
}
