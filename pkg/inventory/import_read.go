package inventory

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// CodeTooManyHosts is the code of the refusal of an import with more than MaxImportHosts lines.
const CodeTooManyHosts = "too_many_hosts"

// errLineTooLong is a line longer than MaxImportLine.
var errLineTooLong = errors.New("the line is too long")

// read reads and checks every line. Those that cannot be used are refused; nothing is stored.
func (im *importing) read(ctx context.Context, r io.Reader) error {
	lines := &lineReader{in: bufio.NewReaderSize(r, 64<<10)}
	named, brought := map[string]int{}, map[inlineKey]*inline{}
	for count := 0; ; {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, errLineTooLong) {
			return readError(ctx, err)
		}
		if lines.number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // which editors and spreadsheets put before UTF-8
		}
		if len(bytes.TrimSpace(line)) == 0 && err == nil {
			continue
		}
		if count++; count > MaxImportHosts {
			return fleet.Errorf(fleet.TooLarge, "an import has at most %d hosts; send several", MaxImportHosts).WithCode(CodeTooManyHosts)
		}
		if err != nil {
			im.refuse(lines.number, "", fleet.Errorf(fleet.Invalid, "the line is longer than %d bytes", MaxImportLine))
			continue
		}
		im.take(lines.number, line, named, brought)
	}
}

// take decodes and checks one line.
func (im *importing) take(number int, line []byte, named map[string]int, brought map[inlineKey]*inline) {
	given, err := decodeLine(line)
	if err != nil {
		im.refuse(number, given.Name, err)
		return
	}
	h := withDefaults(given.apply(fleet.Host{Enabled: true}))
	if err := checkHost(h); err != nil {
		im.refuse(number, given.Name, err)
		return
	}
	if earlier, twice := named[given.Name]; twice {
		im.refuse(number, given.Name, fieldError("name", "duplicate", fmt.Sprintf("line %d names the same host", earlier)))
		return
	}
	c := candidate{line: number, given: given}
	if given.Credential != nil {
		if c.inline, err = im.bring(h, given, brought); err != nil {
			im.refuse(number, given.Name, err)
			return
		}
		c.given.Credential = nil // the secret is kept once
	}
	named[given.Name] = number
	im.hosts = append(im.hosts, c)
}

// readError says why the body could not be read to its end.
func readError(ctx context.Context, err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || errors.Is(err, errBodyTooLarge) {
		return fleet.Errorf(fleet.TooLarge, "an import has at most %d bytes; send several", MaxImportBytes)
	}
	if ctx.Err() != nil {
		return fleet.Wrap(ctx.Err(), fleet.Unavailable, "the import took too long to arrive; nothing was stored")
	}
	return fleet.Wrap(err, fleet.Invalid, "the import broke off; nothing was stored").WithCode("broken_off")
}

var errBodyTooLarge = errors.New("the body is too large")

// A lineReader reads lines of at most MaxImportLine bytes, and MaxImportBytes altogether.
type lineReader struct {
	in     *bufio.Reader
	number int // of the last line, from 1
	size   int
}

// next returns the next line, without its end, or errLineTooLong after it has passed one over, or io.EOF. The line is
// good until the next call.
func (r *lineReader) next() ([]byte, error) {
	var line []byte
	tooLong := false
	r.number++
	for {
		part, err := r.in.ReadSlice('\n')
		if r.size += len(part); r.size > MaxImportBytes {
			return nil, errBodyTooLarge
		}
		if tooLong = tooLong || len(line)+len(part) > MaxImportLine; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case tooLong:
			return nil, errLineTooLong
		case err != nil && len(line) == 0:
			return nil, io.EOF
		}
		return bytes.TrimSuffix(line, []byte("\n")), nil
	}
}
