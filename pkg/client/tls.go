package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// WithRootCAs makes the client believe the certificate authorities in pem, beside those of the system: for servers whose
// certificate comes from a private one. It goes after WithHTTPClient, whose transport must be an *http.Transport or none.
func WithRootCAs(pem []byte) Option {
	return func(c *Client) error {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool() // a machine without any believes the given ones alone
		}
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("there is no certificate in PEM among the certificate authorities")
		}
		transport := c.http.Transport
		if transport == nil {
			transport = http.DefaultTransport
		}
		given, ok := transport.(*http.Transport)
		if !ok {
			return errors.New("the HTTP client has a transport of its own, which has to know the certificate authorities itself")
		}
		own := given.Clone()
		if own.TLSClientConfig == nil {
			own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		own.TLSClientConfig.RootCAs = roots
		c.http.Transport = own
		return nil
	}
}

// explained says what is wrong with the server's certificate, if that is why err happened.
func explained(err error) error {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("its certificate comes from an authority that is not known here; name the authority's file with ROLLCALL_CA_CERT: %w", unknown)
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("its certificate is for another name: %w", name)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("its certificate has expired or is not valid yet at %s, the time here: %w", time.Now().UTC().Format(time.RFC3339), invalid)
	}
	return err
}
