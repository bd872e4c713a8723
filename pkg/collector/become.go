package collector

import (
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// ReadyMark is what a command that becomes root first says on standard output as soon as it is: from then on it reads
// the script, and nobody before it wants anything of standard input any more.
const ReadyMark = "@@rollcall"

// rootCommand is what runs as root. It is the same for every run, so that a line of sudoers can name it in full. Between
// the login shell and root's shell stand only single quotes around it, as with the command of Plan. A script has fewer
// lines than that; sed's own word for the last one, $, is hard to write in sudoers.
const rootCommand = `echo ` + ReadyMark + `; eval "$(sed -n "/^#BEGIN-/,9999999p")"`

// CommandAs returns the command line of a script that starts with a line #BEGIN-…, such as Plan.Script, for a user who
// becomes root first. With a password, that goes to standard input before the script, as one line; without, who would
// have to be asked for one is refused. doas takes none that way. BecomeNone is the user as he is, without the ReadyMark.
func CommandAs(become fleet.Become, password bool) string {
	var prefix string
	switch {
	case become == fleet.BecomeSudo && password:
		prefix = "sudo -S -p '' -- "
	case become == fleet.BecomeSudo:
		prefix = "sudo -n -- "
	case become == fleet.BecomeDoas:
		prefix = "doas -n -- "
	default:
		return `env LC_ALL=C /bin/sh -c 'eval "$(sed -n "/^#BEGIN-/,\$p")"'`
	}
	return "env LC_ALL=C " + prefix + "/bin/sh -c '" + rootCommand + "'"
}

// CommandAs is Command for a user who becomes root first; see the function of that name.
func (p Plan) CommandAs(become fleet.Become, password bool) string {
	if become == fleet.BecomeSudo || become == fleet.BecomeDoas {
		return CommandAs(become, password)
	}
	return p.Command()
}

// Sudoers returns lines for sudoers that let the account run what CommandAs makes of BecomeSudo, and nothing else, with
// no password and no terminal. The command reads its script from standard input, so whoever can log in as the account is
// root with it: the lines cannot be more minimal than the trust in whoever runs the workers. See sudoers(5) on what has
// to be escaped.
func Sudoers(account string) string {
	escaped := strings.NewReplacer(`#`, `\#`, `,`, `\,`).Replace(rootCommand)
	return "Defaults:" + account + " !requiretty\n" +
		account + " ALL=(root) NOPASSWD: /bin/sh -c " + escaped + "\n"
}

// DoasConf returns the line of doas.conf that lets the account run what CommandAs makes of BecomeDoas, and nothing else;
// see doas.conf(5) on quoting.
func DoasConf(account string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(rootCommand)
	return "permit nopass " + account + ` as root cmd /bin/sh args -c "` + quoted + "\"\n"
}
