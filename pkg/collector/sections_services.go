package collector

const (
	// What the file system tells of the services of each init but systemd. The scripts of services are never run: what they
	// do when they are asked for their state is up to whoever wrote them.
	bodySvc = `g /proc/1/comm
ls -d /run/systemd/system /run/openrc /sbin/procd
[ -d /run/systemd/system ] && return 0
grep -s -H '^id:.:initdefault:' /etc/inittab
for _d in /etc/init.d /etc/rc.d/init.d; do
  [ -d "$_d" ] && [ ! -h "$_d" ] || continue
  for _f in "$_d"/*; do [ -f "$_f" ] && [ -x "$_f" ] && printf '=script:%s %s\n' "${_f##*/}" "$_f"; done
  grep -s -H -m 1 -e '^# Short-Description:' "$_d"/*
done
ls -d /etc/rc[0-6S].d/[SK]* /etc/rc.d/rc[0-6].d/[SK]* /etc/rc.d/S[0-9]*
ls -d /etc/runlevels/*/* /run/openrc/started/* /run/openrc/failed/* /run/openrc/inactive/* /run/openrc/starting/* /run/openrc/stopping/*
ls -d /etc/sv/* /etc/service/* /var/service/* /service/* /run/service/* /etc/service/*/down /var/service/*/down /service/*/down /run/service/*/down
g /etc/service/*/supervise/stat /etc/service/*/supervise/pid /var/service/*/supervise/stat /var/service/*/supervise/pid /service/*/supervise/stat /service/*/supervise/pid
:`

	// Of what procd knows only names, states and process IDs are told: the rest holds command lines and environments.
	// rc-status fills its lines with spaces up to the width of the terminal.
	bodySvcTools = `[ -d /run/systemd/system ] && return 0
if [ -d /run/openrc ] && have rc-status; then
  echo '#openrc'
  lim 20 env COLUMNS=80 rc-status --servicelist || echo '#failed'
elif have ubus && [ -e /sbin/procd ]; then
  echo '#procd'
  lim 10 ubus call service list | grep -e '^	"[^"]*": {' -e '^				"running": ' -e '^				"pid": '
elif have s6-svstat && [ -d /run/service ]; then
  echo '#s6'
  for _d in /run/service/*/; do
    _d=${_d%/}
    printf '%s\t%s\n' "${_d##*/}" "$(s6-svstat "$_d")"
  done
fi
:`

	// One show asks for everything about all units, also for those that are not loaded: which ones are is up to the garbage
	// collection of systemd. Arguments of commands stay on the host, because there are passwords among them.
	bodySystemd = `[ -d /run/systemd/system ] || return 0
have systemctl || { echo '#missing'; return 0; }
set -f
set -- $({
  lim 20 systemctl list-unit-files --type=service,timer,socket --no-legend --no-pager --full || echo 'rollcall:failed.service'
  lim 20 systemctl list-units --all --type=service,timer,socket --plain --no-legend --no-pager --full || echo 'rollcall:failed.service'
} | sed -e 's/^[^A-Za-z0-9_]*//' -e 's/ .*//' | grep -e '\.service$' -e '\.timer$' -e '\.socket$' | grep -v -e '@\.' -e '[^A-Za-z0-9_:.\\@-]' | sort -u)
case " $* " in '  '|*' rollcall:failed.service '*) echo '#failed'; return 0 ;; esac
{
  lim 20 systemctl show --no-pager -p Id -p Description -p LoadState -p ActiveState -p SubState -p UnitFileState -p UnitFilePreset -p FragmentPath -p SourcePath -p Transient -p Triggers -p WantedBy -p RequiredBy -p Type -p RemainAfterExit -p BusName -p ExecStart -p User -p MainPID -p ActiveEnterTimestamp -p NRestarts -p MemoryCurrent -p CPUUsageNSec -p Unit -p TimersCalendar -p TimersMonotonic -p NextElapseUSecRealtime -p LastTriggerUSec -p Result -- "$@" || echo '#failed'
} | sed -e '/^Exec/s/ ; argv\[\]=.*//'`
)
