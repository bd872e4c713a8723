package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A difference is what a fact was and what it is.
type difference struct {
	kind          string
	before, after json.RawMessage
}

// text returns the difference for people. Values of more characters than most, or twice as many where there is but one
// value, are shortened, unless most is 0.
func (d difference) text(most int) string {
	switch d.kind {
	case fleet.Added:
		return "added " + shorten(spoken(d.after), 2*most)
	case fleet.Removed:
		return "removed " + shorten(spoken(d.before), 2*most)
	}
	before, after := shortenBoth(spoken(d.before), spoken(d.after), most)
	return before + " → " + after
}

// columnsOf returns the columns of a difference for programs.
func columnsOf[T any](of func(T) difference) []column[T] {
	return []column[T]{
		col("KIND", func(v T) any { return of(v).kind }),
		col("BEFORE", func(v T) any {
			if d := of(v); d.kind != fleet.Added {
				return bare(d.before)
			}
			return ""
		}),
		col("AFTER", func(v T) any {
			if d := of(v); d.kind != fleet.Removed {
				return bare(d.after)
			}
			return ""
		}),
	}
}

// bare returns a JSON value as it stands in a cell: a string without its quotes, everything else as JSON.
func bare(raw json.RawMessage) string {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	return compact(raw)
}

// compact returns JSON on one line, without the escapes that HTML needs.
func compact(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // or large ones would change
	var v any
	if d.Decode(&v) != nil {
		return string(raw)
	}
	text, err := encode(v, "", "")
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// spoken returns a JSON value for people: strings stand without quotes unless they could be taken for something else.
func spoken(raw json.RawMessage) string {
	if text := bare(raw); isWord(text) {
		return text
	}
	return compact(raw)
}

// isWord reports whether text can stand in a line without quotes: it is one word, and reads as no other value.
func isWord(text string) bool {
	strange := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("/._:+~@%=,#*!-", r)
	}
	return text != "" && !strings.ContainsFunc(text, strange) && !json.Valid([]byte(text))
}

const ellipsis = "…"

// shorten cuts text to so many characters; 0 is without a bound.
func shorten(text string, most int) string {
	if runes := []rune(text); most > 0 && len(runes) > most {
		return string(runes[:max(most-1, 1)]) + ellipsis
	}
	return text
}

// shortenBoth cuts two texts so that one sees where they begin to differ.
func shortenBoth(a, b string, most int) (before, after string) {
	x, y := []rune(a), []rune(b)
	if most <= 0 || max(len(x), len(y)) <= most {
		return a, b
	}
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	if lead := most / 4; same > lead+1 { // what is alike says where we are, and no more
		from := same - lead
		return ellipsis + shorten(string(x[from:]), most-1), ellipsis + shorten(string(y[from:]), most-1)
	}
	return shorten(a, most), shorten(b, most)
}

// leastShown is how many characters of a value are shown however narrow the terminal is.
const leastShown = 24

// room returns how many characters a value may have where a line of a terminal holds two of them beside others; 0,
// without a bound, where the output is no terminal.
func room(in Invocation, taken int) int {
	tty, ok := terminal(in.Stdout)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(tty.Fd()))
	if err != nil {
		return 0
	}
	return max((width-taken-len("removed "))/2, leastShown)
}

// characters returns how many characters a text has.
func characters(text string) int { return len([]rune(text)) }

// pad fills text up to so many characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-characters(text), 0))
}
