package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" help:"Which shell: ${enum}." enum:"bash,zsh,fish"`
}

// Help is what --help adds.
func (completionCommand) Help() string {
	return `Put the script where your shell looks for it:

  bash:  rollcall completion bash > ~/.local/share/bash-completion/completions/rollcall
  zsh:   rollcall completion zsh > "${fpath[1]}/_rollcall"
  fish:  rollcall completion fish > ~/.config/fish/completions/rollcall.fish`
}

// Run prints a script that completes the command line as it is in this release.
func (c completionCommand) Run(parsed *kong.Context, in Invocation) error {
	places := placesOf(parsed.Model.Node, "", nil)
	script := map[string]func([]place) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell]
	_, err := fmt.Fprint(in.Stdout, script(places))
	return err
}

// A place is a point of the command line: what may follow there.
type place struct {
	path  string // /hosts/ls; empty at the beginning
	words []word
}

// A word is a command, a flag or what a flag can be given.
type word struct {
	text   string // with dashes for a flag
	help   string
	values []string // of a flag, if it takes one of a few
}

// placesOf returns the places of a command and those below it. Flags of the commands above are flags of all.
func placesOf(n *kong.Node, path string, inherited []word) []place {
	flags := slices.Clone(inherited)
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		var values []string
		if f.Enum != "" {
			values = slices.DeleteFunc(f.EnumSlice(), func(v string) bool { return v == "" })
		}
		flags = append(flags, word{"--" + f.Name, f.Help, values})
		if f.Short != 0 {
			flags = append(flags, word{"-" + string(f.Short), f.Help, values})
		}
	}
	here := place{path: path}
	var below []place
	for _, child := range n.Children {
		if child.Type != kong.CommandNode || child.Hidden {
			continue
		}
		here.words = append(here.words, word{text: child.Name, help: child.Help})
		below = append(below, placesOf(child, path+"/"+child.Name, flags)...)
	}
	for _, argument := range n.Positional {
		if argument.Enum != "" {
			for _, v := range argument.EnumSlice() {
				here.words = append(here.words, word{text: v})
			}
		}
	}
	here.words = append(here.words, flags...)
	return append([]place{here}, below...)
}

// cases returns the places as the arms of a case of bash and zsh.
func cases(places []place) (paths, flags, words string) {
	var p, f, w strings.Builder
	for _, at := range places {
		if at.path != "" {
			fmt.Fprintf(&p, "|%s", at.path)
		}
		texts := make([]string, 0, len(at.words))
		for _, word := range at.words {
			texts = append(texts, word.text)
			if len(word.values) > 0 {
				fmt.Fprintf(&f, "    '%s %s') words='%s' ;;\n", at.path, word.text, strings.Join(word.values, " "))
			}
		}
		fmt.Fprintf(&w, "    '%s') words='%s' ;;\n", at.path, strings.Join(texts, " "))
	}
	return strings.TrimPrefix(p.String(), "|"), f.String(), w.String()
}

func bashScript(places []place) string {
	paths, flags, words := cases(places)
	return `# bash completion of rollcall; made by: rollcall completion bash
_rollcall() {
  local at='' word words=''
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$at/$word" in
    ` + paths + `) at="$at/$word" ;;
    esac
  done
  case "$at ${COMP_WORDS[COMP_CWORD-1]}" in
` + flags + `    *) case "$at" in
` + words + `    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _rollcall rollcall
`
}

func zshScript(places []place) string {
	paths, flags, list := cases(places)
	return `#compdef rollcall
# zsh completion of rollcall; made by: rollcall completion zsh
_rollcall() {
  local at='' word words_here=''
  for word in "${(@)words[2,CURRENT-1]}"; do
    case "$at/$word" in
    ` + paths + `) at="$at/$word" ;;
    esac
  done
  case "$at ${words[CURRENT-1]}" in
` + strings.ReplaceAll(flags, " words=", " words_here=") + `    *) case "$at" in
` + strings.ReplaceAll(list, " words=", " words_here=") + `    esac ;;
  esac
  compadd -- ${=words_here} || _files
}
if [ "$funcstack[1]" = "_rollcall" ]; then
  _rollcall "$@"
else
  compdef _rollcall rollcall
fi
`
}

func fishScript(places []place) string {
	var b strings.Builder
	paths := make([]string, 0, len(places))
	for _, at := range places {
		paths = append(paths, "'"+at.path+"'")
	}
	fmt.Fprintf(&b, `# fish completion of rollcall; made by: rollcall completion fish
function __rollcall_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    if contains -- "$at/$word" %s
      set at "$at/$word"
    end
  end
  test "$at" = "$argv[1]"
end
`, strings.Join(paths[1:], " "))
	for _, at := range places {
		for _, w := range at.words {
			fmt.Fprintf(&b, "complete -c rollcall -n '__rollcall_at \"%s\"'", at.path)
			long, isLong := strings.CutPrefix(w.text, "--")
			short, isShort := strings.CutPrefix(w.text, "-")
			switch {
			case isLong:
				fmt.Fprintf(&b, " -l %s", long)
			case isShort:
				fmt.Fprintf(&b, " -s %s", short)
			default:
				fmt.Fprintf(&b, " -f -a %s", w.text)
			}
			if len(w.values) > 0 {
				fmt.Fprintf(&b, " -x -a '%s'", strings.Join(w.values, " "))
			}
			if w.help != "" {
				fmt.Fprintf(&b, " -d '%s'", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(w.help))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
