package wire

import "time"

// A Diagnosis is what the doctor found of a deployment, as one of its processes sees it.
type Diagnosis struct {
	Status    string    `json:"status" enum:"ok,warning,failed" doc:"the worst of the checks"`
	Timestamp time.Time `json:"timestamp"`
	Checks    []Finding `json:"checks"`
}

// A Finding is what one check of the doctor found.
type Finding struct {
	Name   string `json:"name" example:"connections"`
	Status string `json:"status" enum:"ok,warning,failed"`
	Detail string `json:"detail" doc:"what was found, in a sentence"`
	Cure   string `json:"cure,omitempty" doc:"what to do about it; absent where nothing has to be done"`
}
