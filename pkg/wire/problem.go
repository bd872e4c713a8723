package wire

import "github.com/rollcallhq/rollcall/pkg/fleet"

// A Problem is why a request was not served (RFC 9457).
type Problem struct {
	Type      string         `json:"type" doc:"always about:blank; the code tells problems apart"`
	Title     string         `json:"title" doc:"the status in words"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail" doc:"what happened, for a person"`
	Code      string         `json:"code" doc:"what happened, stable, for a program"`
	RequestID string         `json:"request_id" doc:"under which the server's log has the details"`
	Errors    []FieldProblem `json:"errors,omitempty" nullable:"false" doc:"the bad fields"`
}

// A FieldProblem names one bad field of a request. It never echoes the value.
type FieldProblem struct {
	Field   string `json:"field" doc:"dotted path, such as ssh.become"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// FieldProblems returns the bad fields that a problem names.
func FieldProblems(fields []fleet.FieldError) []FieldProblem {
	problems := make([]FieldProblem, 0, len(fields))
	for _, f := range fields {
		code := f.Code
		if code == "" {
			code = fleet.Invalid.DefaultCode()
		}
		problems = append(problems, FieldProblem{Field: f.Field, Code: code, Message: f.Message})
	}
	return problems
}
