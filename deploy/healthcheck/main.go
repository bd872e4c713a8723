// Healthcheck asks a URL and says by its exit status whether the answer was a 2xx: the health checks of the container
// images, which have no shell and no curl.
//
//	healthcheck URL
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	timeout        = 4 * time.Second // below that of the health checks, so that the reason is told
	maxAnswerBytes = 2 << 10         // of what is shown
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "healthcheck:", err)
		os.Exit(1)
	}
}

// run asks the one URL among args and copies the beginning of the answer, which says what is down, to answer.
func run(args []string, answer io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: healthcheck URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], http.NoBody) //nolint:gosec // whoever makes the image names it
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{}, // which asks no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request) //nolint:gosec // the same
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(answer, io.LimitReader(response.Body, maxAnswerBytes)) // the status is what counts
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s answered %s", args[0], response.Status)
	}
	return nil
}
