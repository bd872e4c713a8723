package ledger

// What tests look at.
var (
	LeafOfBytes = leafOf
	Canonical   = canonical
)
