// Package wire has the JSON bodies of the REST API, for the server that answers them and the client that asks.
// They are not the vocabulary: fleet's types carry no tags, and a body changes only by growing.
//
// Names are snake_case, times RFC 3339 in UTC, durations whole seconds, IDs UUIDs. In a body that goes in, null and
// absence mean the same: the default. In a merge patch (RFC 7396) null returns a field to its default.
// The tags beside json describe the bodies to the OpenAPI document and to whatever validates against it.
package wire
