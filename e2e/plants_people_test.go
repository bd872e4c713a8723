package e2e_test

import "fmt"

// enclosurePeople makes the accounts of the enclosure known. It is a part of enclosureSetup.
const enclosurePeople = `
for file in passwd group shadow; do # the copies may be links, and of the last one there is none for a plain user
  cat "/etc/$file" >"$DIR/$file" || true
  rm -f "/etc/$file"
done
rm -rf /etc/sudoers /etc/sudoers.d /etc/doas.conf /etc/doas.d
{ cat "$DIR/passwd"; echo "standing:x:2000:2000:Standing:$DIR/people/standing:/bin/sh"; } >/etc/passwd
{ cat "$DIR/group"; printf '%s\n' standing:x:2000: planted:x:2001:; } >/etc/group
{ cat "$DIR/shadow"; echo 'standing:!:20000:0:99999:7:::'; } >/etc/shadow
mkdir -p "$DIR/people/standing/.ssh" /etc/sudoers.d
echo 'root ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d' >/etc/sudoers
echo 'standing ALL=(root) /sbin/reboot' >/etc/sudoers.d/standing
chmod 755 "$DIR/people" "$DIR/people/standing"
`

// plantedKey is a public key of which nobody has the other half.
const plantedKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhiBzfkj4QHoL4Aw0cvR0hX3gZ8cJ4bn1mS0aC3Qe6F"

// plantedFingerprint is what ssh-keygen prints of it.
const plantedFingerprint = "SHA256:w1z0C2mRFTCTjNwK4OH/tdweNf11tljRLWTQAqN8MGQ"

func userPlants() []plant {
	const root = `[ "$(id -u)" = 0 ]`
	return []plant{
		{
			name: "an account",
			do:   `echo 'planted:x:2002:2000::/nonexistent:/usr/sbin/nologin' >>/etc/passwd`, undo: `sed -i /^planted:/d /etc/passwd`,
			changes: []plantedChange{{"users", `users.planted`, ``, `{"name":"planted","uid":2002,"gid":2000,"groups":["standing"],"system":false,"login_allowed":false,"home_mode":null}`}},
		},
		{
			name: "the shell of an account", do: `sed -i '/^standing:/s#/bin/sh#/bin/bash#' /etc/passwd`, undo: `sed -i '/^standing:/s#/bin/bash#/bin/sh#' /etc/passwd`,
			changes: []plantedChange{{"users", `users.standing.shell`, `"/bin/sh"`, `"/bin/bash"`}},
		},
		{
			name: "a member of a group, who is told to be in it as well",
			do:   `sed -i 's/^planted:.*/planted:x:2001:standing/' /etc/group`, undo: `sed -i 's/^planted:.*/planted:x:2001:/' /etc/group`,
			changes: []plantedChange{
				{"users", `groups.planted.members`, `[]`, `["standing"]`},
				{"users", `users.standing.groups`, `["standing"]`, `["planted","standing"]`},
			},
		},
		{
			name: "a group", do: `echo others:x:2003: >>/etc/group`, undo: `sed -i /^others:/d /etc/group`,
			changes: []plantedChange{{"users", `groups.others`, ``, `{"name":"others","gid":2003,"members":[]}`}},
		},
		{
			name: "a password", needs: root,
			do: `sed -i 's/^standing:!/standing:$6$salt$hunter2/' /etc/shadow`, undo: `sed -i 's/^standing:[^:]*:/standing:!:/' /etc/shadow`,
			changes: []plantedChange{{"users", `users.standing.password_state`, `"locked"`, `"set"`}},
		},
		{
			name: "the end of an account", needs: root,
			do: `sed -i '/^standing:/s/:::$/::21000:/' /etc/shadow`, undo: `sed -i '/^standing:/s/::21000:$/:::/' /etc/shadow`,
			changes: []plantedChange{{"users", `users.standing.expires_at`, `null`, `1814400000`}},
		},
		{
			name: "the mode of a home", do: `chmod 700 "$DIR/people/standing"`, undo: `chmod 755 "$DIR/people/standing"`,
			changes: []plantedChange{{"users", `users.standing.home_mode`, `"0755"`, `"0700"`}},
		},
		{
			name: "a key that may log in",
			do:   `echo 'command="echo hunter2" ` + plantedKey + ` planted' >"$DIR/people/standing/.ssh/authorized_keys"`,
			undo: `rm "$DIR/people/standing/.ssh/authorized_keys"`,
			changes: []plantedChange{{
				"users", `users.standing.ssh_keys."` + plantedFingerprint + `"`, ``, `{"type":"ssh-ed25519","bits":256,"comment":"planted","options":["command"]}`,
			}},
		},
		{
			name: "a rule of sudo without a password, in a file of its own", needs: root,
			do: `echo 'standing ALL=(root) NOPASSWD: /usr/bin/id -u' >/etc/sudoers.d/planted`, undo: `rm /etc/sudoers.d/planted`,
			changes: []plantedChange{
				{"users", `sudoers.files."/etc/sudoers.d/planted"`, ``, `{"path":"/etc/sudoers.d/planted"}`},
				{"users", `sudoers.rules."standing:ALL:root:/usr/bin/id ***"`, ``, `{"who":"standing","command":"/usr/bin/id ***","nopasswd":true,"tags":["NOPASSWD"]}`},
			},
		},
		{
			name: "an administrator, by the file that is there", needs: root,
			do: `echo 'standing ALL=(root) ALL' >>/etc/sudoers.d/standing`, undo: `sed -i '$d' /etc/sudoers.d/standing`,
			changes: []plantedChange{
				{"users", `sudoers.files."/etc/sudoers.d/standing".sha256`, `*`, `*`},
				{"users", `sudoers.rules."standing:ALL:root:ALL"`, ``, `{"command":"ALL","nopasswd":false}`},
				{"users", `users.standing.admin`, `false`, `true`},
				{"users", `users.standing.admin_via`, `[]`, `["standing"]`},
			},
		},
	}
}

// listening starts a process that waits on loopback, ending starts none and ends it. Perl is on every Debian.
const (
	listening = `perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7777, ReuseAddr => 1, %s) or die "$!";
my $child = fork;
if ($child) { open(my $f, ">", "$ENV{DIR}/listening"); print $f $child; exit }
close STDIN; close STDOUT; close STDERR;
sleep 600'`
	ending = `kill $(cat "$DIR/listening")`
)

func portPlants() []plant {
	const perl = `command -v perl`
	return []plant{
		{
			name: "a port", needs: perl, do: fmt.Sprintf(listening, `Proto => "tcp", Listen => 1`), undo: ending,
			changes: []plantedChange{{
				"ports", `listening."tcp:127.0.0.1:7777"`, ``, `{"proto":"tcp","family":"inet","address":"127.0.0.1","port":7777,"exposure":"loopback","process":"perl"}`,
			}},
		},
		{
			name: "a port of UDP", needs: perl, do: fmt.Sprintf(listening, `Proto => "udp"`), undo: ending,
			changes: []plantedChange{{"ports", `listening."udp:127.0.0.1:7777"`, ``, `{"proto":"udp","port":7777,"process":"perl"}`}},
		},
	}
}
