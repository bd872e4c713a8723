package collector_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/facts"
)

func TestWhatCouldNotBeToldIsCarriedOver(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce}, "disks")
	read := func(stdout []byte) collector.Report {
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatal(err)
		}
		return p.Reports(r)[0]
	}
	whole := answer(map[string]string{
		"id": linuxIdentity, "mounts": "/dev/sda1 / ext4 rw 0 0\n/dev/sda2 /new ext4 rw 0 0\n",
		"df":  "#blocks\n/dev/sda1 100 50 40 50% /\n/dev/sda2 7 5 2 50% /new\n#inodes\n/dev/sda1 10 5 5 50% /\n/dev/sda2 10 5 5 50% /new\n",
		"blk": "sda/size:2048\n",
	}, p.Sections())
	former := read(whole)
	dead := read(bytes.Replace(whole, []byte("#blocks\n/dev/sda1 100 50 40 50% /\n/dev/sda2 7 5 2 50% /new\n#inodes\n/dev/sda1 10 5 5 50% /\n/dev/sda2 10 5 5 50% /new\n\n@@"+recordedNonce+" E df 0"),
		[]byte("\n@@"+recordedNonce+" E df t 137"), 1))
	if dead.Status != collector.StatusPartial || dead.ContentHash == former.ContentHash {
		t.Fatalf("the report without df is %s, changed %v", dead.Status, dead.ContentHash != former.ContentHash)
	}

	carried, err := dead.CarryOver(former.Facts)
	if err != nil {
		t.Fatal(err)
	}
	if carried.ContentHash != former.ContentHash || !bytes.Equal(carried.Facts, former.Facts) {
		equalButFor(t, carried.Facts, former.Facts)
		t.Error("an unchanged host has other facts because df timed out")
	}
	if carried.Status != collector.StatusPartial || len(carried.Unavailable) == 0 {
		t.Errorf("it no longer says what is missing: %s, %v", carried.Status, carried.Unavailable)
	}

	first, err := dead.CarryOver(nil)
	if err != nil || first.ContentHash != dead.ContentHash {
		t.Errorf("without a former report it changed: %v", err)
	}
	same, err := former.CarryOver([]byte(`{"filesystems":{}}`))
	if err != nil || same.ContentHash != former.ContentHash {
		t.Errorf("a report that misses nothing took something over: %v", err)
	}
	if _, err := dead.CarryOver([]byte("garbage")); err == nil {
		t.Error("former facts that are garbage were taken over")
	}
}

// disksOf reads the disks of a machine with two file systems, whose sections change has changed. A section that
// timed out is named.
func disksOf(t *testing.T, timedOut string, change func(map[string]string)) collector.Report {
	t.Helper()
	sections := map[string]string{
		"id":     linuxIdentity,
		"mounts": "/dev/sda1 / ext4 rw 0 0\n/dev/sda2 /mnt/a.b ext4 rw 0 0\n",
		"df":     "#blocks\n/dev/sda1 100 50 40 50% /\n/dev/sda2 7 5 2 50% /mnt/a.b\n#inodes\n/dev/sda1 10 5 5 50% /\n/dev/sda2 10 5 5 50% /mnt/a.b\n",
		"blk":    "sda/size:2048\n",
		"lvm":    "#pvs\n" + `{"report":[{"pv":[]}]}` + "\n#vgs\n" + `{"report":[{"vg":[{"vg_name":"data","vg_size":"4096"}]}]}` + "\n#lvs\n" + `{"report":[{"lv":[]}]}` + "\n",
	}
	change(sections)
	p := plan(t, collector.Options{Nonce: recordedNonce}, "disks")
	stdout := answer(sections, p.Sections())
	if timedOut != "" {
		stdout = bytes.Replace(stdout, []byte("E "+timedOut+" 0"), []byte("E "+timedOut+" t 137"), 1)
	}
	run, err := p.Read(stdout)
	if err != nil {
		t.Fatal(err)
	}
	return p.Reports(run)[0]
}

func TestCarryingOverTellsWhatIsGoneFromWhatCouldNotBeTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		timedOut string
		change   func(map[string]string)
		want     map[string]any // by path; nil: there is nothing
	}{
		{
			"a size that was told before df timed out is the new one, the others are the former ones", "df",
			func(s map[string]string) { s["df"] = "#blocks\n/dev/sda1 200 50 40 50% /\n" },
			map[string]any{`filesystems."/".size`: 204800.0, `filesystems."/mnt/a.b".size`: 7168.0, `filesystems."/mnt/a.b".inodes_total`: 10.0},
		},
		{
			"a file system that is gone stays gone although df timed out", "df",
			func(s map[string]string) { s["mounts"], s["df"] = "/dev/sda1 / ext4 rw 0 0\n", "" },
			map[string]any{`filesystems."/".size`: 102400.0, `filesystems."/mnt/a.b"`: nil},
		},
		{
			"of mounts that were cut the former list stands", "mounts",
			func(s map[string]string) { s["mounts"] = "/dev/sda1 / ext4 ro 0 0\n/dev/sdb /ne ext4 rw 0 0\n" },
			map[string]any{`filesystems."/".readonly`: false, `filesystems."/mnt/a.b".size`: 7168.0, `filesystems."/ne"`: nil},
		},
		{
			"a disk is new although lsblk timed out", "lsblk",
			func(s map[string]string) { s["blk"] += "sdb/size:4096\n" },
			map[string]any{"block.sdb.size": 2097152.0, "block.sda.size": 1048576.0},
		},
		{
			"without permission the volume groups are the former ones", "",
			func(s map[string]string) {
				s["id"], s["lvm"] = strings.Replace(linuxIdentity, "=uid 0", "=uid 1000", 1), ""
			},
			map[string]any{"lvm.vgs.data.size": 4096.0},
		},
		{
			"with permission a volume group that is gone is gone", "",
			func(s map[string]string) {
				s["lvm"] = strings.Replace(s["lvm"], `{"vg_name":"data","vg_size":"4096"}`, "", 1)
			},
			map[string]any{"lvm.vgs.data": nil},
		},
		{
			"without df the sizes are the former ones", "",
			func(s map[string]string) { s["df"] = "" },
			map[string]any{`filesystems."/mnt/a.b".size`: 7168.0},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			former := disksOf(t, "", func(map[string]string) {})
			carried, err := disksOf(t, tt.timedOut, tt.change).CarryOver(former.Facts)
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range tt.want {
				p, err := facts.ParsePath(path)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, path, at(decode(t, carried.Facts), p...), want)
			}
			again, err := carried.CarryOver(carried.Facts)
			if err != nil || again.ContentHash != carried.ContentHash {
				t.Errorf("carrying over from itself changed it: %v", err)
			}
			if carried.ContentHash != collector.ContentHash("disks", carried.SchemaVersion, carried.Facts) {
				t.Error("the hash is not that of the facts")
			}
		})
	}
}

func TestNothingIsCarriedOverToASystemOfAnotherKind(t *testing.T) {
	t.Parallel()
	p := plan(t, collector.Options{Nonce: recordedNonce}, "os")
	read := func(stdout []byte) collector.Report {
		r, err := p.Read(stdout)
		if err != nil {
			t.Fatal(err)
		}
		return p.Reports(r)[0]
	}
	all := recordings(t)
	linux, foreign := read(all["debian-12-vm"]), read(all["synthetic-freebsd-14"])
	carried, err := foreign.CarryOver(linux.Facts)
	if err != nil || carried.ContentHash != foreign.ContentHash {
		t.Errorf("it took something over: %s, %v", carried.Facts, err)
	}
	if got := foreign.UnavailablePatterns(); len(got) != 1 || got[0].String() != "*" {
		t.Errorf("unavailable is %v, want *", got)
	}
}

func TestWhatDoesNotApplyIsNotUnavailable(t *testing.T) {
	t.Parallel()
	long := `filesystems."/` + strings.Repeat("x", 600) + `".size`
	got := collector.UnavailablePatterns(map[string]string{
		"pressure": collector.ReasonNotApplicable, "lvm": collector.ReasonNoPermission,
		`filesystems."/mnt/a.b".size`: collector.ReasonDenied, "interfaces.*.type": collector.ReasonTimedOut,
		long: collector.ReasonDenied,
	})
	var texts []string
	for _, p := range got {
		texts = append(texts, p.String())
	}
	equal(t, "patterns", texts, []string{`filesystems."/mnt/a.b".size`, long, "interfaces.*.type", "lvm"})
	if broken := collector.UnavailablePatterns(map[string]string{`a."`: "x"}); len(broken) != 1 || !broken[0].All() {
		t.Errorf("a path that cannot be read is %v, want everything", broken)
	}
}
