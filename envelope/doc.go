// Package envelope turns a value into the bytes that are stored in its place,
// and back: the wire format, the data keys, and the key ring that makes, loads,
// caches and rotates them.
//
// Most programs use package fieldcrypt, which does this for whole records. Here,
// [KeyRing.Seal] and [KeyRing.Open] are the two functions to know:
//
//	ring, err := envelope.NewKeyRing(provider, envelope.RootKeys{Seal: rootKey}, nil)
//	email := envelope.MustField("Contacts", "email")
//	place := &envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: email, Record: "42"}
//	sealed, err := ring.Seal(ctx, place, envelope.AppendString(nil, "ada@example.com"))
//	frame, err := ring.Open(ctx, place, sealed)
//
// An envelope opens in the place that it was sealed for and in no other. Without
// a [KeyStore] envelopes are inline and carry their wrapped data key; with one
// they refer to it, and a value takes 64 bytes more. Package sqlstore has one on
// PostgreSQL, MariaDB and SQLite.
//
// FORMAT.md in this folder is the wire format. It is a draft until v1.0; from
// then on every release opens what any release before it sealed.
package envelope
