package queue

import (
	"testing"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
)

// FuzzRead reads what a Redis that others can write to may hold. What is read names a task.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"task_id":"01890a5d-ac96-774b-bcce-b302099a8057","epoch":1}`), "default:normal")
	f.Add([]byte(`{"epoch":-1}`), "")
	f.Add([]byte(`[]`), ":")
	f.Fuzz(func(t *testing.T, payload []byte, queue string) {
		m, err := read(asynq.NewTask("task", payload), queue)
		if err == nil && (m.TaskID == uuid.Nil || m.Epoch < 1) {
			t.Errorf("%q is read as %+v", payload, m)
		}
	})
}
