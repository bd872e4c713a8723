// Package facts knows about the facts of a report without knowing their type: how one fact is named (Path), how many
// are named at once (Pattern), what differs between two documents (Compare, Apply), what a later document takes over
// from an earlier one because it could not tell (Carry), and since when a fact has held (Sinces).
//
// A document is a JSON object whose lists are objects keyed by what identifies their elements, and whose arrays hold
// nothing but scalars. Facts are written canonically (RFC 8785), but may have been through PostgreSQL's jsonb, which
// writes other spaces, another order of names and other spellings of numbers: nothing here looks at how a value is
// spelled. Results alias the documents they were made from.
package facts
