package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// A validator checks documents against a JSON Schema.
type validator struct {
	schema *jsonschema.Schema
	raw    any // the schema itself, to find out which types texts stand for
}

// noLoader refuses what a schema refers to outside of itself: the default would read files of this machine.
type noLoader struct{}

// Load always fails.
func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("a schema may refer to itself only, not to " + url)
}

// schemaURL is what errors call the schema.
const schemaURL = "urn:rollcall:schema"

func (c *custom) checkSchema() error {
	if len(c.Schema) == 0 {
		return nil
	}
	encoded, err := json.Marshal(c.Schema)
	if err != nil || len(encoded) > maxSchema {
		return fleet.InvalidField("schema", "must be a JSON Schema of at most %d bytes", maxSchema)
	}
	if bytes.Contains(encoded, []byte(`\u0000`)) {
		return fleet.InvalidField("schema", "holds a NUL")
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return fleet.InvalidField("schema", "cannot be read: %s", err)
	}
	if where, ok := boundedSchema(raw, "", 0); !ok {
		return fleet.InvalidField("schema"+where, "is deeper than %d levels, or a number that is too large", maxFactsDepth)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, raw); err != nil {
		return fleet.InvalidField("schema", "%s", schemaError(err))
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return fleet.InvalidField("schema", "%s", schemaError(err))
	}
	c.schema = &validator{schema: schema, raw: raw}
	return nil
}

// boundedSchema reports whether a schema is not too deep and holds no number that would take for ever to compute with;
// where it does, it says where.
func boundedSchema(v any, where string, depth int) (string, bool) {
	if depth > maxFactsDepth {
		return where, false
	}
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return where, err == nil && !math.IsInf(f, 0) && len(v) < 64
	case map[string]any:
		for _, name := range sortedKeys(v) {
			if at, ok := boundedSchema(v[name], where+"."+name, depth+1); !ok {
				return at, false
			}
		}
	case []any:
		for i, item := range v {
			if at, ok := boundedSchema(item, fmt.Sprintf("%s[%d]", where, i), depth+1); !ok {
				return at, false
			}
		}
	}
	return where, true
}

// schemaError says in one bounded line what is wrong with a schema.
func schemaError(err error) string {
	if e, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = e.Err
	}
	said := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), schemaURL, "the schema")), " ")
	return said[:min(len(said), 500)]
}

// A violation is a place in a document that is not as the schema says.
type violation struct {
	at      string // JSON pointer
	keyword string // which part of the schema refuses it
	message string // may quote the value
}

// maxViolations bounds how many of them are told.
const maxViolations = 20

// validate returns where a document is not as the schema says; the document's numbers are json.Number.
func (v *validator) validate(document any) []violation {
	if v == nil {
		return nil
	}
	err := v.schema.Validate(document)
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []violation{{at: "/", keyword: "schema", message: err.Error()}}
	}
	var out []violation
	var leaves func(e *jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(out) >= maxViolations {
			return
		}
		if len(e.Causes) == 0 {
			keyword := "false"
			if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
				keyword = path[0]
			}
			message := e.Error()
			if _, after, found := strings.Cut(message, "': "); found {
				message = after
			}
			out = append(out, violation{at: pointer(e.InstanceLocation), keyword: keyword, message: message[:min(len(message), 300)]})
		}
		for _, cause := range e.Causes {
			leaves(cause)
		}
	}
	leaves(e)
	return out
}

// pointer returns a JSON pointer (RFC 6901) of bounded length.
func pointer(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	if b.Len() == 0 {
		return "/"
	}
	return strings.ToValidUTF8(b.String()[:min(b.Len(), 300)], "")
}
