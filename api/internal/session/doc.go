// Package session says who is asking over HTTP: it turns a bearer token or the cookie of a browser into the
// fleet.Actor of the request, refuses writes that another site makes a browser send, keeps strangers from asking too
// often, and sets the headers that keep pages to themselves.
package session
