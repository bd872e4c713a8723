package collector_test

import (
	"bytes"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
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
