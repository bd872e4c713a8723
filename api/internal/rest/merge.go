package rest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// patched returns what a merge patch (RFC 7396) makes of v. The patch has been validated against its schema.
func patched[T any](v T, patch []byte) (T, error) {
	var out T
	before, err := json.Marshal(v)
	if err != nil {
		return out, fmt.Errorf("encoding what is to be patched: %w", err)
	}
	var target, change any
	if err := numbers(before, &target); err != nil {
		return out, fmt.Errorf("decoding what is to be patched: %w", err)
	}
	if err := numbers(patch, &change); err != nil {
		return out, fleet.Wrap(err, fleet.Invalid, "the patch is not JSON").WithCode(codeMalformedJSON)
	}
	after, err := json.Marshal(merge(target, change))
	if err != nil {
		return out, fmt.Errorf("encoding what was patched: %w", err)
	}
	if err := json.Unmarshal(after, &out); err != nil {
		return out, fleet.Wrap(err, fleet.Invalid, "a value of the patch cannot be read")
	}
	return out, nil
}

// numbers decodes JSON and leaves numbers as they are written.
func numbers(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// merge is MergePatch of RFC 7396, section 2. It may change target.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], value)
	}
	return object
}
