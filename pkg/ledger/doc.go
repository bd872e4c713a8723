// Package ledger computes the roots under which entries of the audit log are sealed, and finds what was done to entries
// or seals since. It takes neither the database's word for it nor the server's: who has the entries and the seals
// computes everything again.
//
// Trees are those of RFC 6962, section 2.1: a leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), and
// the left side of a node is the largest full tree that leaves something for the right. The root of a seal is the node over the leaf
// of the seal's own fields, the root of the seal before among them, and the root of the tree over its entries. So each
// root stands for the whole log before it, and can be computed from the seal alone when its entries are not kept any more.
package ledger
