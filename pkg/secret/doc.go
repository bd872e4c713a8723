// Package secret seals credentials to the sites that may use them and opens them there.
//
// Sealing is HPKE (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. Who holds only a
// site's seal key (the API) can store a credential and never read it back; who holds the open key (that
// site's workers) can. The site, the key and the credential's ID are bound into every seal, so that a seal
// copied to another row of the database does not open.
//
// Keys travel through the environment as site/id:base64, separated by commas. Rotation needs no stop: give
// the workers the new open key beside the old one, put the new seal key first, seal anew, take the old away.
package secret
