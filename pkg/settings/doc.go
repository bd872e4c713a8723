// Package settings reads the configuration of a process from its environment: every value is checked, every
// problem is collected and told with the variable's name, the reason and an example, and what was read can be
// listed, so that the documentation cannot differ from the program.
//
// A variable that is set to nothing counts as not set. Each variable NAME can be given as NAME_FILE instead,
// which names a file that holds the value, as container secrets do. Values that may be secret are never shown.
package settings
