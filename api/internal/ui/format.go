package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
)

func functions() template.FuncMap {
	return template.FuncMap{"ago": ago, "stamp": stamp, "seconds": seconds}
}

// ago returns the time from t to now in one unit.
func ago(now, t time.Time) string {
	switch d := now.Sub(t); {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// stamp returns t as people and machines read it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// seconds returns the time between two moments, to a hundredth.
func seconds(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return fmt.Sprintf("%.2f s", to.Sub(*from).Seconds())
}

// A node is a JSON value as the pages show it: a scalar, or a list of fields.
type node struct {
	Name   string // of the field or the index
	Path   string
	Scalar string
	Kind   string // string, number, bool, null; empty for one with Fields
	Fields []node
}

// Bounds of a page's tree; the rest is in the JSON that the page links to.
const (
	maxNodes = 20_000
	maxDepth = 32
)

// tree reads a JSON object, with the fields of each object sorted by name.
func tree(data []byte) ([]node, error) {
	if len(data) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	left := maxNodes
	root, err := readNode(d, "", "", 0, &left)
	return root.Fields, err
}

func readNode(d *json.Decoder, name, path string, depth int, left *int) (node, error) {
	n := node{Name: name, Path: path}
	if *left--; *left < 0 || depth > maxDepth {
		return n, fmt.Errorf("more than %d values, or deeper than %d", maxNodes, maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return n, err
	}
	switch v := token.(type) {
	case json.Delim:
		return n.fill(d, v, depth, left)
	case string:
		n.Scalar, n.Kind = v, "string"
	case json.Number:
		n.Scalar, n.Kind = v.String(), "number"
	case bool:
		n.Scalar, n.Kind = strconv.FormatBool(v), "bool"
	case nil:
		n.Scalar, n.Kind = "unknown", "null"
	}
	return n, nil
}

func (n node) fill(d *json.Decoder, open json.Delim, depth int, left *int) (node, error) {
	for i := 0; d.More(); i++ {
		name := strconv.Itoa(i)
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return n, err
			}
			name, _ = token.(string)
		}
		child, err := readNode(d, name, join(n.Path, name), depth+1, left)
		if err != nil {
			return n, err
		}
		n.Fields = append(n.Fields, child)
	}
	if open == '{' { // the database keeps the fields of an object in an order of its own
		slices.SortFunc(n.Fields, func(a, b node) int { return strings.Compare(a.Name, b.Name) })
	}
	_, err := d.Token()
	if len(n.Fields) == 0 {
		n.Scalar, n.Kind = "none", "null"
	}
	return n, err
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
