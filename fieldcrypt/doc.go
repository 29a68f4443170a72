// Package fieldcrypt encrypts the sensitive fields of records before they
// reach a database. A data key of the record's tenant, wrapped by a key
// service, seals each value for its one place: tenant, class, field and record
// (AES-256-GCM, NIST SP 800-38D).
//
// Mark what is sensitive, and compile the type once at start-up:
//
//	type Contact struct {
//		ID     uuid.UUID         `fieldcrypt:"id"`
//		Tenant string            `fieldcrypt:"tenant"`
//		Name   string
//		Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
//	}
//
//	crypt, err := fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: uri}, nil)
//	contacts, err := fieldcrypt.For[Contact](crypt)
//
// Then call [Records.Encrypt] before a record is written, before its
// transaction begins, and [Records.Decrypt] after it was read:
//
//	c.Email.Set("ada@example.org")
//	err = contacts.Encrypt(ctx, &c)
//	_, err = tx.ExecContext(ctx, `INSERT …`, c.ID, c.Tenant, c.Name, c.Email)
//
//	err = row.Scan(&c.ID, &c.Tenant, &c.Name, &c.Email)
//	err = contacts.Decrypt(ctx, &c)
//	email, err := c.Email.Plain()
//
// A forgotten call is an error and not a leak: a [Value] that wasn't encrypted
// refuses to be written, and one that wasn't decrypted refuses to be read.
// Values don't show their content in fmt, log/slog and JSON. Null is written as
// NULL; empty values are encrypted like any other.
//
// Who may see a value is not decided here: values that Decrypt shows as a mask,
// or denies, come with a reveal policy, which is not in this release.
//
// # Tags
//
//	`fieldcrypt:"id"`              the record's ID; on several fields, in their order, a composite one
//	`fieldcrypt:"tenant"`          the tenant whose record it is; without one, see ForTenant
//	`fieldcrypt:"Contacts.email"`  a sensitive field: its module and its name
//	`fieldcrypt:"Contacts.x.*"`    a map of sensitive fields: each key is a name; only Fields is a column
//	`fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
//	                               a BlindIndex of a field, see Search below
//	`fieldcrypt:"-"`               not looked at
//
// A sensitive field's options follow its name after commas:
//
//	text         written in text form, for text columns
//	class=crm    its retention class; without it, the type's, or "default"
//	max=320      most bytes of the value
//	pad=32       hides the length up to a multiple of so many bytes, 2 to 65,536
//	pad=16/64    hides it up to the smallest of up to 8 such sizes, and beyond up
//	             to a multiple of the largest; a byte of type is counted, and at
//	             least one of padding
//	migrating    takes plaintext that is in the database for the value, with
//	until=…      up to the end of this day, by UTC: see docs/migrating.md
//	column=mail  its column in DDL; without it, the Go field's name in snake case
//	deterministic
//	             equal values have equal envelopes, for UNIQUE columns and joins
//
// A blind index's are normalise=, bits=, partitions=, first=, last=,
// version=, shared=, text and column=.
//
// Module and name are permanent: they are part of what an envelope is bound
// to, so a Go field can be renamed and its tag can't.
//
// IDs can be strings, integers, 16-byte arrays such as UUIDs, and pointers to
// them. They are bound as text: strings as they are, integers in decimal,
// UUIDs in lower case. No part of an ID may be zero. For a type whose IDs come
// from the database on insert, say so with a blank field:
//
//	_ struct{} `fieldcrypt:"unbound"`  // or "unbound,class=crm", or "class=crm" alone
//
// Whoever can write to the database can then exchange the envelopes of one
// field between a tenant's records.
//
// Fields of nested structs, and of those that pointers lead to, belong to the
// record; behind a nil pointer there is nothing to do. A value belongs to one
// record, as its envelope does: Encrypt refuses one to which two records lead.
// Elements of slices, arrays and other maps are records of their own: mark the
// field "-" and encrypt them with For of their type.
//
// # Key store
//
// With nil options, as above, each envelope carries its wrapped data key, and each
// process makes data keys of its own. A service shares them between its processes
// and starts, in a key store:
//
//	keys, err := sqlstore.Open(ctx, db, sqlstore.Postgres, nil)
//	crypt, err := fieldcrypt.New(provider, roots, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
//
// [Crypt.KeyRing] is for the life of the keys in it.
//
// # Search
//
// [Records.Search] looks records up by a field that has a [BlindIndex], or is
// deterministic. docs/search.md says how, and what either gives away.
//
// # Elsewhere
//
// Package sweep encrypts, re-encrypts and re-indexes all rows of a table.
// [Crypt.Doctor] tries root keys, permissions and the key store at start-up.
// [Records.DDL] writes the columns, whose checks let only envelopes pass.
// [Records.EncryptColumns] is for record types with plain Go fields. Package
// fieldcrypttest is for the tests of programs that use this one. Package
// envelope has the format, and FORMAT.md there promises what is kept for ever.
package fieldcrypt
