package client

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"
)

// maxEvent bounds one line of a stream; a collection of 10,000 named hosts is half a megabyte.
const maxEvent = 8 << 20

// An event is one Server-Sent Event.
type event struct {
	id   string // a place in the stream; empty if the event names none
	name string
	data string // empty in an event that only tells how far the stream is
}

// events reads Server-Sent Events until the stream ends or breaks; an error is the last pair. heard is called for each
// line, comments included, as a sign of life.
func events(r io.Reader, heard func()) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxEvent)
		var e event
		var data []string
		size := 0
		for lines.Scan() {
			heard()
			line := lines.Text()
			if line == "" {
				e.data = strings.Join(data, "\n")
				if (len(data) > 0 || e.id != "") && !yield(e, nil) {
					return
				}
				e, data, size = event{}, nil, 0
				continue
			}
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				data = append(data, value)
			}
			if size += len(line); size > maxEvent {
				yield(event{}, fmt.Errorf("an event has more than %d bytes", maxEvent))
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(event{}, err)
		}
	}
}
