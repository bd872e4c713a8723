package collector

const (
	// The files of the kernel, of which only the lines of sockets that wait are sent: a busy server has thousands of
	// others. Each is read twice: the kernel hands them out page by page, and leaves out some where others are opened and
	// closed meanwhile. An awk counts all of them. The names of users are those of the machine itself, never of a directory.
	bodySockets = `for _f in tcp tcp6 udp udp6; do
  [ -e "/proc/net/$_f" ] || continue
  echo "#$_f"
  case $_f in tcp*) _s=0A ;; *) _s=07 ;; esac
  for _n in 1 2; do grep -s -e '^ *sl ' -e "^ *[0-9]*: [0-9A-F:]* [0-9A-F:]* $_s " "/proc/net/$_f"; done | sort -u -k 2
done
echo '#range'
read -r _l _h </proc/sys/net/ipv4/ip_local_port_range && echo "$_l $_h"
echo '#names'
sed -n 's/^\([^:$]*[$]\{0,1\}\):[^:]*:\([0-9]*\):.*:.*:.*/\1:\2/p' /etc/passwd
echo '#states'
have awk && { cat /proc/net/tcp; cat /proc/net/tcp6; } | awk '$4 ~ /^[0-9A-F][0-9A-F]$/ { n[$4]++ } END { for (s in n) print s, n[s] }'
:`

	// Who holds the sockets, as far as we may see it: by the links in /proc, or on a machine with very many open files by
	// ss, which is quicker. Of these processes only is asked what they are.
	bodyHolders = `have awk || { echo '#awk'; return 0; }
_n=0
read -r _n _x </proc/sys/fs/file-nr
_o=
if [ "$_n" -gt 20000 ] && have ss; then
  _o=$(lim 10 ss -H -lntupe | sed -n 's/.*users:(\(.*\)) .*ino:\([0-9]*\).*/\2 \1/p' | awk '{
    i = $1
    while (match($0, /pid=[0-9]+/)) {
      print substr($0, RSTART + 4, RLENGTH - 4), i
      $0 = substr($0, RSTART + RLENGTH)
    }
  }')
fi
[ "$_o" ] || _o=$({
  for _f in tcp tcp6 udp udp6; do
    echo "#$_f"
    cat "/proc/net/$_f"
  done
  echo '#fds'
  ls -ln /proc/[0-9]*/fd
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
