// Package remote talks to hosts: over SSH with Dial, to the machine it runs on with Local. A connection carries
// one command at a time, every wait in it is bounded, and whatever goes wrong is a *fleet.Failure with one of the
// closed set of codes. Host keys are always verified, before any credential is offered; there is no way around it.
package remote
