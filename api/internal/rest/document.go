package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5emb"

	"github.com/rollcallhq/rollcall/api/internal/session"
	"github.com/rollcallhq/rollcall/pkg/telemetry"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

const (
	documentPath = "/openapi.json"
	docsPath     = "/docs"
)

// describe says what the document is about.
func describe(doc *huma.OpenAPI) {
	doc.Info.Description = "Agentless reports from fleets of machines. Errors are problem documents (RFC 9457) with a stable code; unknown fields and " +
		"query parameters are refused; lists are read by cursor; writes take Idempotency-Key; PATCH is a merge patch (RFC 7396) and takes If-Match."
	doc.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	doc.Servers = []*huma.Server{{URL: "/"}}
	doc.Tags = []*huma.Tag{
		{Name: "auth", Description: "Signing in and out."},
		{Name: "tokens", Description: "API tokens of whoever asks."},
		{Name: "hosts", Description: "The machines to collect from."},
		{Name: "host keys", Description: "Which host keys are trusted."},
		{Name: "credentials", Description: "What lets us into hosts. Secrets go in and never out."},
		{Name: "collectors", Description: "The types of reports there are."},
		{Name: "collections", Description: "Collecting reports, and how far it is."},
		{Name: "reports", Description: "What was learned of hosts: now, as of any time, since when it holds, and what differs."},
		{Name: "changes", Description: "What changed on which hosts and when, as a feed by cursor, as a stream, and grouped over the fleet. " +
			"Paths are those of the facts, by key and never by position: packages.\"dpkg:openssl:amd64\".version. What could not be told for a while, " +
			"and what a newer schema version says differently, is no change."},
		{Name: "query", Description: "Facts over the fleet, now or as of any time."},
		{Name: "metrics", Description: "What always changes on a host, over time."},
		{Name: "schedules", Description: "Collecting again and again."},
		{Name: "health", Description: "How the process is."},
		{Name: "later", Description: "Promised, and not supported yet by this release."},
	}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{bearerScheme: {
		Type: "http", Scheme: "bearer", Description: "An access token of /api/v1/auth/login, or an API token (rc_…).",
	}}
}

// mountDocument serves the OpenAPI document and the pages that show it.
func (s *server) mountDocument() error {
	doc := s.api.OpenAPI()
	s.describeHealth(doc)
	for _, item := range doc.Paths {
		if item.Patch != nil && item.Patch.RequestBody != nil { // the same body under both names
			content := item.Patch.RequestBody.Content
			content[mergeType].Schema = content[jsonType].Schema
		}
		for _, write := range []*huma.Operation{item.Post, item.Patch, item.Delete} {
			if write != nil {
				describeIdempotency(write)
			}
		}
	}
	nullEnums(doc.Components.Schemas.Map())
	delete(doc.Components.Schemas.Map(), "ErrorModel") // huma's, which problemOfHuma replaces
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	content, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	s.router.Get(documentPath, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("ETag", etag)
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(content)
	})
	pages := v5emb.New("Rollcall API", documentPath, docsPath)
	s.router.Group(func(r chi.Router) {
		r.Use(session.Headers(session.InlinePolicy))
		r.Handle(docsPath, pages)
		r.Handle(docsPath+"/*", pages)
	})
	return nil
}

// nullEnums lets a field that may be null be null also where it has a list of values, as JSON Schema wants it said.
func nullEnums(schemas map[string]*huma.Schema) {
	for _, schema := range schemas {
		for _, property := range schema.Properties {
			if property.Nullable && len(property.Enum) > 0 {
				property.Enum = append(property.Enum, nil)
			}
		}
	}
}

// describeIdempotency documents what idempotent takes and answers.
func describeIdempotency(op *huma.Operation) {
	if len(op.Security) == 0 || op.Path == prefix+importPath {
		return
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(255)},
		Description: "a name for this request: sent again with the same key it is answered as the first time and not done again, for a day",
	})
}

// mountHealth serves how the process is. It asks nobody who they are.
func (s *server) mountHealth() {
	s.router.Method(http.MethodGet, "/healthz", telemetry.LiveHandler())
	s.router.Method(http.MethodGet, "/readyz", s.Health.ReadyHandler())
	s.router.Method(http.MethodGet, "/health", s.Health.HealthHandler())
	if s.Gatherer != nil {
		s.router.Method(http.MethodGet, "/metrics", s.Gatherer)
	}
}

func (s *server) describeHealth(doc *huma.OpenAPI) {
	report := doc.Components.Schemas.Schema(reflect.TypeFor[wire.Health](), true, "")
	answers := func(media string, schema *huma.Schema, statuses ...string) map[string]*huma.Response {
		responses := map[string]*huma.Response{}
		for _, status := range statuses {
			responses[status] = &huma.Response{
				Description: map[string]string{"200": "It is well.", "503": "It is not."}[status],
				Content:     map[string]*huma.MediaType{media: {Schema: schema}},
			}
		}
		return responses
	}
	text := &huma.Schema{Type: huma.TypeString}
	add := func(id, path, summary string, responses map[string]*huma.Response) {
		doc.AddOperation(&huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"health"}, Summary: summary, Responses: responses,
			Security: []map[string][]string{},
		})
	}
	add("health", "/health", "Whether everything is well", answers(jsonType, report, "200", "503"))
	add("ready", "/readyz", "Whether requests should be sent here", answers(jsonType, report, "200", "503"))
	add("live", "/healthz", "Whether the process is alive", answers(jsonType, report, "200"))
	if s.Gatherer != nil {
		add("metrics", "/metrics", "Metrics for Prometheus", answers("text/plain", text, "200"))
	}
	document := answers(jsonType, &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}, "200")
	maps.Copy(document, unchangedResponse())
	add("openapi", documentPath, "This document", document)
}
