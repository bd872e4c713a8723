package fleet

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A tokenKind is what sort of token it is.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // without quotes: a key, a value or a keyword
	tokenQuoted           // in quotes: a value
	tokenSymbol           // one of ( ) , = != ! ~ *
)

// A token is a piece of a selector's text.
type token struct {
	kind  tokenKind
	text  string // without quotes and escapes; == is =
	start int    // offset of its first byte
}

// is reports whether t is the symbol.
func (t token) is(symbol string) bool { return t.kind == tokenSymbol && t.text == symbol }

// isKeyword reports whether t is the keyword, in any case.
func (t token) isKeyword(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

// describe names t for an error, without repeating what was asked for.
func (t token) describe() string {
	switch {
	case t.kind == tokenEnd:
		return "the end"
	case t.kind == tokenQuoted:
		return "a quoted value"
	case t.kind == tokenWord && !reserved(t.text):
		return "a word"
	}
	return `"` + strings.ToLower(t.text) + `"`
}

// scan returns the token of text that begins at or after offset, and the offset behind it.
func scan(text string, offset int) (token, int, error) {
	for offset < len(text) && strings.IndexByte(" \t\r\n", text[offset]) >= 0 {
		offset++
	}
	if offset == len(text) {
		return token{kind: tokenEnd, start: offset}, offset, nil
	}
	if n := wordLength(text[offset:]); n > 0 {
		return token{kind: tokenWord, text: text[offset : offset+n], start: offset}, offset + n, nil
	}
	two := text[offset:min(offset+2, len(text))]
	switch {
	case two == "!=":
		return token{kind: tokenSymbol, text: two, start: offset}, offset + 2, nil
	case two == "==":
		return token{kind: tokenSymbol, text: "=", start: offset}, offset + 2, nil
	case strings.IndexByte("(),=!~*", text[offset]) >= 0:
		return token{kind: tokenSymbol, text: text[offset : offset+1], start: offset}, offset + 1, nil
	case text[offset] == '"':
		return scanQuoted(text, offset)
	}
	return token{}, offset, selectorError(text, offset,
		`unexpected character; a value with anything but letters, digits and . _ : / - needs double quotes`)
}

// scanQuoted returns the quoted value that begins at start, and the offset behind its closing quote.
func scanQuoted(text string, start int) (token, int, error) {
	var value strings.Builder
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return token{kind: tokenQuoted, text: value.String(), start: start}, i + 1, nil
		case '\\':
			if i+1 < len(text) && text[i+1] != '"' && text[i+1] != '\\' {
				return token{}, i, selectorError(text, i, `expected \" or \\: a backslash escapes nothing else`)
			}
			i++
		}
		if i < len(text) {
			value.WriteByte(text[i])
		}
	}
	return token{}, len(text), selectorError(text, len(text), `expected a closing quote`)
}

// wordLength returns how many bytes at the beginning of text may stand without quotes.
func wordLength(text string) int {
	for i := range len(text) {
		if !isAlphanumeric(text[i]) && strings.IndexByte("._:/-", text[i]) < 0 {
			return i
		}
	}
	return len(text)
}

// selectorError returns the refusal of a selector for what stands at the offset.
func selectorError(text string, offset int, problem string) *Error {
	const code = "invalid_selector"
	message := "position " + strconv.Itoa(utf8.RuneCountInString(text[:offset])+1) + ": " + problem
	return Errorf(Invalid, "selector: %s", message).WithCode(code).
		WithFields(FieldError{Field: "selector", Code: code, Message: message})
}
