package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// fragileTools are programs that the collecting script asks, and that may fail it. Those that others need to be asked
// at all come in a group of their own.
func fragileTools() [][]string {
	return [][]string{{"ip", "df", "lsblk", "hostname", "nft", "sha256sum", "od", "dpkg-query"}, {"awk"}}
}

// breakTools lets each group of tools fail in every way for one collection. What the machine is has not changed by
// that, so nothing may be told but the one change that is planted when they are whole again. It returns how often it
// collected.
func (m *machine) breakTools(t *testing.T) int {
	t.Helper()
	sweeps := 0
	mtu := plantedChange{"network", `interfaces.standing0.mtu`, `1500`, `1400`}
	for _, tools := range fragileTools() {
		for _, way := range []struct{ name, script string }{
			{"fail", `exit 1`},
			{"say nothing", `exit 0`},
			{"say half of something", `echo '[{"ifname":"lo"'; exit 1`},
			{"are not there", `exit 127`},
		} {
			broken := slices.Clone(tools)
			if way.name == "say nothing" { // which is the way of nft to say that there are no rules
				broken = slices.DeleteFunc(broken, func(tool string) bool { return tool == "nft" })
			}
			each := `for tool in ` + strings.Join(broken, " ") + `; do if [ -e "$DIR/$tool.whole" ]; then `
			m.mustShell("broken=$(cat <<'END'\n#!/bin/sh\n" + way.script + "\nEND\n)\n" + each + `printf '%s\n' "$broken" >"$DIR/$tool"; fi; done`)
			c := m.collect(map[string]any{"host_ids": []string{m.id}, "priority": "interactive"}, time.Minute)
			if c.Counts["failed"] > 0 {
				t.Errorf("%v %s: the collection is %+v", tools, way.name, c)
			}
			m.latest = m.reports(t)
			m.mustShell(each + `cat "$DIR/$tool.whole" >"$DIR/$tool"; fi; done; ip link set standing0 mtu ` + mtu.after)
			m.expect(t, strings.Join(tools, ", ")+" "+way.name+", and recover", []plantedChange{mtu})
			mtu.before, mtu.after = mtu.after, mtu.before
			sweeps += 2
		}
	}
	return sweeps
}
