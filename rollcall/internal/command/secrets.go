package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// readPassword reads one line: from standard input, or without an echo from the terminal.
func readPassword(ctx context.Context, in Invocation, fromStdin bool, prompt string) (string, error) {
	if !fromStdin {
		return askPassword(ctx, in, prompt)
	}
	content, err := readSecret(in.Stdin, "standard input")
	return oneLine(content), err
}

// oneLine returns a secret without the line break that editors and echo put at its end.
func oneLine(content string) string {
	return strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
}

// readSecret reads all of a secret.
func readSecret(r io.Reader, name string) (string, error) {
	if r == nil {
		return "", fmt.Errorf("reading a secret: there is no %s", name)
	}
	content, err := io.ReadAll(io.LimitReader(r, maxSecretBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading a secret from %s: %w", name, err)
	case len(content) == 0:
		return "", fmt.Errorf("reading a secret from %s: it is empty", name)
	case len(content) > maxSecretBytes:
		return "", fmt.Errorf("reading a secret from %s: it has more than %d bytes", name, maxSecretBytes)
	}
	return string(content), nil
}

// secretFile reads a secret from a file; - is standard input.
func secretFile(in Invocation, path string) (string, error) {
	if path == "-" {
		return readSecret(in.Stdin, "standard input")
	}
	f, err := os.Open(path) //nolint:gosec // whoever calls the program names the file
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	return readSecret(f, path)
}

// terminal returns the file that a stream is, if it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// askPassword asks whoever sits at the terminal.
func askPassword(ctx context.Context, in Invocation, prompt string) (string, error) {
	tty, ok := terminal(in.Stdin)
	if !ok {
		return "", usage{errors.New("standard input is no terminal to ask for a password; give it there and say --password-stdin")}
	}
	// From here on nothing is echoed, and Ctrl-C is a key like any other.
	before, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("asking for a password: %w", err)
	}
	defer func() { _ = term.Restore(int(tty.Fd()), before) }()
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{tty, in.Stderr}, "")
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	// A read from a terminal cannot be given up: of one that a signal has interrupted only the process sees the end.
	go func() {
		text, err := screen.ReadPassword(prompt)
		done <- read{text, err}
	}()
	select {
	case r := <-done:
		switch {
		case errors.Is(r.err, io.EOF): // Ctrl-C or Ctrl-D
			_, _ = fmt.Fprint(in.Stderr, "\r\n")
			return "", context.Canceled
		case r.err != nil:
			return "", fmt.Errorf("asking for a password: %w", r.err)
		case r.text == "":
			return "", errors.New("asking for a password: it is empty")
		}
		return r.text, nil
	case <-ctx.Done():
		_, _ = fmt.Fprint(in.Stderr, "\r\n")
		return "", ctx.Err()
	}
}
