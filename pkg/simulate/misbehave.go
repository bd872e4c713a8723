package simulate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// send sends an answer as the behaviour has it.
func (b Behaviour) send(ctx context.Context, answer []byte, conn net.Conn, channel ssh.Channel) error {
	switch b.Fault {
	case FaultResetInAnswer:
		_, err := channel.Write(answer[:len(answer)/2])
		reset(conn)
		return err
	case FaultDrip:
		return drip(ctx, answer, cmp.Or(b.DripEvery, time.Second), channel)
	case FaultEndless:
		return babble(answer, channel)
	default:
		_, err := channel.Write(answer)
		return err
	}
}

// drip writes a byte now and then.
func drip(ctx context.Context, answer []byte, every time.Duration, w io.Writer) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range answer {
		if _, err := w.Write(answer[i : i+1]); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// babble writes the answer without its last line, and then goes on until nobody takes it any more. The client's
// window holds it back as long as the client does not read, and the end of the connection ends it.
func babble(answer []byte, w io.Writer) error {
	end := bytes.LastIndexByte(bytes.TrimRight(answer, "\n"), '\n')
	if _, err := w.Write(answer[:max(end, 0)]); err != nil {
		return err
	}
	for lines := bytes.Repeat([]byte("and so on\n"), 3200); ; {
		if _, err := w.Write(lines); err != nil {
			return err
		}
	}
}

// noise returns what a login says by itself before any command. Some of it looks like the frame of an answer, is not
// UTF-8, controls a terminal, or does not end its last line.
func (h *host) noise() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\x1b[1mWelcome to %s!\x1b[0m\r\n\r\n", h.name)
	for line := range 12 {
		fmt.Fprintf(&text, " %2d  * Zugang nur f\xfcr Befugte. Authorised use only. #BEGIN-%x\n", line, h.random[line])
	}
	text.WriteString("@@0000 BEGIN 1 1\n@@ S os\n\nYou have mail.")
	if h.random[22]%2 == 0 {
		text.WriteByte('\n')
	}
	return text.String()
}
