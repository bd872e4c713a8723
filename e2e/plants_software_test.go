package e2e_test

// enclosureSoftware gives the enclosure packages and services that are known, beside those of this machine. It is a part
// of enclosureSetup. What is below /var/lib becomes a link to what is really there, so that databases can be made and
// changed without a mount that would show as well.
const enclosureSoftware = `
mkdir "$DIR/lib" "$DIR/lib.whole"
mount --rbind /var/lib "$DIR/lib.whole"
for file in "$DIR/lib.whole"/*; do ln -s "$file" "$DIR/lib/"; done
cd "$DIR/lib"
rm -f dpkg apt rpm pacman opkg
mkdir -p dpkg/info dpkg/updates apt opkg "$DIR/packages"
touch "$DIR/packages/0" apt/extended_states
if [ -e "$DIR/lib.whole/dpkg/status" ]; then
  cat "$DIR/lib.whole/dpkg/status" >"$DIR/packages/0"
  cp -a "$DIR/lib.whole/dpkg/info/"*.list dpkg/info/ || true # somebody else may install something just now
  cat "$DIR/lib.whole/apt/extended_states" >apt/extended_states || true
fi
{ echo; echo 'Package: another'; echo 'Architecture: amd64'; echo 'Auto-Installed: 1'; } >>apt/extended_states
for name in standing another doubled; do
  cat >"$DIR/packages/$name" <<END
Package: $name
Status: install ok installed
Priority: optional
Section: misc
Installed-Size: 100
Maintainer: Nobody <nobody@example.test>
Architecture: amd64
Multi-Arch: same
Source: $name-source (1.0-1)
Version: 1.0-1
Description: $name

END
  touch -d @1700000000 "dpkg/info/$name:amd64.list"
done
printf 'amd64\ni386\n' >dpkg/arch
cat "$DIR/packages/"* >dpkg/status
cd /
mount --bind "$DIR/lib" /var/lib

rm -f /etc/inittab
echo init >"$DIR/comm"
mount --bind "$DIR/comm" /proc/1/comm
mkdir -p /etc/init.d
for level in 2 3 4 5 S; do mkdir -p "/etc/rc$level.d"; done
for name in standing another; do
  printf '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: %s\n# Short-Description: stands\n### END INIT INFO\nexit 1\n' $name >/etc/init.d/$name
  chmod 755 /etc/init.d/$name
  for level in 2 3 4 5; do ln -sf ../init.d/$name "/etc/rc$level.d/S07$name"; done
done
`

// stanza returns a script that edits what dpkg knows of one of the packages that stand, and the one that undoes it.
func stanza(name, edit string) (do, undo string) {
	const write = ` && cat "$DIR/packages/"* >/var/lib/dpkg/status`
	file := `"$DIR/packages/` + name + `"`
	return `cp ` + file + ` "$DIR/` + name + `.former" && sed -i '` + edit + `' ` + file + write, `mv "$DIR/` + name + `.former" ` + file + write
}

// packageEdits are plants that change lines of one package's stanza.
func packageEdits() []plant {
	var all []plant
	for _, e := range []struct {
		name, of, edit string
		changes        []plantedChange // below the package
	}{
		{"a package that is built anew", "standing", `s/^Version:.*/Version: 1.0-1+b1/`, []plantedChange{
			{"", `release`, `"1"`, `"1+b1"`}, {"", `version`, `"1.0-1"`, `"1.0-1+b1"`},
		}},
		{"a package is held", "another", `s/^Status: install/Status: hold/`, []plantedChange{{"", `status`, `"installed"`, `"held"`}}},
		{"an older version comes back, by an epoch", "standing", `s/^Version:.*/Version: 1:0.9-1/`, []plantedChange{
			{"", `epoch`, `null`, `1`}, {"", `version`, `"1.0-1"`, `"1:0.9-1"`},
		}},
		{"a package is unpacked and not configured", "another", `s/^Status:.*/Status: install ok unpacked/`, []plantedChange{
			{"", `status`, `"installed"`, `"half"`},
		}},
		{"a package is removed but for its configuration", "standing", `s/^Status:.*/Status: deinstall ok config-files/`, []plantedChange{
			{"", `installed_at`, `1700000000`, `null`}, {"", `status`, `"installed"`, `"config"`},
		}},
		{"somebody else maintains a package", "another", `s/^Maintainer:.*/Maintainer: Somebody <somebody@example.test>/`, []plantedChange{
			{"", `vendor`, `"Nobody <nobody@example.test>"`, `"Somebody <somebody@example.test>"`},
		}},
		{"a package has grown", "standing", `s/^Installed-Size:.*/Installed-Size: 200/`, []plantedChange{{"", `size`, `102400`, `204800`}}},
		{"a package is made of another source", "another", `s/^Source:.*/Source: planted-source (2.0-1)/`, []plantedChange{
			{"", `source_name`, `"another-source"`, `"planted-source"`}, {"", `source_version`, `"1.0-1"`, `"2.0-1"`},
		}},
	} {
		p := plant{name: e.name}
		p.do, p.undo = stanza(e.of, e.edit)
		for _, c := range e.changes {
			p.changes = append(p.changes, plantedChange{"packages", `packages."dpkg:` + e.of + `:amd64".` + c.path, c.before, c.after})
		}
		all = append(all, p)
	}
	return all
}

// packagePlants change what is installed, as its managers would write it down.
func packagePlants() []plant {
	const write = ` && cat "$DIR/packages/"* >/var/lib/dpkg/status`
	counted := plantedChange{"packages", `managers.dpkg`, `*`, `*`}
	removeDo, removeUndo := stanza("another", `d`)
	upgradeDo, upgradeUndo := stanza("standing", `s/1\.0-1/1.1-2/`)
	return append(packageEdits(), []plant{
		{
			name: "a package",
			do:   `printf 'Package: planted\nStatus: install ok installed\nMaintainer: Nobody\nArchitecture: all\nVersion: 2.0\nDescription: planted\n\n' >"$DIR/packages/planted"` + write,
			undo: `rm "$DIR/packages/planted"` + write,
			changes: []plantedChange{counted, {
				"packages", `packages."dpkg:planted:all"`, ``,
				`{"manager":"dpkg","name":"planted","version":"2.0","epoch":null,"release":null,"arch":"all","source_name":"planted","status":"installed","auto":false}`,
			}},
		},
		{
			name: "a package, for a second architecture", do: `sed s/amd64/i386/ "$DIR/packages/doubled" >"$DIR/packages/planted"` + write, undo: `rm "$DIR/packages/planted"` + write,
			changes: []plantedChange{counted, {"packages", `packages."dpkg:doubled:i386"`, ``, `{"name":"doubled","arch":"i386","version":"1.0-1"}`}},
		},
		{
			name: "a package is removed for good", do: removeDo, undo: removeUndo,
			changes: []plantedChange{counted, {"packages", `packages."dpkg:another:amd64"`, `{"name":"another","version":"1.0-1","auto":true}`, ``}},
		},
		{
			name: "an upgrade", do: upgradeDo + ` && touch -d @1800000000 /var/lib/dpkg/info/standing:amd64.list`,
			undo: upgradeUndo + ` && touch -d @1700000000 /var/lib/dpkg/info/standing:amd64.list`,
			changes: []plantedChange{
				{"packages", `packages."dpkg:standing:amd64".installed_at`, `1700000000`, `1800000000`},
				{"packages", `packages."dpkg:standing:amd64".release`, `"1"`, `"2"`},
				{"packages", `packages."dpkg:standing:amd64".source_version`, `"1.0-1"`, `"1.1-2"`},
				{"packages", `packages."dpkg:standing:amd64".version`, `"1.0-1"`, `"1.1-2"`},
			},
		},
		{
			name: "somebody wants what came as a dependency",
			do:   `sed -i '$s/1$/0/' /var/lib/apt/extended_states`, undo: `sed -i '$s/0$/1/' /var/lib/apt/extended_states`,
			changes: []plantedChange{{"packages", `packages."dpkg:another:amd64".auto`, `true`, `false`}},
		},
		{
			name: "a hold that dpkg has noted and not yet written into its list", needs: `command -v dpkg-query`,
			do: `sed 's/^Status: install/Status: hold/' "$DIR/packages/doubled" >/var/lib/dpkg/updates/0000`, undo: `rm /var/lib/dpkg/updates/0000`,
			changes: []plantedChange{{"packages", `packages."dpkg:doubled:amd64".status`, `"installed"`, `"held"`}},
		},
		{
			name: "a kernel beside the one that runs", do: `sed s/doubled/linux-image-9.9.9-planted/ "$DIR/packages/doubled" >"$DIR/packages/planted"` + write,
			undo: `rm "$DIR/packages/planted"` + write,
			changes: []plantedChange{
				{"packages", `kernels`, `*`, `*`},
				counted,
				{"packages", `packages."dpkg:linux-image-9.9.9-planted:amd64"`, ``, `{"name":"linux-image-9.9.9-planted"}`},
			},
		},
		{
			name: "another manager, beside the empty directories of two more",
			do: `printf 'Package: planted\nVersion: 3-1\nStatus: install user installed\nArchitecture: mips\nInstalled-Time: 1700000000\n\n' >/var/lib/opkg/status
mkdir -p /var/lib/rpm /var/lib/pacman/local`,
			undo: `rm -r /var/lib/opkg/status /var/lib/rpm /var/lib/pacman`,
			changes: []plantedChange{
				{"os", `pkg_managers`, `["dpkg"]`, `["dpkg","opkg"]`},
				{"packages", `managers.opkg`, ``, `1`},
				{"packages", `packages."opkg:planted:mips"`, ``, `{"manager":"opkg","version":"3-1","release":"1","status":"installed","installed_at":1700000000,"auto":false}`},
			},
		},
	}...)
}

// servicePlants change what is started with the machine, by scripts and links: the enclosure has no systemd.
func servicePlants() []plant {
	const standing, another = `services."sysv:standing"`, `services."sysv:another"`
	return []plant{
		{
			name: "a service",
			do:   `printf '#!/bin/sh\n# Short-Description: planted here\n' >/etc/init.d/planted && chmod 755 /etc/init.d/planted`, undo: `rm /etc/init.d/planted`,
			changes: []plantedChange{{
				"services", `services."sysv:planted"`, ``,
				`{"manager":"sysv","name":"planted","description":"planted here","enabled":"no","enabled_state":null,"state":"unknown","unit_path":"/etc/init.d/planted"}`,
			}},
		},
		{
			name: "a service is no longer started",
			do:   `rm /etc/rc[2-5].d/S07standing`, undo: `for level in 2 3 4 5; do ln -s ../init.d/standing "/etc/rc$level.d/S07standing"; done`,
			changes: []plantedChange{{"services", standing + `.enabled`, `"yes"`, `"no"`}, {"services", standing + `.enabled_state`, `"2 3 4 5"`, `null`}},
		},
		{
			name: "a service is not started in one runlevel", do: `mv /etc/rc3.d/S07another /etc/rc3.d/K07another`, undo: `mv /etc/rc3.d/K07another /etc/rc3.d/S07another`,
			changes: []plantedChange{{"services", another + `.enabled_state`, `"2 3 4 5"`, `"2 4 5"`}},
		},
		{
			name: "a service is started before all others", do: `ln -s ../init.d/standing /etc/rcS.d/S01standing`, undo: `rm /etc/rcS.d/S01standing`,
			changes: []plantedChange{{"services", standing + `.enabled_state`, `"2 3 4 5"`, `"2 3 4 5 S"`}},
		},
		{
			name: "what a service says that it is", do: `sed -i 's/: stands$/: stood/' /etc/init.d/another`, undo: `sed -i 's/: stood$/: stands/' /etc/init.d/another`,
			changes: []plantedChange{{"services", another + `.description`, `"stands"`, `"stood"`}},
		},
		{
			name: "the script of a service cannot be run any more", do: `chmod 644 /etc/init.d/standing`, undo: `chmod 755 /etc/init.d/standing`,
			changes: []plantedChange{{"services", standing, `{"name":"standing","enabled":"yes","enabled_state":"2 3 4 5"}`, ``}},
		},
		{
			name: "the script of a service is gone, its links are not", do: `mv /etc/init.d/another "$DIR/another.script"`, undo: `mv "$DIR/another.script" /etc/init.d/another`,
			changes: []plantedChange{{"services", another, `{"name":"another","description":"stands","enabled":"yes"}`, ``}},
		},
		{
			name: "what runs as process 1", do: `echo planted >"$DIR/comm"`, undo: `echo init >"$DIR/comm"`,
			changes: []plantedChange{{"os", `init`, `"sysv"`, `"planted"`}},
		},
	}
}
