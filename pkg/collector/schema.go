package collector

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
)

// schemaFiles say of each field of the built-in types what it means: one file for each type, with a section for the
// facts and one for the metrics, and a line of the form "path | class | unit | description" for each field. What kind of
// value it has, and whether it may be null, comes from the types that the parsers fill in. A question mark after the path
// says that a list or an object may be null as well.
//
//go:embed schema/*.txt
var schemaFiles embed.FS

// The classes of fields.
const (
	ClassIdentity = "identity" // tells this machine, or a part of it, from all others
	ClassStable   = "stable"   // changes when somebody changes something
	ClassVolatile = "volatile" // changes by itself; a metric, which is never compared
)

// A Field is one field of the reports of a type.
type Field struct {
	Part        string // facts or metrics
	Path        string // * stands for the keys of an object that has as many members as the machine has of them
	Type        string // of JSON Schema: string, integer, number, boolean, array or object
	Nullable    bool
	Class       string
	Unit        string // empty: it has none; of an object with any number of members, what they are keyed by
	Description string
}

// shape returns the Go types of the facts and the metrics of a built-in type; nil for any other.
func shape(name string) map[string]reflect.Type {
	shapes := map[string][2]any{
		"os": {osFacts{}, osMetrics{}}, "cpu": {cpuFacts{}, cpuMetrics{}}, "memory": {memoryFacts{}, memoryMetrics{}},
		"disks": {diskFacts{}, diskMetrics{}}, "network": {networkFacts{}, networkMetrics{}},
		"packages": {packagesFacts{}, packagesMetrics{}}, "services": {servicesFacts{}, servicesMetrics{}},
		"users": {usersFacts{}, usersMetrics{}}, "ports": {portsFacts{}, portsMetrics{}},
	}
	pair, known := shapes[name]
	if !known {
		return nil
	}
	return map[string]reflect.Type{partFacts: reflect.TypeOf(pair[0]), partMetrics: reflect.TypeOf(pair[1])}
}

const (
	partFacts   = "facts"
	partMetrics = "metrics"
)

// Schema returns the JSON Schema (2020-12) of the reports of a built-in type: of an object that has the facts and the
// metrics. Beside the standard keywords, x-class says of a field whether it is identity, stable or volatile, x-unit in
// what it is counted, and x-key by what the members of an object are keyed. It is an error if a field is not described,
// or described and not there, which the tests of this package rule out.
func (t Type) Schema() (json.RawMessage, error) {
	root, _, err := describe(t.Name)
	if err != nil {
		return nil, err
	}
	root["$schema"], root["title"] = "https://json-schema.org/draft/2020-12/schema", t.Name
	root["x-schema-version"] = t.SchemaVersion
	raw, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("encoding the schema of %s: %w", t.Name, err)
	}
	return raw, nil
}

// Fields returns the fields of a built-in type in the order in which they are declared: the facts, then the metrics.
func (t Type) Fields() ([]Field, error) {
	_, fields, err := describe(t.Name)
	return fields, err
}

// A declaration is what schemaFiles say of one type.
type declaration struct {
	purposes map[string]string // by part
	fields   []Field           // without their types
}

// readDeclaration reads the file of a type.
func readDeclaration(name string) (declaration, error) {
	content, err := fs.ReadFile(schemaFiles, "schema/"+name+".txt")
	if err != nil {
		return declaration{}, fmt.Errorf("reading the schema of %s: %w", name, err)
	}
	d := declaration{purposes: map[string]string{}}
	part := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if rest, found := strings.CutPrefix(line, "["); found {
			var purpose string
			part, purpose, _ = strings.Cut(rest, "] ")
			d.purposes[part] = purpose
			continue
		}
		columns := strings.Split(line, "|")
		if len(columns) != 4 {
			return declaration{}, fmt.Errorf("the schema of %s has the line %q", name, line)
		}
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		path, nullable := strings.CutSuffix(columns[0], "?")
		class := map[string]string{"I": ClassIdentity, "S": ClassStable, "V": ClassVolatile}[columns[1]]
		if class == "" || columns[3] == "" || (class == ClassVolatile) != (part == partMetrics) {
			return declaration{}, fmt.Errorf("the schema of %s has the line %q", name, line)
		}
		d.fields = append(d.fields, Field{Part: part, Path: path, Nullable: nullable, Class: class, Unit: columns[2], Description: columns[3]})
	}
	return d, nil
}

// describe joins what is declared of a type with what its Go types are.
func describe(name string) (map[string]any, []Field, error) {
	d, err := readDeclaration(name)
	if err != nil {
		return nil, nil, err
	}
	s := schemaWriter{fields: map[string]*Field{}}
	for i, f := range d.fields {
		if s.fields[f.Part+" "+f.Path] != nil {
			return nil, nil, fmt.Errorf("the schema of %s declares %s %s twice", name, f.Part, f.Path)
		}
		s.fields[f.Part+" "+f.Path] = &d.fields[i]
	}
	parts := map[string]any{}
	for part, typ := range shape(name) {
		s.part = part
		object, err := s.object(typ, "")
		if err != nil {
			return nil, nil, fmt.Errorf("describing the %s of %s: %w", part, name, err)
		}
		object["description"] = d.purposes[part]
		parts[part] = object
	}
	for _, f := range d.fields {
		if f.Type == "" {
			return nil, nil, fmt.Errorf("the schema of %s declares %s %s, which is not there", name, f.Part, f.Path)
		}
	}
	root := map[string]any{"type": "object", "properties": parts, "required": []string{partFacts, partMetrics}, "additionalProperties": false}
	return root, d.fields, nil
}

// A schemaWriter writes the schema of Go types.
type schemaWriter struct {
	part   string
	fields map[string]*Field // by part and path
}

// object returns the schema of a struct.
func (s schemaWriter) object(typ reflect.Type, path string) (map[string]any, error) {
	properties, required := map[string]any{}, []string{}
	for field := range typ.Fields() {
		if field.Anonymous {
			embedded, err := s.object(field.Type, path)
			if err != nil {
				return nil, err
			}
			inner, _ := embedded["properties"].(map[string]any)
			for name, schema := range inner {
				properties[name] = schema
				required = append(required, name)
			}
			continue
		}
		if !field.IsExported() {
			continue
		}
		name := field.Tag.Get("json")
		schema, err := s.value(field.Type, strings.TrimPrefix(path+"."+name, "."))
		if err != nil {
			return nil, err
		}
		properties[name] = schema
		required = append(required, name)
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}, nil
}

// value returns the schema of the field at that path, and fills in what kind of value it has.
func (s schemaWriter) value(typ reflect.Type, path string) (map[string]any, error) {
	f := s.fields[s.part+" "+path]
	if f == nil {
		return nil, fmt.Errorf("%s is not declared", path)
	}
	if typ.Kind() == reflect.Pointer {
		typ, f.Nullable = typ.Elem(), true
	}
	schema, err := s.kind(typ, path)
	if err != nil {
		return nil, err
	}
	f.Type, _ = schema["type"].(string)
	schema["description"], schema["x-class"] = f.Description, f.Class
	switch {
	case f.Unit != "" && typ.Kind() == reflect.Map:
		schema["x-key"] = f.Unit
	case f.Unit != "":
		schema["x-unit"] = f.Unit
	}
	if f.Nullable {
		schema["type"] = []string{f.Type, "null"}
	}
	return schema, nil
}

// kind returns the schema of a Go type, without what is declared.
func (s schemaWriter) kind(typ reflect.Type, path string) (map[string]any, error) {
	switch typ.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.Int64:
		return map[string]any{"type": "integer"}, nil
	case reflect.Float64:
		return map[string]any{"type": "number"}, nil
	case reflect.Slice:
		items, err := s.kind(typ.Elem(), path)
		return map[string]any{"type": "array", "items": items}, err
	case reflect.Struct:
		return s.object(typ, path)
	case reflect.Map:
		members, err := s.value(typ.Elem(), path+".*")
		return map[string]any{"type": "object", "additionalProperties": members}, err
	default:
		return nil, fmt.Errorf("%s is of type %s", path, typ)
	}
}
