// Package housekeeping keeps the database in order while reports go on arriving: months are made before they come and
// dropped when their time is over, what is kept shorter and what nobody refers to is removed in small batches, and the size
// of it all is foretold.
//
// Each job is done by one process at a time, which holds a lease on the database's clock. Messages of Asynq say when; where
// they do not come, because Redis is down, whoever notices that a job is overdue does it. A process that was paused and comes
// back finds its lease over before it does harm: what removes something does so in a transaction that holds the lease.
package housekeeping
