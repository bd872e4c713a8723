package collector

import "strings"

// remoteHomes matches the file systems that may never answer, and those that are mounted by asking for them. It is an
// extended regular expression for awk.
const remoteHomes = `^(nfs|nfs4|cifs|smb3|smbfs|ncpfs|afs|9p|ceph|glusterfs|lustre|gpfs|beegfs|ocfs2|gfs2|orangefs|pvfs2|coda|davfs|autofs|fuse|fuse\..*)$`

// awkFar is the beginning of an awk program that reads /proc/self/mounts and then /etc/passwd: far tells whether a path
// lies where asking for it may hang. The root file system has answered already. name and home are those of an account.
const awkFar = `
function far(p) {
  while (p != "" && !(p in kind)) sub(/\/[^\/]*$/, "", p)
  return p != "" && kind[p]
}
FILENAME == "/proc/self/mounts" {
  m = $2
  gsub(/\\040/, " ", m)
  kind[m] = m != "/" && $3 ~ /` + `%REMOTE%` + `/ && $3 !~ /^fuse\.(fuse-overlayfs|ntfs-3g|snapfuse|lxcfs)$/
  next
}
split($0, a, ":") < 7 || a[6] !~ /^\// || index($0, "\t") { next }
{ name = a[1]; home = a[6]; sub(/\/+$/, "", home) }
`

// road tells what is on the way to a path without following a symbolic link: 0 nothing, 1 a link, 2 a directory that may
// not be entered, 3 the end of what there is. soon tells, by looking at the clock now and then, whether less than so many
// seconds have passed since _z: where there are very many accounts, even looking for their files takes its time.
const road = `road() {
  _i=$1 _j=
  while [ "$_i" ]; do
    _i=${_i#/}
    _j=$_j/${_i%%/*}
    [ -L "$_j" ] && return 1
    [ -e "$_j" ] || return 3
    case $_i in */*) _i=/${_i#*/} ;; *) return 0 ;; esac
    [ -x "$_j" ] || return 2
  done
}
_y=0
soon() {
  _y=$((_y + 1))
  [ $((_y % 256)) = 0 ] || return 0
  now
  [ $((_u - _z)) -lt "$1" ]
}
`

const (
	// What stands in the place of a password never leaves the host, also where an old system keeps it in the file that
	// everybody reads: it becomes shadow, none, locked or set. A line of another form becomes a question mark.
	bodyAccounts = `echo '#passwd'
sed -n '
s/^\([^:]*\)::\(.*:.*:\)/\1:none:\2/
t name
s/^\([^:]*\):x:\(.*:.*:\)/\1:shadow:\2/
t name
s/^\([^:]*\):[*!][^:]*:\(.*:.*:\)/\1:locked:\2/
t name
s/^\([^:]*\):[^:]*:\(.*:.*:\)/\1:set:\2/
t name
s/.*/?/p
d
:name
/^[^:$]*[$]\{0,1\}:/!s/.*/?/
p' /etc/passwd
echo '#group'
sed -n '
s/^\([^:$]*[$]\{0,1\}\):[^:]*:\([0-9]*\):\(.*\)$/\1:\2:\3/
t good
s/.*/?/
:good
p' /etc/group
echo '#defs'
grep -s -e '^[[:space:]]*UID_MIN[[:space:]]' /etc/login.defs
if [ -r /etc/shadow ]; then
  echo '#shadow'
  sed -n '
s/^\([^:$]*[$]\{0,1\}\)::\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\).*/\1:none:\2:\3:\4:\5:\6:\7/
t good
s/^\([^:$]*[$]\{0,1\}\):[*!][^:]*:\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\).*/\1:locked:\2:\3:\4:\5:\6:\7/
t good
s/^\([^:$]*[$]\{0,1\}\):[^:]*:\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\):\([-0-9]*\).*/\1:set:\2:\3:\4:\5:\6:\7/
t good
s/.*/?/
:good
p' /etc/shadow
elif [ -e /etc/shadow ]; then echo '#denied'
fi
:`

	// A session is told by utmp, the last login of an account by wtmp; not every system keeps them.
	bodyLogins = `if have who; then
  echo '#who'
  lim 3 who
fi
if have last; then
  echo '#last'
  lim 5 last -w -F -n 500
fi
:`

	// The rules are taken apart here, because what a command is called with may be a secret: of arguments there is only
	// left that there are some. So is a word that is no command, wherever it stands.
	bodySudoers = `[ "$(id -u)" = 0 ] || return 0
have awk || { echo '#awk'; return 0; }
_awk='
function squeeze(s) { gsub(/[ \t]+/, " ", s); sub(/^ /, "", s); sub(/ $/, "", s); return s }
function protect(s,   out, part) {
  gsub(/\\,/, "\003", s); gsub(/\\:/, "\003", s); gsub(/\\=/, "\003", s); gsub(/\\ /, "\003", s); gsub(/\\\\/, "\003", s)
  out = ""
  while (match(s, /\([^()]*\)/)) {
    part = substr(s, RSTART, RLENGTH)
    gsub(/ /, "", part); gsub(/,/, ";", part)
    out = out substr(s, 1, RSTART - 1) part
    s = substr(s, RSTART + RLENGTH)
  }
  return out s
}
function commands(s,   n, i, list, item, head, word, out) {
  n = split(s, list, ",")
  for (i = 1; i <= n; i++) {
    item = squeeze(list[i]); head = ""
    for (;;) {
      if (match(item, /^\([^()]*\) ?/)) { word = substr(item, 1, RLENGTH); sub(/ $/, "", word); head = head word " " }
      else if (match(item, /^[A-Z_]+: ?/)) { word = substr(item, 1, RLENGTH); sub(/ $/, "", word); head = head word " " }
      else if (!match(item, /^(CWD|CHROOT|ROLE|TYPE|TIMEOUT|NOTBEFORE|NOTAFTER|PRIVS|LIMITPRIVS|APPARMOR_PROFILE)=[^ ]* ?/) && !match(item, /^sha(224|256|384|512): ?[^ ]+ ?/)) break
      item = substr(item, RLENGTH + 1)
    }
    sub(/^! /, "!", item)
    word = item; sub(/ .*/, "", word)
    if (word !~ /^!*(ALL|sudoedit|list|\/[^ ]*|[A-Z][A-Z0-9_]*)$/) item = "***"
    else if (index(item, " ")) item = word " ***"
    out = out (i > 1 ? "," : "") head item
  }
  return out
}
function names(s) { s = squeeze(s); gsub(/ ?, ?/, ",", s); return s }
function aliases(kind, s,   n, i, list, eq, name) {
  n = split(s, list, / : /)
  for (i = 1; i <= n; i++) {
    eq = index(list[i], "="); name = squeeze(substr(list[i], 1, eq - 1))
    if (!eq || name !~ /^[A-Z][A-Z0-9_]*$/) print "bad"
    else print "alias\t" kind "\t" name "\t" (kind ~ /^Cm/ ? commands(substr(list[i], eq + 1)) : names(substr(list[i], eq + 1)))
  }
}
function rule(s,   n, i, list, eq, left, who) {
  n = split(s, list, / : /)
  for (i = 1; i <= n; i++) {
    eq = index(list[i], "="); left = names(substr(list[i], 1, eq - 1))
    if (i == 1) { who = left; sub(/ .*/, "", who); left = index(left, " ") ? substr(left, length(who) + 2) : "" }
    if (!eq || left == "" || index(left, " ")) print "bad"
    else print "rule\t" who "\t" left "\t" commands(substr(list[i], eq + 1))
  }
}
function comment(s,   i, j, c) {
  for (i = 1; (j = index(substr(s, i), "#")) > 0; i++) {
    i += j - 1; c = i > 1 ? substr(s, i - 1, 1) : " "
    if (c == "\\" || c ~ /[ ,%!(;=]/ && substr(s, i + 1, 1) ~ /[0-9]/) continue
    return substr(s, 1, i - 1)
  }
  return s
}
function line(s,   word, dir) {
  if (match(s, /^[ \t]*[#@]include(dir)?[ \t]+/)) {
    word = substr(s, 1, RLENGTH) ~ /dir/ ? "includedir" : "include"
    s = substr(s, RLENGTH + 1); gsub(/"/, "", s); gsub(/%h/, host, s); s = squeeze(s)
    if (s !~ /^\//) { dir = FILENAME; sub(/[^\/]*$/, "", dir); s = dir s }
    print word "\t" s
    return
  }
  s = squeeze(comment(s))
  if (s == "") return
  if (s ~ /^Defaults/) {
    gsub(/"[^"]*"/, "", s)
    if (s !~ /[ ,]!authenticate/) return
    sub(/[ ].*/, "", s)
    print "open\t" (s ~ /^Defaults(:[A-Za-z0-9_.%,-]+)?$/ ? substr(s, 10) : "***")
  } else if (match(s, /^(User|Runas|Host|Cmnd|Cmd)_Alias /)) {
    word = substr(s, 1, RLENGTH - 7)
    aliases(word, protect(substr(s, RLENGTH + 1)))
  } else rule(protect(s))
}
function doas(s,   n, i, w, verb, open, who, as, cmd, more) {
  gsub(/\{[^}]*\}/, "", s); s = squeeze(comment(s))
  if (s == "") return
  n = split(s, w, " "); verb = w[1]; as = "ALL"; cmd = "ALL"
  for (i = 2; i <= n && w[i] ~ /^(nopass|nolog|persist|keepenv|setenv)$/; i++) if (w[i] == "nopass") open = "NOPASSWD: "
  who = w[i++]; sub(/^:/, "%", who)
  if (w[i] == "as") { as = w[i + 1]; i += 2 }
  if (w[i] == "cmd") { cmd = w[i + 1]; more = w[i + 2] == "args" ? " ***" : ""; i = more == "" ? i + 2 : n + 1 }
  if (verb !~ /^(permit|deny)$/ || i <= n || who == "" || cmd !~ /^(ALL|[a-zA-Z0-9_.\/+-]+)$/) print "bad"
  else print "rule\t" who "\tALL\t(" as ") " open (verb == "deny" ? "!" : "") cmd more
}
function tell(s) { if (FILENAME ~ /doas/) doas(s); else line(s) }
{ sub(/\r$/, "") }
/\\$/ { more = more substr($0, 1, length($0) - 1) " "; next }
{ tell(more $0); more = "" }
END { if (more != "") tell(more); print "done" }
'
rules() {
  [ -f "$1" ] && [ -r "$1" ] && [ "$2" -lt 6 ] || return
  printf 'file\t%s\t%s\n' "$1" "$(sha256sum <"$1")"
  awk -v host="$(uname -n)" "$_awk" "$1" | tr '\003' '_' | while IFS= read -r _l; do
    case $_l in
    'includedir	'*)
      for _f in "${_l#*	}"/*; do
        case ${_f##*/} in *.*|*'~') ;; *) rules "$_f" $(($2 + 1)) ;; esac
      done ;;
    'include	'*) rules "${_l#*	}" $(($2 + 1)) ;;
    *) printf '%s\n' "$_l" ;;
    esac
  done
}
rules /etc/sudoers 0
rules /usr/local/etc/sudoers 0
for _f in /etc/doas.conf /etc/doas.d/*.conf; do rules "$_f" 0; done
:`
)

// bodyHomes lists the homes of local accounts with their modes. What lies behind a symbolic link is asked under a bound,
// because it may lead anywhere.
func bodyHomes() string {
	return `have awk || { echo '#awk'; return 0; }
` + road + `now
_z=$_u
{
  awk '` + farProgram() + `!(home in seen) { seen[home]; print (far(home) ? "far" : "near") "\t" (home == "" ? "/" : home) }
END { print "done\t." }' /proc/self/mounts /etc/passwd |
  while IFS='	' read -r _n _f; do
    soon 10 || { echo left >&5; break; }
    case $_n in
    far) printf 'far\t%s\n' "$_f" >&5; continue ;;
    done) echo done >&5; continue ;;
    esac
    road "$_f"
    case $? in
    0) printf '%s\n' "$_f" ;;
    1)
      now
      [ $((_u - _z)) -lt 10 ] || { echo left >&5; break; }
      bound 2 ls -ldn -- "$_f/" >&5 ;;
    2) printf 'denied\t%s\n' "$_f" >&5 ;;
    esac
  done | sed 's/./\\&/g' | xargs ls -ldn -- /
} 5>&1
:`
}

// bodyKeys prints the public keys that may log in. A file is read under a bound of its own, and only as far as it says
// what keys say: it belongs to a user, who may have put anything there. Of the options that are not about where from and
// until when, only the name is left, because a command or an environment may hold a secret.
func bodyKeys() string {
	return `have awk || { echo '#awk'; return 0; }
` + road + `_k=
[ "$(id -u)" = 0 ] && have sshd && _k=$(lim 5 sshd -T | sed -n 's/^authorizedkeysfile //p')
[ "$_k" ] || _k=$(sed -n 's/^[[:space:]]*[Aa]uthorized[Kk]eys[Ff]ile[[:space:]=]\{1,\}//p' /etc/ssh/sshd_config | sed 1q)
[ "$_k" ] || _k='.ssh/authorized_keys .ssh/authorized_keys2'
printf 'patterns\t%s\n' "$_k"
now
_z=$_u
awk -v patterns="$_k" '` + farProgram() + `!(name in seen) {
  seen[name]
  n = split(patterns, list, " ")
  for (i = 1; i <= n; i++) {
    p = list[i]; gsub(/"/, "", p)
    if (p == "none") continue
    out = ""
    while (match(p, /%[%huU]/)) {
      c = substr(p, RSTART + 1, 1)
      out = out substr(p, 1, RSTART - 1) (c == "h" ? home : c == "u" ? name : c == "U" ? a[3] : "%")
      p = substr(p, RSTART + 2)
    }
    p = out p
    if (p !~ /^\//) p = home "/" p
    print (far(p) ? "far" : "near") "\t" name "\t" p
  }
}
END { print "done\t.\t." }' /proc/self/mounts /etc/passwd |
while IFS='	' read -r _w _n _f; do
  soon 20 || { echo left; break; }
  case $_w in
  far) printf 'far\t%s\n' "$_n"; continue ;;
  done) echo done; continue ;;
  esac
  road "$_f"
  case $? in
  0)
    [ -f "$_f" ] || continue
    [ -r "$_f" ] || { printf 'denied\t%s\n' "$_n"; continue; } ;;
  1)
    case $(bound 2 ls -ldnL -- "$_f" 2>&1) in
    -*) ;;
    *[Dd]enied*) printf 'denied\t%s\n' "$_n"; continue ;;
    *) continue ;;
    esac ;;
  2) printf 'denied\t%s\n' "$_n"; continue ;;
  *) continue ;;
  esac
  now
  [ $((_u - _z)) -lt 20 ] || { echo left; break; }
  printf 'file\t%s\t%s\n' "$_n" "$_f"
  { bound 2 head -c 262144 "$_f"; printf '\n%s\n' $?; } | sed -n '
$ {
s/^/end	/p
d
}
s/^[[:space:]]*//
/^#/d
/^$/d
y/{}	/() /
t fresh
:fresh
` + keyFilter() + `'
done
:`
}

// farProgram is awkFar with its file systems.
func farProgram() string { return strings.ReplaceAll(awkFar, "%REMOTE%", remoteHomes) }

// keyFilter returns the part of a sed script that prints a line of authorized_keys as its options, type, key and comment,
// and drops it. Only what is a public key by its form passes. The values of harmless options are kept, in braces.
func keyFilter() string {
	var b strings.Builder
	// The key itself begins with its type, in base64.
	kinds := []struct{ kind, start string }{
		{"ssh-rsa", "AAAAB3NzaC1yc2E"},
		{"ssh-dss", "AAAAB3NzaC1kc3M"},
		{"ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5"},
		{"ecdsa-sha2-nistp[0-9]*", "AAAAE2VjZHNhLXNoYTItbmlzdHA"},
		{"sk-ssh-ed25519@openssh[.]com", "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t"},
		{"sk-ecdsa-sha2-nistp256@openssh[.]com", "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20"},
	}
	key := func(k struct{ kind, start string }) string {
		return k.kind + `\)  *\(` + k.start + `[A-Za-z0-9+\/=]*\)\(.*\)$/`
	}
	for _, k := range kinds {
		b.WriteString(`s/^\(` + key(k) + "key\t\t\\1\t\\2\t\\3/\nt key\n")
	}
	b.WriteString("s/^/,/\n")
	for _, name := range []string{"from", "expiry-time", "permitopen", "permitlisten", "principals", "tunnel"} {
		b.WriteString(`s/,\(` + name + `\)="\([^"\\ {}]*\)"/,\1={\2}/g` + "\n")
	}
	b.WriteString(`s/="[^"\\]*\(\\.[^"\\]*\)*"/={}/g` + "\nt clear\n:clear\n") // forget what has been replaced so far
	for _, k := range kinds {
		b.WriteString(`s/^\(\(,[A-Za-z0-9-]\{1,\}\(={[^{}" ]*}\)\{0,1\}\)*\)  *\(` + key(k) + "key\t\\1\t\\4\t\\5\t\\6/\nt key\n")
	}
	b.WriteString("s/.*/bad/p\nd\n:key\np\nd\n")
	return b.String()
}
