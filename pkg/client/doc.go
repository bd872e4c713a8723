// Package client is the Go client of Rollcall's REST API. The command line stands on it, and other people's programs may.
//
// A Client is made with New and a token, or with SignIn and a password. Every call takes a context, whose end ends the
// call; a call that was answered with a problem returns an *Error, one that was not answered a *TransportError.
//
// What is safe to send twice is sent again, a few times, when the connection fails or the server asks to come again
// (503 with Retry-After): reads, and POSTs that carry an Idempotency-Key, which the client makes up unless it is given
// one. Lists are read page by page as they are ranged over; Query reads one answer of any length as it comes, and says
// so if that breaks off. What is watched or followed is read from the server's events, taken up again where they broke
// off, and by asking again and again where events do not come through. Answers may grow: fields that this release does
// not know are ignored.
package client
