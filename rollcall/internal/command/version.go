package command

import "fmt"

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(in Invocation) error {
	_, err := fmt.Fprintln(in.Stdout, in.Version)
	return err
}
