package embedded

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// pingPostgres says whether the server on port accepts logins. It sends the first packet of one and reads the kind
// of the answer, as pg_isready does; a server that is starting or stopping answers with an error.
func pingPostgres(ctx context.Context, port int) error {
	conn, err := dialLocal(ctx, port)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	const protocol3 = 3 << 16
	body := "user\x00" + postgresRole + "\x00database\x00" + postgresRole + "\x00\x00"
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)) //nolint:gosec // some forty bytes
	packet = binary.BigEndian.AppendUint32(packet, protocol3)
	if _, err := conn.Write(append(packet, body...)); err != nil {
		return fmt.Errorf("pinging PostgreSQL: %w", err)
	}
	var kind [1]byte
	if _, err := io.ReadFull(conn, kind[:]); err != nil {
		return fmt.Errorf("pinging PostgreSQL: %w", err)
	}
	if kind[0] != 'R' { // a question for the password
		return fmt.Errorf("pinging PostgreSQL: it answers with a packet of kind %q", kind[0])
	}
	return nil
}

// errLoading says that Redis is up and still reads its file.
var errLoading = errors.New("redis is loading")

// pingRedis says whether the server on port is ours, which is to say accepts our password, and ready.
func pingRedis(ctx context.Context, port int, password string) error {
	conn, err := dialLocal(ctx, port)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", password); err != nil {
		return fmt.Errorf("pinging Redis: %w", err)
	}
	answers := bufio.NewReader(io.LimitReader(conn, 1<<10))
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := answers.ReadString('\n')
		if err != nil {
			return fmt.Errorf("pinging Redis: %w", err)
		}
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "-LOADING"):
			return errLoading
		case line != want:
			return fmt.Errorf("pinging Redis: it answers %q", line)
		}
	}
	return nil
}

// dialLocal connects to a server of ours, with a second for everything.
func dialLocal(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address(port))
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
