package collector

const (
	rpmDatabases = `/var/lib/rpm/rpmdb.sqlite /var/lib/rpm/Packages /var/lib/rpm/Packages.db /usr/lib/sysimage/rpm/rpmdb.sqlite /usr/lib/sysimage/rpm/Packages /usr/lib/sysimage/rpm/Packages.db`

	// A manager is there if its database is. Its program alone says nothing, since Debian can have rpm installed, nor does the
	// directory that comes with the program. os and packages ask for the same, or they would not agree.
	pkgDatabases = `/var/lib/dpkg/status ` + rpmDatabases + ` /lib/apk/db/installed /usr/lib/apk/db/installed /var/lib/pacman/local/ALPM_DB_VERSION /usr/lib/opkg/status /lib/opkg/status /var/lib/opkg/status /run/snapd.socket /var/lib/flatpak/repo`

	// A program that finds no database makes one, so rpm is only asked where there is one.
	ifRPM = `[ -n "$(ls -d ` + rpmDatabases + `)" ] || return 0
`

	// The time of pacman's database is that of its directory.
	bodyPkgDBs = `set -- ` + pkgDatabases + ` /var/lib/pacman/local
ls -d "$@"
stat -c '=db:%n %Y' "$@"
stat -c '=refresh:dpkg:%n %Y' /var/lib/apt/periodic/update-success-stamp /var/lib/apt/lists /var/cache/apt/pkgcache.bin
stat -c '=refresh:rpm:%n %Y' /var/cache/dnf/*.solv /var/cache/libdnf5/*/repodata/repomd.xml /var/cache/yum/*/*/*/repomd.xml /var/cache/zypp/solv/*/solv
stat -c '=refresh:apk:%n %Y' /var/cache/apk/APKINDEX.*
stat -c '=refresh:pacman:%n %Y' /var/lib/pacman/sync/*.db
stat -c '=refresh:opkg:%n %Y' /var/opkg-lists/*
g /etc/apk/world
:`

	// dpkg-query also knows what a dpkg that is at work has not yet written to the file. A package is installed when the
	// list of its files is written.
	bodyDpkg = `[ -e /var/lib/dpkg/status ] || return 0
echo '#query'
have dpkg-query && lim 20 dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\t${source:Package}\t${source:Version}\t${Installed-Size}\t${Maintainer}\n' || {
  echo '#status'
  grep -e '^Package: ' -e '^Status: ' -e '^Version: ' -e '^Architecture: ' -e '^Source: ' -e '^Installed-Size: ' -e '^Maintainer: ' /var/lib/dpkg/status
  [ $? -lt 2 ] || echo '#failed'
}
echo '#known'
grep -c '^Package: ' /var/lib/dpkg/status
echo '#auto'
grep -e '^Package: ' -e '^Architecture: ' -e '^Auto-Installed: ' /var/lib/apt/extended_states
echo '#lists'
cd /var/lib/dpkg/info && ls | grep '\.list$' | xargs stat -c '%Y %n'
:`

	// rpm may wait for a lock.
	bodyRPM = ifRPM + `have rpm || { echo '#missing'; return 0; }
lim 60 rpm -qa --qf '%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{SIZE}\t%{INSTALLTIME}\t%{VENDOR}\t%{LICENSE}\n' || echo '#failed'
:`

	// The names of the files of a package are most of the database and nobody asks for them.
	bodyAPK = `for _f in /lib/apk/db/installed /usr/lib/apk/db/installed; do
  if [ -e "$_f" ]; then
    grep -e '^[PVAIomL]:' "$_f"
    [ $? -lt 2 ] || echo '#failed'
    return 0
  fi
done
:`

	bodyPacman = `[ -e /var/lib/pacman/local/ALPM_DB_VERSION ] || return 0
cd /var/lib/pacman/local && [ -r . ] || { echo '#failed'; return 0; }
_fields='/^%/ { keep = /^%(NAME|VERSION|BASE|ARCH|INSTALLDATE|SIZE|REASON|LICENSE|PACKAGER)%$/ } keep'
have awk || awk() { cat; }
ls | grep -v '^ALPM_DB_VERSION$' | sed 's,$,/desc,' | xargs cat | awk "$_fields"`

	bodyOpkg = `for _d in /usr/lib/opkg /lib/opkg /var/lib/opkg; do
  if [ -e "$_d/status" ]; then
    echo '#status'
    grep -e '^Package: ' -e '^Status: ' -e '^Version: ' -e '^Architecture: ' -e '^Auto-Installed: ' -e '^Installed-Time: ' "$_d/status"
    [ $? -lt 2 ] || echo '#failed'
    echo '#control'
    cat "$_d"/info/*.control | grep -e '^Package: ' -e '^License: ' -e '^SourceName: ' -e '^Maintainer: ' -e '^Installed-Size: '
    return 0
  fi
done
:`

	bodySnap = `[ -e /run/snapd.socket ] || return 0
have snap || { echo '#missing'; return 0; }
lim 10 snap list || echo '#failed'
:`

	bodyFlatpak = `[ -e /var/lib/flatpak/repo ] || return 0
have flatpak || { echo '#missing'; return 0; }
lim 10 flatpak list --system --columns=application,version,arch,branch,origin || echo '#failed'
:`
)
