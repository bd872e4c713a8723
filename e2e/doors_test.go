package e2e_test

import (
	"net/http"
	"testing"
)

func TestEveryWriteHappensOnceUnderItsKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", nil).ready()
	s.signIn()
	var host struct {
		ID      string `json:"id"`
		Version int    `json:"version"`
	}
	key := func(name string) []string { return []string{"Idempotency-Key", name} }
	add := map[string]any{"name": "web-1", "address": "127.0.0.1"}
	for range 2 {
		s.post("/api/v1/hosts", add, http.StatusCreated, &host, key("add")...)
	}
	for range 2 {
		s.do(http.MethodPatch, "/api/v1/hosts/"+host.ID, map[string]any{"labels": map[string]string{"env": "prod"}}, http.StatusOK, &host,
			append(key("label"), "Content-Type", "application/merge-patch+json")...)
	}
	if host.Version != 2 {
		t.Errorf("the host is at version %d after one change that was sent twice", host.Version)
	}
	for i := range 2 {
		header := s.do(http.MethodDelete, "/api/v1/hosts/"+host.ID, nil, http.StatusNoContent, nil, key("retire")...)
		if (header.Get("Idempotency-Replayed") != "") != (i == 1) {
			t.Errorf("deletion %d: Idempotency-Replayed is %q", i, header.Get("Idempotency-Replayed"))
		}
	}
	s.do(http.MethodDelete, "/api/v1/hosts/"+host.ID, nil, http.StatusNotFound, nil)
}

func TestHeadIsAnsweredLikeGet(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", nil).ready()
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/readyz": http.StatusOK, "/login": http.StatusOK, "/openapi.json": http.StatusOK,
		"/api/v1/hosts": http.StatusUnauthorized, "/": http.StatusSeeOther,
	} {
		s.do(http.MethodHead, path, nil, want, nil)
	}
}
