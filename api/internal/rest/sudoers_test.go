package rest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
	"github.com/rollcallhq/rollcall/pkg/needs"
)

func TestSudoers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	get := func(query string) string {
		a := b.do(t, call{path: "/api/v1/sudoers" + query, as: "viewer"})
		if a.status != 200 || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Fatalf("%s = %d %s %s", query, a.status, a.header.Get("Content-Type"), a.body)
		}
		return a.body
	}
	all := get("")
	for _, part := range []string{"os: hw.serial, hw.uuid, board.serial", "network: firewall", collector.Sudoers("rollcall")} {
		if !strings.Contains(all, part) {
			t.Errorf("no %q in\n%s", part, all)
		}
	}
	if one := get("?types=network&account=audit"); strings.Contains(one, "hw.serial") || !strings.Contains(one, collector.Sudoers("audit")) {
		t.Errorf("of one type:\n%s", one)
	}
	if none := get("?types=cpu,memory"); strings.Contains(none, "NOPASSWD") || !strings.Contains(none, "cpu, memory") {
		t.Errorf("of types that need no root:\n%s", none)
	}
	if doas := get("?become=doas"); !strings.Contains(doas, collector.DoasConf("rollcall")) || strings.Contains(doas, "NOPASSWD") {
		t.Errorf("for doas:\n%s", doas)
	}
	for _, bad := range []string{"?types=os,gpu", "?account=root%0AALL", "?become=su", "?types=,"} {
		if a := b.do(t, call{path: "/api/v1/sudoers" + bad, as: "viewer", invalid: true}); a.status != 422 {
			t.Errorf("%s = %d %s", bad, a.status, a.body)
		}
	}
	visudo := needs.Program(t, "visudo", "sudo")
	file := filepath.Join(t.TempDir(), "sudoers")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), visudo, "-cf", file).CombinedOutput(); err != nil {
		t.Errorf("visudo: %v\n%s", err, out)
	}
}
