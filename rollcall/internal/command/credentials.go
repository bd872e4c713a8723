package command

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

type credentialsCommand struct {
	Ls     credentialsLsCommand     `cmd:"" help:"List credentials, without their secrets."`
	Add    credentialsAddCommand    `cmd:"" help:"Add a credential: a private key or a password."`
	Rm     credentialsRmCommand     `cmd:"" help:"Delete credentials that no host uses."`
	Reseal credentialsResealCommand `cmd:"" help:"Seal the secrets anew to the current keys of their sites."`
	Seals  credentialsSealsCommand  `cmd:"" help:"Count which keys the secrets are sealed to."`
}

func credentialColumns() []column[wire.Credential] {
	return []column[wire.Credential]{
		col("NAME", func(c wire.Credential) any { return c.Name }),
		col("KIND", func(c wire.Credential) any { return c.Kind }),
		col("USERNAME", func(c wire.Credential) any { return c.Username }),
		col("SITES", func(c wire.Credential) any { return c.Sites }),
		col("FINGERPRINT", func(c wire.Credential) any { return c.Fingerprint }),
		col("CHANGED", func(c wire.Credential) any { return c.UpdatedAt }),
		col("ID", func(c wire.Credential) any { return c.ID }),
	}
}

type credentialsLsCommand struct{ output }

// Run lists credentials.
func (c credentialsLsCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return list(in, c.output, server.Credentials(ctx, client.PageSize(maxPage)), credentialColumns()...)
}

type credentialsAddCommand struct {
	Name           string   `arg:"" help:"What to call it."`
	Username       string   `short:"u" required:"" help:"Who signs in on the hosts." placeholder:"NAME"`
	PrivateKey     string   `help:"File of a private key in PEM; - is standard input." placeholder:"FILE" type:"path" xor:"secret"`
	PassphraseFile string   `help:"File of the passphrase of the private key." placeholder:"FILE" type:"path"`
	PasswordFile   string   `help:"File of a password; - is standard input." placeholder:"FILE" type:"path" xor:"secret"`
	PasswordStdin  bool     `help:"Read a password from standard input." xor:"secret"`
	Site           []string `help:"Sites whose workers can open it (default)." placeholder:"SITE"`
	output
}

// Run adds a credential. Its secret comes from files, standard input or the terminal, never from the command line,
// which every user of the machine can see.
func (c credentialsAddCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	credential, err := c.input(ctx, in)
	if err != nil {
		return err
	}
	added, err := server.AddCredential(ctx, credential)
	if err != nil {
		return err
	}
	if c.Output != asTable {
		return one(in, c.output, added, credentialColumns()...)
	}
	_, err = fmt.Fprintf(in.Stdout, "Added %s (%s).\n", added.Name, added.ID)
	return err
}

func (c credentialsAddCommand) input(ctx context.Context, in Invocation) (wire.CredentialInput, error) {
	credential := wire.CredentialInput{Name: c.Name, Username: c.Username, Kind: "password", Sites: c.Site}
	if c.PrivateKey == "" {
		if c.PassphraseFile != "" {
			return credential, usage{errors.New("--passphrase-file is for --private-key, which is missing")}
		}
		password, err := c.password(ctx, in)
		credential.Password = &password
		return credential, err
	}
	if c.PrivateKey == "-" && c.PassphraseFile == "-" {
		return credential, usage{errors.New("only one secret can come from standard input")}
	}
	key, err := secretFile(in, c.PrivateKey)
	if err != nil {
		return credential, err
	}
	credential.Kind, credential.PrivateKey = "private_key", new(wire.Secret(key))
	if c.PassphraseFile != "" {
		passphrase, err := secretFile(in, c.PassphraseFile)
		if err != nil {
			return credential, err
		}
		credential.Passphrase = new(wire.Secret(oneLine(passphrase)))
	}
	return credential, nil
}

func (c credentialsAddCommand) password(ctx context.Context, in Invocation) (wire.Secret, error) {
	if c.PasswordFile != "" {
		password, err := secretFile(in, c.PasswordFile)
		return wire.Secret(oneLine(password)), err
	}
	if _, ok := terminal(in.Stdin); !ok && !c.PasswordStdin {
		return "", usage{errors.New("there is no secret: give --private-key FILE, --password-file FILE or --password-stdin")}
	}
	password, err := readPassword(ctx, in, c.PasswordStdin, "Password of "+c.Username+" on the hosts: ")
	return wire.Secret(password), err
}

type credentialsRmCommand struct {
	Credentials []string `arg:"" name:"credential" help:"Names or IDs."`
}

// Run deletes credentials.
func (c credentialsRmCommand) Run(ctx context.Context, in Invocation) error {
	server, err := connect(in)
	if err != nil {
		return err
	}
	return each(in, c.Credentials, func(name string) (string, error) {
		credential, err := findCredential(ctx, server, name)
		if err == nil {
			err = server.RemoveCredential(ctx, credential.ID)
		}
		return "Deleted " + credential.Name + ".", err
	})
}

func findCredential(ctx context.Context, server *client.Client, name string) (wire.Credential, error) {
	return find("credential", name, server.Credentials(ctx, client.PageSize(maxPage)),
		func(c wire.Credential) (uuid.UUID, string) { return c.ID, c.Name })
}

// find returns the thing of that name or ID; a name goes before an ID.
func find[T any](what, name string, things iter.Seq2[T, error], keys func(T) (uuid.UUID, string)) (T, error) {
	var byID *T
	var none T
	id, _ := uuid.Parse(name) // nothing has the zero ID
	for thing, err := range things {
		if err != nil {
			return none, err
		}
		thingID, thingName := keys(thing)
		if thingName == name {
			return thing, nil
		}
		if thingID == id {
			byID = &thing
		}
	}
	if byID != nil {
		return *byID, nil
	}
	return none, fmt.Errorf("there is no %s %q; rollcall %ss ls shows which there are", what, name, what)
}
