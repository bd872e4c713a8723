package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"ok"}`)) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"down"}`))
	})
	mux.Handle("/elsewhere", http.RedirectHandler("/ok", http.StatusFound))
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3*maxAnswerBytes)) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	closed := httptest.NewServer(mux)
	closed.Close()

	tests := []struct {
		name   string
		args   []string
		answer string // a part of what is shown
		want   string // a part of the error, or none
	}{
		{"a process that is well", []string{server.URL + "/ok"}, `"ok"`, ""},
		{"one that says it is not, and why", []string{server.URL + "/down"}, `"down"`, "answered 503"},
		{"a redirect is no health", []string{server.URL + "/elsewhere"}, "", "answered 302"},
		{"nobody there", []string{closed.URL + "/ok"}, "", "refused"},
		{"not a URL", []string{"::"}, "", "missing protocol"},
		{"no URL", nil, "", "usage"},
		{"two URLs", []string{server.URL, server.URL}, "", "usage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var answer strings.Builder
			err := run(tt.args, &answer)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
			if !strings.Contains(answer.String(), tt.answer) {
				t.Errorf("answer = %q, want %q in it", answer.String(), tt.answer)
			}
		})
	}
	var answer strings.Builder
	if err := run([]string{server.URL + "/long"}, &answer); err != nil || answer.Len() != maxAnswerBytes {
		t.Errorf("a long answer: %v and %d bytes of it, want none and %d", err, answer.Len(), maxAnswerBytes)
	}
}
