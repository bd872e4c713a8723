package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/storetest"
)

// BenchmarkEndTask ends tasks with five unchanged reports each; claiming them is not counted.
func BenchmarkEndTask(b *testing.B) {
	s, _ := storetest.Pool(b)
	h, err := s.AddHost(b.Context(), fleet.Host{
		ID: fleet.NewID(), Name: "web-1", Address: "192.0.2.1", Port: 22,
		Site: fleet.DefaultSite, Connection: fleet.ConnectionSSH, Enabled: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	worker := fleet.Worker{ID: fleet.NewID(), Host: "w", Version: "test", Sites: []string{fleet.DefaultSite}, Slots: 1}
	if _, _, err := s.Heartbeat(b.Context(), worker); err != nil {
		b.Fatal(err)
	}
	var findings []fleet.Finding
	for _, reportType := range []string{"os", "cpu", "memory", "disks", "network"} {
		findings = append(findings, finding(reportType, fmt.Sprintf(`{"about":%q}`, reportType), `{"load1":0.5}`))
	}
	everything, err := fleet.ParseSelector("*")
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		c, err := s.AddCollection(b.Context(), fleet.Everything(), aCollection(), &everything)
		if err != nil {
			b.Fatal(err)
		}
		messages, err := s.Outbox(b.Context(), &c.ID, 1)
		if err != nil || len(messages) != 1 {
			b.Fatalf("outbox = %v, %v", messages, err)
		}
		claim, err := s.ClaimTask(b.Context(), messages[0], worker.ID)
		if err != nil || claim == nil || claim.Host.ID != h.ID {
			b.Fatalf("claim = %v, %v", claim, err)
		}
		e := ending(claim, fleet.TaskSucceeded, findings...)
		e.At = time.Now()
		b.StartTimer()
		if held, err := s.EndTask(b.Context(), e); err != nil || !held {
			b.Fatalf("EndTask = %v, %v", held, err)
		}
	}
}
