// Package schema is what ent generates package db from, in the folder examples:
//
//	go run entgo.io/ent/cmd/ent@v0.14.5 generate ./callers/ent/db/schema
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Contact is a record with two sensitive fields.
type Contact struct{ ent.Schema }

// Fields of the Contact. Where there is no value, the column is NULL.
func (Contact) Fields() []ent.Field {
	return []ent.Field{
		field.String("id").NotEmpty().Immutable().StructTag(`fieldcrypt:"id"`),
		field.String("tenant").NotEmpty().Immutable().StructTag(`fieldcrypt:"tenant"`),
		field.String("name"),
		field.Bytes("email").GoType(fieldcrypt.String{}).Optional().StructTag(`fieldcrypt:"Contacts.email,max=320"`),
		field.Bytes("phone").GoType(fieldcrypt.String{}).Optional().StructTag(`fieldcrypt:"Contacts.phone,max=32"`),
	}
}
