// Package rpc is the gRPC door: rollcall.v1.ReportService with the standard health and reflection services, over the
// same store and services as REST.
//
// Methods decode, call once, encode and return their error as it is. What all of them need is in one place, around:
// the request's ID, who is asking, panics, the translation of errors, the log line and the metrics.
package rpc
