// Package simulate serves a fleet of simulated SSH hosts on loopback, for trying Rollcall without having machines
// and for testing it with many. Each host listens on a port of its own, has its own host key, machine ID and
// addresses, and answers the collecting script as a small virtual machine would: facts stay the same from one
// execution to the next, also across restarts with the same seed, while uptime, load, free memory and traffic move.
// A fleet that is told to drift changes some facts of some hosts from one execution to the next, and says which.
//
// The hosts execute nothing. Their keys follow from the seed, so they protect nothing either: keep them on loopback, or in
// a network of containers.
package simulate
