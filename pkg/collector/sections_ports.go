package collector

const (
	// The files of the kernel, of which only the lines of sockets that wait are sent: a busy server has thousands of
	// others. Each is read twice: the kernel hands them out page by page, and leaves out some where others are opened and
	// closed meanwhile. An awk counts all of them. What lies below /proc/sys is read by cat: most shells read byte by byte,
	// and the kernel tells them the first one. The names of users are those of the machine itself, never of a directory.
	bodySockets = `for _f in tcp tcp6 udp udp6; do
  [ -e "/proc/net/$_f" ] || continue
  echo "#$_f"
  case $_f in tcp*) _s=0A ;; *) _s=07 ;; esac
  for _n in 1 2; do grep -s -e '^ *sl ' -e "^ *[0-9]*: [0-9A-F:]* [0-9A-F:]* $_s " "/proc/net/$_f"; done | sort -u -k 2
done
echo '#range'
cat /proc/sys/net/ipv4/ip_local_port_range
echo '#names'
sed -n 's/^\([^:$]*[$]\{0,1\}\):[^:]*:\([0-9]*\):.*:.*:.*/\1:\2/p' /etc/passwd
echo '#states'
have awk && { cat /proc/net/tcp; cat /proc/net/tcp6; } | awk '$4 ~ /^[0-9A-F][0-9A-F]$/ { n[$4]++ } END { for (s in n) print s, n[s] }'
:`

	// Who holds the sockets, as far as we may see it, by the links in /proc. On a machine with very many open files ss says
	// which processes to look at, and no more: what it prints of them has been chosen by whoever runs them. Of those that
	// hold one is asked what they are.
	bodyHolders = `have awk || { echo '#awk'; return 0; }
_n=$(cat /proc/sys/fs/file-nr)
_n=${_n%%[!0-9]*}
_p=
if [ "${_n:-0}" -gt 20000 ] && have ss; then
  _p=$(lim 10 ss -H -lntup | tr ',' '\n' | sed -n 's|^pid=\([0-9]\{1,\}\)$|/proc/\1/fd|p' | sort -u)
  [ "$_p" ] && _p="$_p /proc/self/fd" # of one directory alone ls does not print the name
fi
_o=$({
  for _f in tcp tcp6 udp udp6; do
    echo "#$_f"
    cat "/proc/net/$_f"
  done
  echo '#fds'
  lim 20 ls -ln ${_p:-/proc/[0-9]*/fd}
} | awk '
/^#/ { part = substr($0, 2); next }
part != "fds" { if ($4 == (part ~ /^tcp/ ? "0A" : "07")) wanted[$10]; next }
/^\/proc\// { split($0, a, "/"); pid = a[3] }
match($0, /socket:\[[0-9]+\]/) {
  i = substr($0, RSTART + 8, RLENGTH - 9)
  if (i in wanted && !((pid, i) in seen)) { seen[pid, i]; print pid, i }
}')
echo '#inodes'
printf '%s\n' "$_o"
_o=$(printf '%s\n' "$_o" | sed 's/ .*//' | sort -un)
cd /proc || return 0
echo '#processes'
printf '%s\n' "$_o" | sed -n 's,^[0-9][0-9]*$,&/stat &/cgroup,p' | xargs grep -s '' /dev/null
printf '%s\n' "$_o" | sed -n 's,^[0-9][0-9]*$,&/exe,p' | xargs ls -ldn -- self
cd /
:`
)
