package collector

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sectionPrefix begins the names of sections of custom collectors: the rest is the collector's name. What a script said on
// standard error follows in a section of its own.
const (
	sectionPrefix = "x."
	stderrSuffix  = ".err"
)

// customPrologue is what a run with custom collectors needs beside the rest. A custom script is somebody else's: it runs
// in a shell of its own, as the leader of a session of its own where the host can do that, with nothing of ours but the
// environment. So it may exit, exec, kill 0, change what it likes, and print what it likes; it cannot be waited for
// longer than its bound, and nothing of it is left afterwards.
//
// own runs the script: standard output goes to descriptor 6, standard error to 7. Beside it, in its session, sleeps what
// kills it; that ignores, from before it starts, what a script that kills its group sends. When the script has ended, its
// group is killed, and who left the group but still holds one of the two pipes: a daemon would keep the run waiting.
//
// xsec is sec for a custom collector. One writer after the other writes to descriptor 4: the words about the end, in a
// line, and then the standard error.
//
// systems says what this host is, the most specific first: the distribution, what it says it is like, the kernel. Before
// there was os-release, distributions had files of their own.
const customPrologue = `T="
"
systems() {
  _y=
  for _f in /etc/os-release /usr/lib/os-release; do
    [ -r "$_f" ] || continue
    _y=$(sed -n "s/^ID=[\"']*\([^\"']*\).*/\1/p" "$_f")
    _y="$_y $(sed -n "s/^ID_LIKE=[\"']*\([^\"']*\).*/\1/p" "$_f")"
    break
  done
  if [ ! "$_y" ]; then
    if [ -r /etc/redhat-release ]; then _y=rhel
    elif [ -r /etc/SuSE-release ]; then _y='sles suse'
    elif [ -r /etc/alpine-release ]; then _y=alpine
    elif [ -r /etc/debian_version ]; then _y=debian
    elif [ -r /etc/arch-release ]; then _y=arch
    fi
  fi
  case " $_y " in
  *' fedora '*|*' centos '*) _y="$_y rhel" ;;
  *' opensuse '*|*' sles '*) _y="$_y suse" ;;
  esac
  printf '%s %s\n' "$_y" "$K" | tr ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz
}
ticks() {
  _u=0.00
  read -r _u _v </proc/uptime || { _u=$(date +%s); _u=$_u.00; }
  _h=1${_u#*.}
  _u=$((${_u%.*} % 1000000 * 1000 + _h % 100 * 10))
}
holders() {
  for _f in /proc/[0-9]*/fd/[12]; do
    if [ "$_f" -ef /proc/self/fd/6 ] || [ "$_f" -ef /proc/self/fd/7 ]; then
      _f=${_f#/proc/}
      kill -s KILL "${_f%%/*}"
    fi
  done
}
own() {
  ticks
  _a=$_u
  if have setsid; then
    setsid /bin/sh -c 'trap "" TERM HUP INT; ( sleep "$2"; kill -s KILL -- "-$$" ) </dev/null >/dev/null 2>&1 & trap - TERM HUP INT; exec /bin/sh -c "$1" "$0"' \
      "$1" "$_x" "$2" </dev/null >&6 2>&7 3>&- 4>&- 6>&- 7>&- &
  else
    /bin/sh -c 'trap "" TERM HUP INT; ( sleep "$2"; kill -s KILL "$$" ) </dev/null >/dev/null 2>&1 & trap - TERM HUP INT; exec /bin/sh -c "$1" "$0"' \
      "$1" "$_x" "$2" </dev/null >&6 2>&7 3>&- 4>&- 6>&- 7>&- &
  fi
  _p=$!
  wait "$_p"
  _c=$?
  kill -s KILL -- "-$_p"
  holders
  ticks
  [ "$_c" -gt 256 ] && _c=$((_c - 128))
  _d=$((_u - _a))
  [ "$_d" -lt 0 ] && _d=0
  [ "$_c" -gt 123 ] && [ "$_d" -ge "$(($2 * 1000))" ] && printf 't ' >&4
  printf 'm%s %s\n' "$_d" "$_c" >&4
}
xsec() {
  printf '\n@@%s S %s\n' "$N" "$1"
  _r=$({ { _e=$({ own "${1#x.}" "$4" 7>&1 >/dev/null; } | { cap "$3"; cat >/dev/null; }); printf '%s' "$_e" >&4; } 6>&1 >/dev/null | cap "$2" >&3; } 4>&1)
  _c=${_r%%"$T"*}
  printf '\n@@%s E %s o%s %s\n\n@@%s S %s.err\n' "$N" "$1" "$_o" "${_c:-141}" "$N" "$1"
  case $_r in *"$T"*) printf '%s\n' "${_r#*"$T"}" ;; esac
  printf '\n@@%s E %s.err 0\n' "$N" "$1"
}
Y=$(systems)
`

// killLed has the dead-man switch kill the sessions of custom scripts before the run's own group: they are led by
// processes that descend from it.
const killLed = `tree; for _i in $_all; do [ "$_i" = $$ ] || kill -s KILL -- "-$_i"; done; `

// customCalls returns the commands that run the custom types, whatever the kernel.
func customCalls(types []Type) string {
	var b strings.Builder
	for _, t := range types {
		c := t.custom
		if c == nil {
			continue
		}
		name := sectionPrefix + c.Name
		b.WriteString("_x= _o=\nfor _i in $Y; do\n  case $_i in\n")
		for _, system := range c.Systems() {
			fmt.Fprintf(&b, "  %s) _x='%s' ;;\n", system, strings.ReplaceAll(c.OS[system], "'", `'\''`))
		}
		b.WriteString("  *) continue ;;\n  esac\n  _o=$_i\n  break\ndone\n")
		// One byte more than is kept tells an output that just fits from one that was cut.
		fmt.Fprintf(&b, "if [ \"$_o\" ]; then xsec %s %d %d %d\n", name, c.stdoutCap()+1, c.stderrCap()+1, int64(c.Timeout()/time.Second))
		fmt.Fprintf(&b, "else printf '\\n@@%%s S %s\\n\\n@@%%s E %s 0\\n' \"$N\" \"$N\"; fi\n", name, name)
	}
	return b.String()
}

// customSections returns the sections that the custom types among the types are answered in.
func customSections(types []Type) []section {
	var out []section
	for _, t := range types {
		if c := t.custom; c != nil {
			name := sectionPrefix + c.Name
			out = append(out, section{name: name, cap: c.stdoutCap()}, section{name: name + stderrSuffix, cap: c.stderrCap()})
		}
	}
	return out
}

// readWord reads a word of a custom section's end: which system's script ran, and for how many milliseconds.
func (s *Section) readWord(word string) {
	if system, ok := strings.CutPrefix(word, "o"); ok {
		s.System = system
	}
	if took, ok := strings.CutPrefix(word, "m"); ok {
		if ms, err := strconv.ParseUint(took, 10, 31); err == nil {
			s.Took = time.Duration(ms) * time.Millisecond
		}
	}
}
