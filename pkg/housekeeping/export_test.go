package housekeeping

import "time"

// Hasten makes a Keeper go as fast as a test wants it to.
func Hasten(k *Keeper, lease, look time.Duration) {
	k.pace.lease, k.pace.look, k.pace.overdue, k.pace.pause, k.pace.busy = lease, look, 0, time.Millisecond, 10*time.Millisecond
	k.pace.batch, k.pace.hosts, k.pace.unused, k.pace.sealed = 7, 2, 0, 50
}

// Tries sets how often a Keeper tries to detach a partition that is in use.
func Tries(k *Keeper, n int) { k.pace.tries = n }
