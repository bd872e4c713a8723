package client_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/client"
)

func TestPrivateAuthoritiesAreBelievedIfGiven(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"username":"ann"}`))
	}))
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	elsewhere := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // which the certificate does not name
	tests := []struct {
		name, url string
		options   []client.Option
		want      string
	}{
		{"given", server.URL, []client.Option{client.WithRootCAs(authority)}, ""},
		{"not given", server.URL, nil, "ROLLCALL_CA_CERT"},
		{"given, for another name", elsewhere, []client.Option{client.WithRootCAs(authority)}, "another name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := client.New(tt.url, append(tt.options, client.WithRetries(0, 0))...)
			if err != nil {
				t.Fatal(err)
			}
			me, err := c.Me(t.Context())
			if tt.want == "" && (err != nil || me.Username != "ann") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Me = %+v, %v, want %q", me, err, tt.want)
			}
		})
	}
	if _, err := client.New(server.URL, client.WithRootCAs([]byte("nothing"))); err == nil {
		t.Error("what is no authority is accepted")
	}
}
