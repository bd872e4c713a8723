// Package rollcallv1 is the generated gRPC surface of Rollcall: the messages, the client and the server of
// rollcall.v1.ReportService. The .proto files beside it are the reference; a client needs nothing else of Rollcall.
package rollcallv1

//go:generate go -C ../../.. tool -modfile=tools/go.mod buf generate --template proto/buf.gen.yaml proto
