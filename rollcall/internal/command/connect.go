package command

import (
	"errors"
	"fmt"
	"os"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/settings"
)

// The variables that say where the server is and who is asking.
const (
	envURL   = "ROLLCALL_URL"
	envToken = "ROLLCALL_TOKEN"

	envCACert = "ROLLCALL_CA_CERT" // file of certificate authorities to believe beside those of the system
)

// defaultURL is where rollcall up serves.
const defaultURL = "http://127.0.0.1:8080"

// A door is where a command's requests go and as whom.
type door struct {
	url  string
	from string // what said so
	file contextFile
	kept saved
	// token is that of ROLLCALL_TOKEN; empty: whoever is signed in.
	token string
}

// findDoor looks at the environment and at what login has kept.
func findDoor(in Invocation) (door, error) {
	environ := settings.Environ(in.Environ)
	if token := environ[envToken]; token != "" {
		if environ[envURL] == "" {
			return door{}, usage{errors.New(envToken + " is set and " + envURL + " is not: a token is not sent to a guessed address. For example " + envURL + "=" + defaultURL)}
		}
		return door{url: environ[envURL], token: token, from: envURL + " and " + envToken}, nil
	}
	file, err := contextFileOf(environ)
	if err != nil {
		return door{}, err
	}
	kept, err := file.load()
	if err != nil {
		return door{}, err
	}
	d := door{url: kept.URL, file: file, kept: kept, from: string(file)}
	if environ[envURL] != "" {
		d.url, d.from = environ[envURL], envURL
	}
	return d, nil
}

var errNotSignedIn = errors.New("nobody is signed in; rollcall login URL does it, or set " + envURL + " and " + envToken)

// client returns a client that says who is asking.
func (d door) client(in Invocation) (*client.Client, error) {
	if d.url == "" {
		return nil, errNotSignedIn
	}
	anonymous, err := d.anonymous(in)
	if err != nil {
		return nil, err
	}
	if d.token != "" {
		return client.New(d.url, client.WithToken(d.token), agent(in))
	}
	if d.kept.RefreshToken == "" {
		return nil, errNotSignedIn
	}
	if d.kept.URL != anonymous.BaseURL() {
		return nil, errors.New("signed in at " + d.kept.URL + ", and " + envURL + " says " + anonymous.BaseURL() + ": unset it, sign in there, or set " + envToken + " as well")
	}
	return client.New(d.url, client.WithTokenSource(savedSession{file: d.file, server: anonymous}), agent(in))
}

// anonymous returns a client that does not say who is asking.
func (d door) anonymous(in Invocation) (*client.Client, error) {
	c, err := client.New(d.url, agent(in))
	if err != nil {
		return nil, usage{err}
	}
	return c, nil
}

func agent(in Invocation) client.Option {
	return func(c *client.Client) error {
		if err := client.WithUserAgent("rollcall/" + in.Version)(c); err != nil {
			return err
		}
		path := settings.Environ(in.Environ)[envCACert]
		if path == "" {
			return nil
		}
		authorities, err := os.ReadFile(path) //nolint:gosec // whoever calls names it
		if err != nil {
			return fmt.Errorf("%s: reading the certificate authorities: %w", envCACert, err)
		}
		if err := client.WithRootCAs(authorities)(c); err != nil {
			return fmt.Errorf("%s=%s: %w", envCACert, path, err)
		}
		return nil
	}
}

// connect returns a client of the server that the environment or login has named.
func connect(in Invocation) (*client.Client, error) {
	d, err := findDoor(in)
	if err != nil {
		return nil, err
	}
	return d.client(in)
}
