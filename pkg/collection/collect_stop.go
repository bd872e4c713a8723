package collection

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/remote"
)

// stopScript ends a run of the collecting script and looks whether it has ended. It kills the process group that the
// run has told, G; where it has told none, yet or at all, it looks for the group's leader: a process of the same user
// that has the run's nonce on its command line. (Anybody can see the nonce there and show it as well, but only root
// can put a process of root's at the head of somebody else's group.) Then it looks through all processes until none
// of the groups is left, at most for about three seconds, and says so with a word that was made up for this one time.
//
// Where nothing was found to kill, the leader may be about to show up, and is looked for some more; where a search
// cannot find anything, not even the searching shell, nothing is said.
//
// The script of a custom collector leads a group of its own, which is looked for among the descendants of the leader,
// while that stands still and cannot start another one.
//
// A group whose leader has ended keeps its number until the last of its processes has gone, so nobody else is hit.
// Zombies do not count: they run nothing, and in a container without an init they stay for good.
const stopScript = `exec 2>/dev/null </dev/null
set +e +u +x
IFS=' 	
'
PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
export PATH
G=' %GROUP% '
q=') '
find_groups() {
  for f in $(grep -lz '%NONCE%' /proc/[0-9]*/cmdline); do
    f=${f%/cmdline}
    [ -O "$f" ] && read -r l <"$f/stat" || continue
    set -- ${l##*"$q"}
    [ "$3" = "${f#/proc/}" ] || continue
    case $G in *" $3 "*) ;; *) G="$G$3 " ;; esac
  done
}
left() {
  if read -r l </proc/$$/stat; then
    for f in /proc/[0-9]*/stat; do
      read -r l <"$f" || continue
      set -- ${l##*"$q"}
      case $1 in [ZXx]*) continue ;; esac
      case $G in *" $3 "*) return 0 ;; esac
    done
    return 1
  fi
  l=$(ps -A -o pgid= -o stat=) || return 0
  set -- $l
  [ "$#" -gt 1 ] || return 0
  while [ "$#" -gt 1 ]; do
    case $2 in Z*) ;; *) case $G in *" $1 "*) return 0 ;; esac ;; esac
    shift 2
  done
  return 1
}
led() {
  all=" $1 " more=1
  while [ "$more" ]; do
    more=
    for f in /proc/[0-9]*/stat; do
      read -r l <"$f" || continue
      i=${l%% *}
      set -- ${l##*"$q"}
      case $all in *" $i "*) continue ;; esac
      case $all in
        *" $2 "*)
          all="$all$i " more=1
          case $3$G in "$i "*" $i "*) ;; "$i "*) G="$G$i " ;; esac
          ;;
      esac
    done
  done
}
if [ ! '%GROUP%' ]; then grep -qz '%SELF%' "/proc/$$/cmdline" || exit 1; fi
n=0
while [ "$n" -lt 20 ]; do
  n=$((n + 1))
  [ '%GROUP%' ] || find_groups
  if [ '%CUSTOM%' ]; then
    for g in $G; do kill -s STOP -- "-$g"; done
    for g in $G; do led "$g"; done
  fi
  for g in $G; do kill -s KILL -- "-$g"; done
  if ! left; then
    case $G in *[0-9]*) n=20 ;; esac
    if [ "$n" -gt 3 ]; then
      echo '@@%WORD% GONE'
      exit
    fi
  fi
  sleep 0.1 || { sleep 1; n=$((n + 9)); }
done
`

// stopOf returns how the run of the plan is ended that has said so much up to now.
func stopOf(plan collector.Plan, stdout []byte) remote.Stop {
	group := ""
	if run, err := plan.Read(stdout); err == nil && run.PGID > 1 {
		group = strconv.Itoa(run.PGID)
	}
	nonce, word, custom := plan.Nonce(), madeUp(), ""
	if plan.Custom() {
		custom = "yes"
	}
	script := strings.NewReplacer(
		"%GROUP%", group,
		"%NONCE%", "["+nonce[:1]+"]"+nonce[1:], // which does not find itself on the command line of grep
		"%SELF%", word, "%WORD%", word, "%CUSTOM%", custom,
	).Replace(stopScript)
	// The searching shell shows the word on its command line, whoever has started it.
	stdin := "#BEGIN-" + word + "\nrollcall_stop='" + strings.ReplaceAll(script, "'", `'\''`) + "'\nexec /bin/sh -c \"$rollcall_stop\"\n"
	return remote.Stop{
		Command: collector.CommandAs(fleet.BecomeNone, false), Stdin: []byte(stdin), Gone: "@@" + word + " GONE\n",
	}
}

// madeUp returns a word that nobody can guess.
func madeUp() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
