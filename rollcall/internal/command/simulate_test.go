package command_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/rollcall/internal/command"
)

func TestSimulateServesTheHostsOwnCounts(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stdout, stderr safeBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- command.Run(ctx, command.Invocation{
			Args:   []string{"simulate", "--hosts", "2", "--counts", "127.0.0.1:0"},
			Stdout: &stdout, Stderr: &stderr, Version: "test",
		})
	}()
	place := regexp.MustCompile(`Their counts are at (http://127\.0\.0\.1:\d+/)\.`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	var url string
	for url == "" {
		if found := place.FindStringSubmatch(stderr.String()); found != nil {
			url = found[1]
			break
		}
		select {
		case <-tick.C:
		case status := <-ended:
			t.Fatalf("simulate ended with the status %d: %s", status, stderr.String())
		case <-limit.C:
			t.Fatalf("simulate does not say where its counts are: %s", stderr.String())
		}
	}
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	counts, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"sim-0001","connections":0,"executions":0}` + "\n" + `{"name":"sim-0002","connections":0,"executions":0}` + "\n"
	if string(counts) != want {
		t.Errorf("the counts are %s, want %s", counts, want)
	}
	stop()
	if status := <-ended; status != 0 {
		t.Errorf("simulate ended with the status %d: %s", status, stderr.String())
	}
}

func TestCountsAreServedOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:9190", "9190", "127.0.0.1"} {
		var stdout, stderr safeBuffer
		status := command.Run(t.Context(), command.Invocation{
			Args:   []string{"simulate", "--hosts", "1", "--counts", address},
			Stdout: &stdout, Stderr: &stderr, Version: "test",
		})
		if status != 2 || !strings.Contains(stderr.String(), "--counts takes a loopback address") {
			t.Errorf("%s: status %d, %s", address, status, stderr.String())
		}
	}
}
