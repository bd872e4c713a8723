package collector

// sectionID is sent with every run: the kernel decides what else is asked, and the machine's identity is compared
// with the host's record before anything is stored.
const sectionID = "id"

const (
	bodyID = `printf '=kernel %s\n=arch %s\n=uid %s\n' "$K" "$(uname -m)" "$(id -u)"
if [ "$K" = Linux ]; then
  g /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/version /etc/machine-id /var/lib/dbus/machine-id
else
  printf '=release %s\n=version %s\n=hostname %s\n' "$(uname -r)" "$(uname -v)" "$(uname -n)"
fi`

	// Values that look like secrets are masked on the host. The time zone is asked for without our own TZ.
	bodyOS = `g /etc/os-release /usr/lib/os-release /etc/debian_version /etc/redhat-release /etc/alpine-release /etc/SuSE-release /etc/arch-release
g /etc/timezone /etc/TZ /proc/sys/kernel/random/boot_id /proc/1/comm /proc/uptime /proc/sys/crypto/fips_enabled
g /sys/fs/selinux/enforce /etc/selinux/config /sys/module/apparmor/parameters/enabled /sys/kernel/security/lockdown
g /run/reboot-required.pkgs /var/run/reboot-required.pkgs
grep -s '^btime ' /proc/stat
printf '=cmdline '
sed -e 's/\([^ ]*[Pp][Aa][Ss][Ss][^ =]*=\)[^ ]*/\1***/g' -e 's/\([^ ]*[Ss][Ee][Cc][Rr][Ee][Tt][^ =]*=\)[^ ]*/\1***/g' -e 's/\([^ ]*[Tt][Oo][Kk][Ee][Nn][^ =]*=\)[^ ]*/\1***/g' /proc/cmdline
printf '=offset %s\n' "$(unset TZ; date +%z)"
printf '=secure_boot %s\n' "$(tail -c 1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | od -An -tu1)"
printf '=modules %s\n' "$(ls /lib/modules | tr '\n' ' ')"
ls -ld /etc/localtime
ls -d /run/systemd/system /run/openrc /sbin/procd /etc/runit /sys/firmware/efi /sys/kernel/security/lsm /run/reboot-required /var/run/reboot-required /run/reboot-needed /var/run/reboot-needed ` + pkgDatabases + ` /run/systemd/timesync/synchronized /run/systemd/timesync /run/chrony/chronyd.pid /run/chronyd.pid /run/chrony.pid /var/run/ntpd.pid /run/ntpd.pid /run/ntp.pid
stat -c '=born:%n %Y|%W' /lost+found /etc/machine-id
:`

	// The name may have to be asked of a resolver that does not answer.
	bodyFQDN = `have hostname || return 0
lim 3 hostname -f`

	bodyVirt = `g /sys/hypervisor/type /run/systemd/container /proc/sys/kernel/osrelease
ls -d /.dockerenv /run/.containerenv /proc/user_beancounters /proc/bc /proc/xen/capabilities /dev/kvm /dev/lxd/sock
g /proc/xen/capabilities
printf '=container_env %s\n' "$(tr '\000' '\n' </proc/1/environ | grep '^container=')"
grep -s -m 1 -o -w hypervisor /proc/cpuinfo
grep -s -m 1 '^vendor_id' /proc/cpuinfo
if have systemd-detect-virt; then
  printf '=detect_vm %s\n' "$(lim 3 systemd-detect-virt -v)"
  printf '=detect_container %s\n' "$(lim 3 systemd-detect-virt -c)"
fi
:`

	bodyDMI = `cd /sys/class/dmi/id && g sys_vendor product_name product_version product_serial product_uuid product_sku bios_vendor bios_version bios_date board_vendor board_name board_version board_serial chassis_type chassis_asset_tag
cd /
for _f in model serial-number; do
  [ -r "/proc/device-tree/$_f" ] && printf '=dt_%s %s\n' "$_f" "$(tr -d '\000' <"/proc/device-tree/$_f")"
done
grep -s -e '^Manufacturer:' -e '^Type:' -e '^Sequence Code:' -e '^Plant:' /proc/sysinfo
:`

	// The newest installed kernel of an rpm system; rpm can hang on the lock of its database.
	bodyKernels = ifRPM + `have rpm || return 0
[ -e /var/lib/dpkg/status ] && return 0
lim 10 rpm -q --last kernel-core kernel kernel-default
:`

	bodyTimeSync = `if have chronyc; then printf '=chrony %s\n' "$(lim 3 chronyc -c tracking)"; fi
if have ntpq && [ -e /run/ntpd.pid -o -e /var/run/ntpd.pid ]; then printf '=ntp %s\n' "$(lim 3 ntpq -c rv | tr '\n' ' ')"; fi
:`

	bodyCPU = `g /proc/loadavg /proc/stat | grep -e '^/proc/loadavg' -e '^/proc/stat:procs_'
cd /sys/devices/system/cpu && {
  g online present smt/active vulnerabilities/* cpufreq/policy*/scaling_governor cpufreq/policy*/cpuinfo_min_freq cpufreq/policy*/cpuinfo_max_freq cpufreq/policy*/base_frequency cpufreq/policy*/scaling_cur_freq
  g cpu0/cache/index*/level cpu0/cache/index*/type cpu0/cache/index*/size
  g cpu[0-9]*/topology/physical_package_id cpu[0-9]*/topology/core_id
}
cd /
g /sys/devices/system/node/online /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us
echo '#cpuinfo'
sed 80q /proc/cpuinfo
echo '#processors'
grep -i -e '^processor' -e '^cpu mhz' -e '^clock' -e '^cpu part' -e '^cpu implementer' -e '^machine' -e '^platform' -e '^hardware' -e '^model[[:space:]]*:' /proc/cpuinfo
:`

	bodyMem = `cat /proc/meminfo
g /proc/swaps /proc/pressure/memory /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/module/zswap/parameters/enabled /sys/module/zswap/parameters/compressor /sys/module/zswap/parameters/max_pool_percent
cd /sys/block && g zram*/disksize zram*/comp_algorithm
cd /
g /proc/spl/kstat/zfs/arcstats | grep ':size '
:`
)
