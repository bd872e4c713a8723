package rest_test

import "net/http"

// badAccounts are the rows about users, passwords and sessions.
func badAccounts() []badInput {
	post, patch, del := http.MethodPost, http.MethodPatch, http.MethodDelete
	users := func(text string) call {
		return call{method: post, path: "/api/v1/users", as: "admin", body: text, invalid: true}
	}
	return []badInput{
		{"users, for an admin of some hosts", call{path: "/api/v1/users", as: "scoped"}, 403, "forbidden", ""},
		{"an unknown user", call{path: "/api/v1/users/UNKNOWN", as: "admin"}, 404, "not_found", ""},
		{"a user in capitals", users(`{"username":"Ann","role":"viewer"}`), 422, "invalid", "username"},
		{"a user of a name that is or was taken", users(`{"username":"viewer","role":"viewer"}`), 409, "name_taken", "username"},
		{"a user of an unknown role", users(`{"username":"ann","role":"owner"}`), 422, "invalid", "role"},
		{"a user with a bad selector", users(`{"username":"ann","role":"viewer","selector":"env=("}`), 422, "invalid_selector", "selector"},
		{"a user with a short password", users(`{"username":"ann","role":"viewer","password":"short"}`), 422, "invalid", "password"},
		{"a user without a role", call{method: patch, path: "/api/v1/users/UNKNOWN", as: "admin", body: `{"role":null}`, invalid: true}, 422, "invalid", "role"},
		{"API tokens of users, for an admin of some hosts", call{path: "/api/v1/users/UNKNOWN/tokens", as: "scoped"}, 403, "forbidden", ""},
		{"API tokens of an unknown user", call{path: "/api/v1/users/UNKNOWN/tokens", as: "admin"}, 404, "not_found", ""},
		{"an API token of an unknown user", call{method: del, path: "/api/v1/users/UNKNOWN/tokens/UNKNOWN", as: "admin"}, 404, "not_found", ""},
		{"a session of an unknown user", call{method: del, path: "/api/v1/users/UNKNOWN/sessions/UNKNOWN", as: "admin"}, 404, "not_found", ""},
		{"a user's password by an API token", call{method: post, path: "/api/v1/auth/password", as: "viewer", body: `{"current_password":"a","new_password":"b"}`}, 403, "forbidden", ""},
		{"sessions of an API token", call{method: del, path: "/api/v1/auth/sessions", as: "viewer"}, 403, "forbidden", ""},
		{"a one-time link that is not good", call{method: post, path: "/api/v1/auth/reset", body: `{"token":"rcp_x","password":"correct horse battery"}`}, 401, "reset_link_invalid", ""},
	}
}
