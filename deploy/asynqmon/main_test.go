package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// answer is what h says to a request.
func answer(h http.Handler, method, path string) (status int, body string) {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(method, path, http.NoBody))
	return recorder.Code, recorder.Body.String()
}

// pages returns the handler on a Redis that holds one waiting message.
func pages(t *testing.T) (http.Handler, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	if _, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("collect", []byte(`{}`)), asynq.TaskID("one")); err != nil {
		t.Fatal(err)
	}
	return handler(client, slog.New(slog.DiscardHandler)), server
}

func TestPagesShowTheQueues(t *testing.T) {
	t.Parallel()
	h, _ := pages(t)
	tests := []struct {
		name, method, path string
		status             int
		want               string
	}{
		{"the page itself", http.MethodGet, "/", http.StatusOK, "<!doctype html>"},
		{"a deeper page, which is the same to the server", http.MethodGet, "/queues/default", http.StatusOK, "<!doctype html>"},
		{"the queues", http.MethodGet, "/api/queues", http.StatusOK, `"queue":"default"`},
		{"a waiting message", http.MethodGet, "/api/queues/default/pending_tasks", http.StatusOK, `"id":"one"`},
		{"to remove a message is refused", http.MethodDelete, "/api/queues/default/pending_tasks/one", http.StatusMethodNotAllowed, ""},
		{"to pause a queue is refused", http.MethodPost, "/api/queues/default:pause", http.StatusMethodNotAllowed, ""},
		{"alive", http.MethodGet, "/healthz", http.StatusOK, `"ok"`},
		{"ready", http.MethodGet, "/readyz", http.StatusOK, `"redis"`},
		{"metrics", http.MethodGet, "/metrics", http.StatusOK, "go_goroutines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, body := answer(h, tt.method, tt.path)
			if status != tt.status || !strings.Contains(strings.ToLower(body), strings.ToLower(tt.want)) {
				t.Errorf("%s %s = %d %.200s, want %d and %q", tt.method, tt.path, status, body, tt.status, tt.want)
			}
		})
	}
}

func TestNotReadyWithoutRedis(t *testing.T) {
	t.Parallel()
	h, server := pages(t)
	server.Close()
	if status, body := answer(h, http.MethodGet, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "redis") {
		t.Errorf("/readyz = %d %s", status, body)
	}
	if status, _ := answer(h, http.MethodGet, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz = %d: a restart would not bring Redis back", status)
	}
}

func TestReadRefusesByName(t *testing.T) {
	t.Parallel()
	if _, err := read([]string{"ROLLCALL_HTTP_ADDR=nowhere"}); err == nil ||
		!strings.Contains(err.Error(), "REDIS_URL: is required") || !strings.Contains(err.Error(), "ROLLCALL_HTTP_ADDR") {
		t.Errorf("read = %v", err)
	}
	c, err := read([]string{"REDIS_URL=redis://redis:6379/0"})
	if err != nil || c.addr != ":8080" {
		t.Errorf("read = %+v, %v", c, err)
	}
}
