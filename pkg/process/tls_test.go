package process_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/await"
	"github.com/rollcallhq/rollcall/pkg/process"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// issue returns a certificate of rollcall.test that signs itself, and its key.
func issue(t *testing.T, serial int64, ends time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "rollcall.test"}, DNSNames: []string{"rollcall.test"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: ends, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certified returns certificates, who believes them, and the directory of their files.
func certified(t *testing.T) (*process.Certificates, *x509.CertPool, string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := issue(t, 1, time.Now().Add(90*24*time.Hour))
	write(t, filepath.Join(dir, "tls.crt"), cert)
	write(t, filepath.Join(dir, "tls.key"), key)
	c, err := process.NewCertificates(filesIn(dir), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return c, roots, dir
}

func filesIn(dir string) process.TLSFiles {
	return process.TLSFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
}

func TestReadTLSNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, _, dir := certified(t)
	good := filesIn(dir)
	_, otherKey := issue(t, 2, time.Now().Add(time.Hour))
	other, empty, large := filepath.Join(dir, "other.key"), filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	write(t, other, otherKey)
	write(t, empty, nil)
	write(t, large, make([]byte, 2<<20))
	tests := []struct{ name, cert, key, want string }{
		{"neither", "", "", ""},
		{"both", good.Cert, good.Key, ""},
		{"a certificate without its key", good.Cert, "", "ROLLCALL_TLS_KEY: is required"},
		{"a key without its certificate", "", good.Key, "ROLLCALL_TLS_CERT: is required"},
		{"a certificate that is not there", dir + "/none", good.Key, "ROLLCALL_TLS_CERT: the file cannot be read"},
		{"a key that is a directory", good.Cert, dir, "ROLLCALL_TLS_KEY: the file cannot be read"},
		{"the key of another", good.Cert, other, "ROLLCALL_TLS_CERT: and the key"},
		{"a certificate that is empty", empty, good.Key, "ROLLCALL_TLS_CERT: and the key"},
		{"a key that is none", good.Cert, good.Cert, "ROLLCALL_TLS_CERT: and the key"},
		{"a file without end", large, good.Key, "larger"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := settings.NewReader(map[string]string{"ROLLCALL_TLS_CERT": tt.cert, "ROLLCALL_TLS_KEY": tt.key})
			process.ReadTLS(r)
			if err := r.Err(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTLSIsModern(t *testing.T) {
	t.Parallel()
	certificates, roots, _ := certified(t)
	address, _ := serving(t, http.HandlerFunc(readAll), process.Connections{}, certificates)
	tests := []struct {
		name   string
		config *tls.Config
		want   string // the protocol above; empty: refused
	}{
		{"TLS 1.3 with HTTP/2", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}, "h2"},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, "http/1.1"},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ""},
		{"TLS 1.2 without authenticated encryption", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, ""},
		{"a protocol that is not spoken", &tls.Config{NextProtos: []string{"spdy/3"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := tt.config.Clone()
			config.RootCAs, config.ServerName = roots, "rollcall.test"
			c, err := tls.Dial("tcp", address, config)
			if tt.want == "" {
				if err == nil {
					t.Errorf("accepted: %+v", c.ConnectionState())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if got := c.ConnectionState().NegotiatedProtocol; got != tt.want {
				t.Errorf("spoken is %q, want %q", got, tt.want)
			}
		})
	}
	plain := dial(t, address)
	_, _ = io.WriteString(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, _ := io.ReadAll(plain); !strings.HasPrefix(string(answer), "HTTP/1.0 400") || !strings.Contains(string(answer), "HTTPS") {
		t.Errorf("plain HTTP is answered with %q", answer)
	}
	silent := dial(t, address) // a handshake that does not begin
	_ = silent.SetReadDeadline(time.Now().Add(15 * time.Second))
	if _, err := io.ReadAll(silent); os.IsTimeout(err) {
		t.Error("a connection without a handshake is still open")
	}
}

// A record takes a log.
type record struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.String()
}

// TestCertificatesAreReplacedWhileServing replaces them as Kubernetes does: the files are links through a link to a
// directory, and that link is replaced.
func TestCertificatesAreReplacedWhileServing(t *testing.T) {
	t.Parallel()
	dir, log, registry := t.TempDir(), &record{}, prometheus.NewRegistry()
	generation := 0
	swap := func(cert, key []byte) {
		t.Helper()
		generation++
		name := "..data_" + string(rune('a'+generation))
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "tls.crt"), cert)
		write(t, filepath.Join(dir, name, "tls.key"), key)
		if err := os.Symlink(name, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.Now().Add(13 * 24 * time.Hour).Truncate(time.Second)
	swap(issue(t, 1, soon))
	for _, f := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", f), filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	certificates, err := process.NewCertificates(filesIn(dir), registry, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	address, _ := serving(t, http.HandlerFunc(readAll), process.Connections{}, certificates)
	serial := func() int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // it is the serial that is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("certificate %d is served", got)
	}
	if w, err := certificates.Warnings(t.Context()); err != nil || len(w) != 1 || w[0].Code != process.CodeCertificateExpires {
		t.Errorf("a certificate that ends in 13 days: %v, %v", w, err)
	}
	if got := gauge(t, registry, "rollcall_tls_certificate_expiry_timestamp_seconds"); got != float64(soon.Unix()) {
		t.Errorf("the metric of its end is %v, want %d", got, soon.Unix())
	}
	swap([]byte("-----BEGIN CERTIFICATE-----\n"), []byte("nothing"))
	await.Until(t, "the line about files that cannot be used", func() bool {
		if got := serial(); got != 1 {
			t.Fatalf("certificate %d is served", got)
		}
		return strings.Contains(log.text(), "cannot be used")
	})
	later := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	swap(issue(t, 2, later))
	await.Until(t, "the new certificate", func() bool { return serial() == 2 })
	if w, err := certificates.Warnings(t.Context()); err != nil || len(w) != 0 {
		t.Errorf("a certificate that ends in 90 days: %v, %v", w, err)
	}
	if got := gauge(t, registry, "rollcall_tls_certificate_expiry_timestamp_seconds"); got != float64(later.Unix()) {
		t.Errorf("the metric of its end is %v, want %d", got, later.Unix())
	}
	if got := gauge(t, registry, "rollcall_tls_reload_failures_total"); got != 1 || strings.Count(log.text(), "cannot be used") != 1 {
		t.Errorf("%v failures are counted and logged: %s", got, log.text())
	}
	if strings.Contains(log.text(), "PRIVATE") {
		t.Error("the log shows a key")
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
