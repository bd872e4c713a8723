// Package telemetry is what a process tells about itself: its log, its metrics and its health. Nothing here is
// global; loggers, registries and health are made in the wiring and handed on.
package telemetry
