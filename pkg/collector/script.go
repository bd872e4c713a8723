package collector

import (
	"fmt"
	"strconv"
	"strings"
)

// bootstrap makes sure that the body runs in a process group of its own, because the dead-man switch kills the
// group as a whole: sharing one with whoever started us would kill them. exec keeps the process, so whoever waits
// for us still does. The body is an argument rather than a here-document, which bash before 5.1 keeps in a file under
// /tmp: a host with a full disk has to be readable too; and whoever is to end us finds us by the nonce that it shows.
const bootstrap = `exec 2>/dev/null </dev/null
set +e +u +x
IFS=' 	
'
rollcall_group() {
  _l= _q=') '
  read -r _l </proc/$$/stat || _l="0 (sh) $(ps -o stat=,ppid=,pgid= -p $$)"
  set -- ${_l##*"$_q"}
  [ "$3" = "$$" ]
}
if rollcall_group; then exec /bin/sh -c "$rollcall_body"
elif command -v setsid >/dev/null; then exec setsid /bin/sh -c "$rollcall_body"
else eval "$rollcall_body"; fi
`

// prologue is the part of the body before the sections. Placeholders in capitals between percent signs are replaced.
//
// tree collects what the script has started, for a host on which it could get no group of its own: the dead-man switch
// then kills these processes and not itself, since it would not come to the end of the list.
//
// The dead-man switch kills nothing unless its sleep ended well, so a host without a working sleep is not killed at
// once. Its trap may run before its sleep has been started, when $! is empty, and kills the sleep with KILL, because a
// child that has not yet become sleep may still have the shell's own idea of TERM.
//
// stop ends a watcher through its trap. mksh loses a signal that comes just before it begins to wait.
//
// sec runs a section with its output capped: what the section's commands print goes through head to the real
// standard output (descriptor 3), while its status, and the t of a command that met its bound, go to descriptor 4.
//
// timeout(1) is used only with --foreground: without it GNU's puts itself into a process group of its own, which
// the dead-man switch would not reach, and BusyBox's leaves a watcher in another session. Everywhere else a shell
// watchdog does the same. Whether a command met its bound is judged by the clock, because the status of a killed
// command differs between implementations.
const prologue = `exec 2>/dev/null </dev/null
set +e +u +x
N=%NONCE%
IFS=' 	
'
unset LANG LANGUAGE ENV BASH_ENV CDPATH GREP_OPTIONS GREP_COLORS POSIXLY_CORRECT DF_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE LS_BLOCK_SIZE TIME_STYLE QUOTING_STYLE LSBLK_DEBUG
LC_ALL=C TZ=UTC0 PAGER=cat SYSTEMD_PAGER= SYSTEMD_COLORS=0 NO_COLOR=1 COLUMNS=10000
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL TZ PAGER SYSTEMD_PAGER SYSTEMD_COLORS NO_COLOR COLUMNS PATH
umask 077
rollcall_group() {
  _l= _q=') '
  read -r _l </proc/$$/stat || _l="0 (sh) $(ps -o stat=,ppid=,pgid= -p $$)"
  set -- ${_l##*"$_q"}
  [ "$3" = "$$" ]
}
tree() {
  _all=" $$ " _more=1 _q=') '
  read -r _me _l </proc/self/stat || return
  while [ "$_more" ]; do
    _more=
    for _f in /proc/[0-9]*/stat; do
      read -r _l <"$_f" || continue
      _i=${_l%% *}
      set -- ${_l##*"$_q"}
      [ "$_i" = "$_me" ] && continue
      case $_all in *" $_i "*) continue ;; esac
      case $_all in *" $2 "*) _all="$_all$_i " _more=1 ;; esac
    done
  done
}
stop() {
  kill "$1"
  case ${KSH_VERSION-} in *MIRBSD*|*LEGACY*) sleep 0.05; kill "$1" ;; esac
  wait "$1"
}
G=0
rollcall_group && G=$$
( trap '[ "$!" ] && kill -s KILL "$!"; exit' TERM
  sleep %DEADLINE% & wait "$!" || exit
  if [ $G != 0 ]; then %LED%kill -s KILL -- -$G; else tree; kill -s KILL $_all; fi
) </dev/null >/dev/null 2>&1 &
W=$!
command -v renice >/dev/null && renice -n 10 -p $$ >/dev/null
command -v ionice >/dev/null && ionice -c 3 -p $$ >/dev/null
have() { command -v "$1" >/dev/null; }
g() { grep -s '' "$@" /dev/null; }
exec 3>&1
if [ "$(printf xy | head -c 1)" = x ]; then cap() { head -c "$1"; }; else cap() { cat; }; fi
sec() {
  printf '\n@@%s S %s\n' "$N" "$1"
  _r=$({ { "s_$1" 3>&-; printf '%s' "$?" >&4; } | cap "$2" >&3; } 4>&1)
  printf '\n@@%s E %s %s\n' "$N" "$1" "${_r:-141}"
}
`

// bounded is added to the prologue when a section runs a command under a bound.
const bounded = `now() { _u=0; read -r _u _v </proc/uptime; _u=${_u%.*}; }
if timeout --foreground -s KILL 5 true; then
  bound() { timeout --foreground -s KILL "$@" 4>&-; }
else
  bound() {
    _b=$1
    shift
    "$@" 4>&- &
    _p=$!
    ( trap '[ "$!" != "$_p" ] && kill -s KILL "$!"; exit' TERM
      sleep "$_b" & wait "$!" && kill -s KILL "$_p"
    ) >/dev/null 4>&- &
    _w=$!
    wait "$_p"
    _c=$?
    stop "$_w"
    return "$_c"
  }
fi
lim() {
  now
  _a=$_u _t=$1
  bound "$@"
  _c=$?
  [ "$_c" -gt 256 ] && _c=$((_c - 128))
  [ "$_c" -gt 123 ] && now && [ $((_u - _a)) -ge "$_t" ] && printf 't ' >&4
  return "$_c"
}
`

// epilogue runs the sections. Another kernel than Linux is asked for its identity only.
const epilogue = `K=$(uname -s)
printf '@@%s BEGIN %s %s\n' "$N" "$(date +%s)" "$G"
sec id 65537
if [ "$K" = Linux ]; then :
%CALLS%fi
%CUSTOM%stop "$W"
printf '\n@@%s END %s\n' "$N" "$(date +%s)"
`

// maxBody bounds the body, which is an argument: Linux takes none of 128 KiB or more.
const maxBody = 127 << 10

// buildBody returns the body of a script.
func buildBody(nonce string, deadlineSeconds int64, sections []section, types []Type) string {
	var functions, calls strings.Builder
	for _, s := range sections {
		if strings.HasPrefix(s.name, sectionPrefix) {
			continue // runs in a shell of its own
		}
		fmt.Fprintf(&functions, "s_%s() {\n%s\n}\n", s.name, s.body)
		if s.name != sectionID {
			// One byte more than is kept tells a section that just fits from one that was cut.
			fmt.Fprintf(&calls, "sec %s %d\n", s.name, s.cap+1)
		}
	}
	custom, led := customCalls(types), ""
	if custom != "" {
		custom, led = customPrologue+custom, killLed
	}
	body := strings.NewReplacer("%NONCE%", nonce, "%DEADLINE%", strconv.FormatInt(deadlineSeconds, 10), "%LED%", led).Replace(prologue)
	if strings.Contains(functions.String(), "lim ") {
		body += bounded
	}
	return body + functions.String() + strings.NewReplacer("%CALLS%", calls.String(), "%CUSTOM%", custom).Replace(epilogue)
}

// frame returns the whole script: the line that the command waits for, the names of the sections, and the body as one
// quoted string for the bootstrap.
func frame(nonce string, sections []section, body string) []byte {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	var script strings.Builder
	fmt.Fprintf(&script, "#BEGIN-%s\n#SECTIONS %s\n", nonce, strings.Join(names, " "))
	fmt.Fprintf(&script, "rollcall_body='%s'\n", strings.ReplaceAll(body, "'", `'\''`))
	script.WriteString(bootstrap)
	return []byte(script.String())
}
