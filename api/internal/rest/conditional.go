package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// IfMatch is the version that the caller of a change has read.
type IfMatch struct {
	IfMatch string `header:"If-Match" doc:"the ETag that was read; without it the change is made whatever the version"`
}

// version returns the version to change, 0 for any. An ETag that is none of ours cannot match anything.
func (in IfMatch) version() (int64, error) {
	tag := strings.TrimSpace(in.IfMatch)
	if tag == "" || tag == "*" {
		return 0, nil
	}
	version, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil || version <= 0 || tag != etagOf(version) {
		return 0, fleet.Errorf(fleet.Precondition, "If-Match is not the ETag of the newest version; read it again")
	}
	return version, nil
}

func etagOf(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// IfNoneMatch is what the caller of a read has already.
type IfNoneMatch struct {
	IfNoneMatch string `header:"If-None-Match" doc:"ETags that the caller has already"`
}

// tagged is an answer with a strong ETag, or 304 without a body.
type tagged[T any] struct {
	Status int
	ETag   string `header:"ETag"`
	Cache  string `header:"Cache-Control" doc:"kept by who asked, and asked about again each time"`
	Body   T
}

// tag returns v with the ETag of its JSON, and the status 304 if the caller has it already.
func tag[T any](in IfNoneMatch, v T) (*tagged[T], error) {
	content, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	out := &tagged[T]{Status: http.StatusOK, ETag: `"` + hex.EncodeToString(sum[:16]) + `"`, Cache: "private, no-cache", Body: v}
	for candidate := range strings.SplitSeq(in.IfNoneMatch, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == out.ETag || candidate == "*" {
			out.Status = http.StatusNotModified
		}
	}
	return out, nil
}
