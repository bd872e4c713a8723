package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rollcallhq/rollcall/pkg/collection"
	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
)

const textType = "text/plain; charset=utf-8"

func (s *server) registerSudoers() {
	register(s, operation{
		id: "getSudoers", method: http.MethodGet, path: "/sudoers", tag: "collectors", role: fleet.Viewer,
		summary: "The lines that let an account become root for collecting",
		description: "The fewest lines for sudoers, or for doas.conf, with which hosts whose ssh.become is sudo or doas need no password, and what they add to the " +
			"reports. Where none of the types loses anything without root, there is no line.",
		responses: map[string]*huma.Response{"200": {
			Description: "The lines, with comments.",
			Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.getSudoers)
}

type sudoersInput struct {
	Types   string `query:"types" maxLength:"1024" doc:"report types, with commas between them; without it all built-in ones" example:"os,network"`
	Account string `query:"account" pattern:"^[a-z_][a-z0-9_-]{0,31}$" default:"rollcall" doc:"that collects"`
	Become  string `query:"become" enum:"sudo,doas" default:"sudo" doc:"for which program"`
}

type text struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) getSudoers(_ context.Context, in *sudoersInput) (*text, error) {
	var asked []string
	if in.Types != "" {
		asked = strings.Split(in.Types, ",")
	}
	types, err := collection.CheckReportTypes(asked)
	if err != nil {
		return nil, fleet.InvalidField("types", "%s", fleet.MessageOf(err)).WithCode(fleet.CodeOf(err))
	}
	return &text{ContentType: textType, Body: []byte(sudoers(in.Account, fleet.Become(in.Become), types))}, nil
}

// sudoers returns the lines for the account, with what they are good for.
func sudoers(account string, become fleet.Become, types []string) string {
	var gains strings.Builder
	for _, t := range types {
		if lost := collector.Privileged(t); len(lost) > 0 {
			fmt.Fprintf(&gains, "#   %s: %s\n", t, strings.Join(lost, ", "))
		}
	}
	if gains.Len() == 0 {
		return fmt.Sprintf("# None of these report types loses anything without root: %s.\n# Leave ssh.become at none.\n", strings.Join(types, ", "))
	}
	file, check, lines := "/etc/sudoers.d/rollcall, mode 0440", "visudo -cf /etc/sudoers.d/rollcall", collector.Sudoers(account)
	if become == fleet.BecomeDoas {
		file, check, lines = "/etc/doas.conf, mode 0600", "doas -C /etc/doas.conf", collector.DoasConf(account)
	}
	return fmt.Sprintf("# Rollcall collects as %[1]s. As root it also learns:\n%[2]s"+
		"# The command takes its script from standard input: whoever can log in as %[1]s can do what root can.\n"+
		"# Where that is too much, leave ssh.become at none; the reports then say what they could not read.\n"+
		"# Into %[3]s. Check it with: %[4]s\n%[5]s", account, gains.String(), file, check, lines)
}
