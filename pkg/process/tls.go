package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcallhq/rollcall/pkg/settings"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
)

// CodeCertificateExpires is the code of the warning that the certificate has to be renewed.
const CodeCertificateExpires = "certificate_expires"

const (
	certificateLook = time.Second         // how often, at most, the files are read again
	certificateWarn = 14 * 24 * time.Hour // how long before its end a certificate is warned of
	certificateSize = 1 << 20             // bytes of a file at most
)

// The variables that name the files.
const (
	tlsCert = "ROLLCALL_TLS_CERT"
	tlsKey  = "ROLLCALL_TLS_KEY"
)

// TLSFiles name a certificate with its chain and its private key, both in PEM. Both are empty without TLS.
type TLSFiles struct{ Cert, Key string }

// ReadTLS reads where the certificate of a process is, and refuses one that cannot be used.
func ReadTLS(r *settings.Reader) TLSFiles {
	f := TLSFiles{
		Cert: r.String(tlsCert, "", "/etc/rollcall/tls/tls.crt", "file of the certificate and its chain, PEM; HTTP and gRPC are then served over TLS. Read again when it changes"),
		Key:  r.String(tlsKey, "", "/etc/rollcall/tls/tls.key", "file of the private key of ROLLCALL_TLS_CERT, PEM"),
	}
	if variable, err := f.Check(); err != nil {
		r.Refuse(variable, err)
	}
	return f
}

// Check returns why the files cannot be used, and the variable that is to blame.
func (f TLSFiles) Check() (variable string, err error) {
	switch {
	case f == TLSFiles{}:
		return "", nil
	case f.Key == "":
		return tlsKey, errors.New("is required with " + tlsCert + "; for example " + tlsKey + "=/etc/rollcall/tls/tls.key")
	case f.Cert == "":
		return tlsCert, errors.New("is required with " + tlsKey + "; for example " + tlsCert + "=/etc/rollcall/tls/tls.crt")
	}
	p, variable, err := f.read()
	if err != nil {
		return variable, err
	}
	if _, err := p.parse(); err != nil {
		return tlsCert, fmt.Errorf("and the key in %s cannot be used: %w", tlsKey, err)
	}
	return "", nil
}

// A pair is what the files hold.
type pair struct{ cert, key []byte }

func (f TLSFiles) read() (p pair, variable string, err error) {
	if p.cert, err = readSmall(f.Cert); err != nil {
		return pair{}, tlsCert, err
	}
	if p.key, err = readSmall(f.Key); err != nil {
		return pair{}, tlsKey, err
	}
	return p, "", nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // an operator names it
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, certificateSize+1))
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	if len(content) > certificateSize {
		return nil, errors.New("the file is larger than any certificate or key")
	}
	return content, nil
}

func (p pair) parse() (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, err // it says which of the two and never what they hold
	}
	return &c, nil
}

func (p pair) equal(q pair) bool { return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) }

// Certificates are the certificate of a process as its files have it now: they are looked at again at most every second,
// when somebody connects or asks. Files that are replaced, also behind symbolic links as Kubernetes does it, are noticed
// by what they hold. While they hold nothing that can be used the former certificate stays. It is safe for concurrent
// use.
type Certificates struct {
	files    TLSFiles
	log      *slog.Logger
	failures prometheus.Counter

	mu      sync.Mutex
	looked  time.Time
	holding pair // what current was made of
	refused pair // what was found since then and cannot be used
	problem error
	current *tls.Certificate
}

// NewCertificates reads the files; without any it returns nil, which is no TLS. Its metrics are registered with r,
// unless that is nil.
func NewCertificates(files TLSFiles, r prometheus.Registerer, log *slog.Logger) (*Certificates, error) {
	if files == (TLSFiles{}) {
		return nil, nil //nolint:nilnil // no TLS
	}
	if variable, err := files.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	c := &Certificates{files: files, log: log, failures: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "rollcall", Subsystem: "tls", Name: "reload_failures_total",
		Help: "Changes of the files of the certificate that could not be used.",
	})}
	if c.get() == nil {
		return nil, fmt.Errorf("%s: %w", tlsCert, c.problem)
	}
	if r == nil {
		return c, nil
	}
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "rollcall", Subsystem: "tls", Name: "certificate_expiry_timestamp_seconds",
		Help: "When the certificate that is served ends, in Unix time.",
	}, func() float64 { return float64(c.get().Leaf.NotAfter.Unix()) })
	if err := errors.Join(r.Register(c.failures), r.Register(expiry)); err != nil {
		return nil, fmt.Errorf("registering the metrics of the certificate: %w", err)
	}
	return c, nil
}

// Config returns a configuration for servers: TLS 1.2 or newer, and the certificate of the moment. The caller sets
// NextProtos.
func (c *Certificates) Config() *tls.Config {
	config := modern()
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }
	return config
}

// get returns the certificate of the moment.
func (c *Certificates) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= certificateLook {
		c.looked = now
		c.look()
	}
	return c.current
}

// look takes over what the files hold, if that is new and can be used.
func (c *Certificates) look() {
	found, variable, err := c.files.read()
	if err == nil && (found.equal(c.holding) || c.problem != nil && found.equal(c.refused)) {
		if found.equal(c.holding) {
			c.problem = nil
		}
		return
	}
	var fresh *tls.Certificate
	if err == nil {
		variable = tlsCert
		fresh, err = found.parse()
	}
	if err != nil {
		if c.problem == nil || !found.equal(c.refused) {
			c.failures.Inc()
			c.log.Warn("the new certificate cannot be used; the former one is kept", "variable", variable, "error", err)
		}
		c.problem, c.refused = err, found
		return
	}
	if c.current != nil {
		c.log.Info("the certificate was replaced", "expires", fresh.Leaf.NotAfter)
	}
	c.current, c.holding, c.refused, c.problem = fresh, found, pair{}, nil
}

// Warnings tells of a certificate that ends soon or has ended, and of files that cannot be used. It is for
// telemetry.Health; nil Certificates have none.
func (c *Certificates) Warnings(context.Context) ([]telemetry.Warning, error) {
	if c == nil {
		return nil, nil
	}
	ends := c.get().Leaf.NotAfter
	left := time.Until(ends)
	var message string
	switch {
	case left <= 0:
		message = fmt.Sprintf("The certificate ended at %s: clients refuse it. Replace the files that %s and %s name.", ends.UTC().Format(time.RFC3339), tlsCert, tlsKey)
	case left < certificateWarn:
		message = fmt.Sprintf("The certificate ends at %s. Replace the files that %s and %s name; no restart is needed.", ends.UTC().Format(time.RFC3339), tlsCert, tlsKey)
	default:
		return nil, nil
	}
	return []telemetry.Warning{{Code: CodeCertificateExpires, Message: message}}, nil
}
