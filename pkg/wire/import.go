package wire

// An ImportResult is what became of an import.
type ImportResult struct {
	Created   int          `json:"created"`
	Updated   int          `json:"updated"`
	Unchanged int          `json:"unchanged"`
	Refused   int          `json:"refused"`
	DryRun    bool         `json:"dry_run" doc:"nothing was stored"`
	Items     []ImportItem `json:"items" nullable:"false" doc:"by line"`
}

// An ImportItem is what became of one line.
type ImportItem struct {
	Line    int     `json:"line" doc:"from 1"`
	Name    string  `json:"name" doc:"of the host; empty where it could not be read"`
	Outcome string  `json:"outcome" enum:"created,updated,unchanged,refused"`
	Code    *string `json:"code" doc:"why it was refused, for a program"`
	Field   *string `json:"field" doc:"the first bad field"`
	Reason  *string `json:"reason" doc:"why it was refused, for a person"`
}

// Refuse sets why the line was refused; an empty field names none.
func (i *ImportItem) Refuse(code, field, reason string) {
	i.Code, i.Field, i.Reason = &code, orNull(field), &reason
}
