package collector_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollcallhq/rollcall/pkg/collector"
)

// secretsElsewhere are in files that are read for other reasons than people.
const secretsElsewhere = peopleSetup + `
mkdir -p /etc/init.d /etc/apt /etc/default
printf '%s\n' '#!/bin/sh' '### BEGIN INIT INFO' '# Provides: leaky' '# Default-Start: 2 3' '# Short-Description: planted service' '### END INIT INFO' \
  'TOKEN=hunter2 exec /usr/bin/leaky --password hunter2' >/etc/init.d/leaky
chmod 755 /etc/init.d/leaky
echo 'TOKEN=hunter2' >/etc/default/leaky
echo 'TOKEN=hunter2' >/etc/environment
echo 'deb https://somebody:hunter2@deb.example.org/debian stable main' >/etc/apt/sources.list
echo '//nas/share /srv cifs username=a,password=hunter2 0 0' >>/etc/fstab
echo '127.0.0.1 localhost # hunter2' >/etc/hosts
`

// TestNoTypeLetsAPlantedSecretOut is TestAPlantedSecretNeverLeavesTheHost for all types together, byte by byte of what goes
// over the wire. The body of a public key may go there, and is in no report.
func TestNoTypeLetsAPlantedSecretOut(t *testing.T) {
	t.Parallel()
	listenInAnotherProcess(t) // with the secret in its environment and its arguments
	p := plan(t, collector.Options{})
	stdout := inPreparedRoot(t, p, secretsElsewhere)
	if i := bytes.Index(stdout, []byte(planted)); i >= 0 {
		t.Errorf("over the wire came %q", stdout[max(0, i-100):min(len(stdout), i+50)])
	}
	r, err := p.Read(stdout)
	if err != nil || !r.Complete {
		t.Fatalf("complete %v, %v", r.Complete, err)
	}
	body := strings.Fields(publicKey)[1]
	for _, report := range p.Reports(r) {
		if report.Status == collector.StatusFailed {
			t.Errorf("%s failed: %v", report.Type, report.Failure)
		}
		told := string(report.Facts) + string(report.Metrics) + strings.Join(report.Warnings, "\n")
		for _, secret := range []string{planted, body} {
			if strings.Contains(told, secret) {
				t.Errorf("%s tells %q", report.Type, secret)
			}
		}
		if report.Type == "services" && !strings.Contains(told, "leaky") {
			t.Error("the service with the secret is not listed at all")
		}
	}
}
