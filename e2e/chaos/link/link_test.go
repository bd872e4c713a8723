package link_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/e2e/chaos/link"
)

// echo serves a server that says every line again, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func open(t *testing.T, to string) *link.Link {
	t.Helper()
	l, err := link.Open(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// A client is one connection through a link.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, l *link.Link) *client {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (c *client) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads a line within the limit.
func (c *client) hear(limit time.Duration) (string, error) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *client) expect(line string) {
	c.t.Helper()
	if got, err := c.hear(10 * time.Second); err != nil || got != line {
		c.t.Fatalf("heard %q, %v, want %q", got, err, line)
	}
}

// nothing insists that neither data nor an end arrives.
func (c *client) nothing() {
	c.t.Helper()
	if got, err := c.hear(300 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("heard %q, %v through a black hole", got, err)
	}
}

func TestALinkPassesWhatIsSaidAndItsEnd(t *testing.T) {
	t.Parallel()
	l := open(t, echo(t))
	c := dial(t, l)
	c.say("one")
	c.expect("one")
	c.say("two")
	if half, ok := c.conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
		t.Fatal("cannot end what is sent")
	}
	c.expect("two")
	if _, err := c.hear(10 * time.Second); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v, want the end", err)
	}
	if n := l.Accepted(); n != 1 {
		t.Errorf("accepted %d connections, want 1", n)
	}
}

func TestACutIsAResetAndNewConnectionsPass(t *testing.T) {
	t.Parallel()
	l := open(t, echo(t))
	first, second := dial(t, l), dial(t, l)
	for _, c := range []*client{first, second} {
		c.say("before")
		c.expect("before")
	}
	if n := l.Cut(); n != 2 {
		t.Errorf("cut %d connections, want 2", n)
	}
	for _, c := range []*client{first, second} {
		if _, err := c.hear(10 * time.Second); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a cut is seen as %v, want a reset", err)
		}
	}
	third := dial(t, l)
	third.say("after")
	third.expect("after")
	if n := l.Cut(); n != 1 {
		t.Errorf("cut %d connections the second time, want 1", n)
	}
}

func TestABlackHoleSaysNothingAndDeliversAfterwards(t *testing.T) {
	t.Parallel()
	l := open(t, echo(t))
	old := dial(t, l)
	old.say("before")
	old.expect("before")
	l.Hole()
	l.Hole() // twice is once
	old.say("within")
	fresh := dial(t, l)
	fresh.say("new")
	old.nothing()
	fresh.nothing()
	l.Heal()
	l.Heal()
	old.expect("within")
	fresh.expect("new")
}

func TestAConnectionCutInABlackHoleIsReset(t *testing.T) {
	t.Parallel()
	l := open(t, echo(t))
	c := dial(t, l)
	c.say("before")
	c.expect("before")
	l.Hole()
	l.Cut()
	if _, err := c.hear(10 * time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("seen as %v, want a reset", err)
	}
	l.Heal()
}

func TestAServerThatIsNotThereRefuses(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	_ = listener.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", open(t, gone).Addr())
	if err != nil {
		return // the reset came that early
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
	if _, err := c.hear(10 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a server that is not there is seen as %v", err)
	}
}

func TestALinkLeadsWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	l := open(t, "")
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr()); err == nil {
		c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
		if _, err := c.hear(10 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a link that leads nowhere is seen as %v", err)
		}
		_ = conn.Close()
	}
	l.To(echo(t))
	c := dial(t, l)
	c.say("here")
	c.expect("here")
}

func TestCloseEndsALinkThatIsABlackHole(t *testing.T) {
	t.Parallel()
	l, err := link.Open(t.Context(), echo(t))
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, l)
	c.say("before")
	c.expect("before")
	l.Hole()
	dial(t, l)
	l.Close()
	if _, err := c.hear(10 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the end of the link is seen as %v", err)
	}
}
