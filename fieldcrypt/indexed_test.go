package fieldcrypt_test

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type plainTag string

func TestForRefusesIndexes(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	type base struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Contacts.email"`
	}
	type behind struct {
		Note fieldcrypt.String     `fieldcrypt:"Contacts.note"`
		Tag  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
	}
	tests := map[string]struct {
		err  error
		says string
	}{
		"another type": {check[struct {
			base
			Tag plainTag `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
		}](crypt), "a blind index is a fieldcrypt.BlindIndex, not a fieldcrypt_test.plainTag"},
		"no tag": {check[struct {
			base
			Tag fieldcrypt.BlindIndex
		}](crypt), "a fieldcrypt.BlindIndex without a tag: say what it is an index of"},
		"no tag, in a slice": {check[struct {
			base
			Tags []fieldcrypt.BlindIndex
		}](crypt), "without a tag"},
		"not exported": {check[struct {
			base
			tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
		}](crypt), "not exported"},
		"unknown field": {check[struct {
			base
			Tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.mail,normalise=email.v1,bits=24"`
		}](crypt), "a blind index of Contacts.mail, which is no field here: there are Contacts.email"},
		"unknown normaliser": {check[struct {
			base
			Tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=mail.v1,bits=24"`
		}](crypt), `unknown normaliser "mail.v1"`},
		"two in one column": {check[struct {
			base
			Tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24,column=tag"`
			Two fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=trim.v1,bits=24,column=TAG"`
		}](crypt), `its column "TAG" is that of the blind index Tag: each has its own`},
		"the same twice": {check[struct {
			base
			Tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
			Two fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
		}](crypt), "it is the same blind index as Tag: remove one"},
		"float": {check[struct {
			base
			Score fieldcrypt.Float64    `fieldcrypt:"Contacts.score"`
			Tag   fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.score,normalise=none.v1,bits=24"`
		}](crypt), "a float64: equal values can have unequal forms"},
		"bool": {check[struct {
			base
			VIP fieldcrypt.Bool       `fieldcrypt:"Contacts.vip"`
			Tag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.vip,normalise=none.v1,bits=1"`
		}](crypt), "with two values, counting them tells them"},
		"two modules": {check[struct {
			base
			Other fieldcrypt.String     `fieldcrypt:"Leads.email"`
			Tag   fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email+Leads.email,normalise=email.v1+email.v1,bits=24"`
		}](crypt), "fields of two modules, Contacts and Leads"},
		"two classes": {check[struct {
			base
			Other fieldcrypt.String     `fieldcrypt:"Contacts.iban,class=billing"`
			Tag   fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email+Contacts.iban,normalise=email.v1+none.v1,bits=24"`
		}](crypt), "fields of two classes, default and billing"},
		"partitions without an ID": {check[struct {
			_      struct{}              `fieldcrypt:"unbound"`
			Tenant string                `fieldcrypt:"tenant"`
			Email  fieldcrypt.String     `fieldcrypt:"Contacts.email"`
			Tag    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24,partitions=3"`
		}](crypt), "partitions: they are chosen by the record's ID, and the type is unbound"},
		"behind a pointer": {check[struct {
			base
			More *behind
		}](crypt), "is in another struct behind a pointer: put both into the same one"},
		"deterministic float": {check[struct {
			base
			Score fieldcrypt.Float64 `fieldcrypt:"Contacts.score,deterministic"`
		}](crypt), "option deterministic: a float64 has several forms of equal values"},
		"deterministic and padded": {check[struct {
			base
			Login fieldcrypt.String `fieldcrypt:"Contacts.login,deterministic,pad=32"`
		}](crypt), "option deterministic: it can't be padded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, test.err, test.says) })
	}
}

func TestSchemaRefusesIndexes(t *testing.T) {
	const fields = `{"name":"email","type":"string"},{"name":"vip","type":"bool"},{"name":"notes","type":"string","path":"tags[*].note"}`
	for says, index := range map[string]string{
		`its column is where the ID is`:                    `{"column":"id","of":["email"],"normalise":["email.v1"],"bits":24}`,
		`its column is where the tenant is`:                `{"column":"tenant","of":["email"],"normalise":["email.v1"],"bits":24}`,
		`its column is where field "email" is`:             `{"column":"email","of":["email"],"normalise":["email.v1"],"bits":24}`,
		`it has no column`:                                 `{"of":["email"],"normalise":["email.v1"],"bits":24}`,
		`field "notes" has many values, at tags[*].note`:   `{"column":"x","of":["notes"],"normalise":["trim.v1"],"bits":24}`,
		`which is no field here`:                           `{"column":"x","of":["mail"],"normalise":["email.v1"],"bits":24}`,
		`isn't a field's name`:                             `{"column":"x","normalise":["email.v1"],"bits":24}`,
		`write normalise=`:                                 `{"column":"x","of":["email"],"bits":24}`,
		`how many bits`:                                    `{"column":"x","of":["email"],"normalise":["email.v1"]}`,
		`1 to 256`:                                         `{"column":"x","of":["email"],"normalise":["email.v1"],"bits":-1}`,
		`with two values`:                                  `{"column":"x","of":["vip"],"normalise":["none.v1"],"bits":1}`,
		`its options aren't in the form of a tag's`:        `{"column":"x","of":["email"],"normalise":["email.v1,first=3"],"bits":24}`,
		`2 fields has 1 normalisers`:                       `{"column":"x","of":["email","vip"],"normalise":["email.v1"],"bits":24}`,
		`unknown field "kind"`:                             `{"column":"x","of":["email"],"normalise":["email.v1"],"bits":24,"kind":"prefix"}`,
		`its column "X" is that of the blind index x`:      `{"column":"x","of":["email"],"normalise":["email.v1"],"bits":24},{"column":"X","of":["email"],"normalise":["trim.v1"],"bits":24}`,
		`must be of ASCII letters, digits and underscores`: `{"column":"e-mail","of":["email"],"normalise":["email.v1"],"bits":24}`,
	} {
		text := `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[` + fields + `],"indexes":[` + index + `]}]}`
		_, err := fieldcrypt.ParseSchema([]byte(text))
		require.ErrorContains(t, err, says, index)
	}
	s := schema(t, `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[`+fields+`],"indexes":[{"column":"x","of":["email"],"normalise":["mine.v1"],"bits":24}]}]}`)
	_, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), s, "Contacts")
	require.ErrorContains(t, err, `unknown normaliser "mine.v1"`)
}

func TestSchemaDiffOfIndexes(t *testing.T) {
	const start = `{"version":%d,"modules":[{"name":"C","id":["id"],"fields":[{"name":"a","type":"string"%s}],"indexes":[%s]}]}`
	old := schema(t, fmt.Sprintf(start, 1, "", `{"column":"x","of":["a"],"normalise":["trim.v1"],"bits":24},{"column":"y","of":["a"],"normalise":["trim.v1"],"bits":24,"first":3}`))
	next := schema(t, fmt.Sprintf(start, 2, `,"deterministic":true`, `{"column":"x","of":["a"],"normalise":["trim.v1"],"bits":25},{"column":"z","of":["a"],"normalise":["trim.v1"],"bits":24}`))
	var got []string
	for _, c := range old.Diff(next) {
		got = append(got, c.String())
	}
	require.Equal(t, []string{
		"C.a: it is sealed in another way (deterministic): refused: what is stored could not be opened: add a field of another name, and move the values",
		"C: the blind index x is another one: refused: searches would miss what is stored: add an index with a column and version of its own, reindex, then drop this one",
		"C: the blind index z is new: needs a sweep: reindex, and search by it alone once that is proved complete",
		"C: the blind index y is gone: safe: drop its column, which still tells what is equal",
	}, got)
}

func TestDDLOfIndexes(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	for d, want := range map[fieldcrypt.Dialect][]string{
		fieldcrypt.Postgres: {
			`ADD COLUMN "email_tag" bytea CHECK ("email_tag" IS NULL OR (octet_length("email_tag") = 5) IS TRUE);`,
			`ADD COLUMN "initial" text CHECK ("initial" IS NULL OR (substr("initial", 1, 4) = 'fi1.' AND octet_length("initial") = 10) IS TRUE);`,
			`CREATE INDEX "contacts_email_tag" ON "crm"."contacts" ("tenant", "email_tag");`,
			`decode('fc0103', 'hex') AND octet_length("login") BETWEEN 52 AND`,
		},
		fieldcrypt.MariaDB: {
			"ADD COLUMN `email_tag` VARBINARY(5) CHECK (`email_tag` IS NULL OR (octet_length(`email_tag`) = 5) IS TRUE);",
			"`initial` VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin",
			"CREATE INDEX `contacts_email_tag` ON `crm`.`contacts` (`tenant`, `email_tag`);",
		},
		fieldcrypt.SQLite: {
			`ADD COLUMN "email_tag" BLOB CHECK ("email_tag" IS NULL OR (typeof("email_tag") = 'blob' AND length(CAST("email_tag" AS BLOB)) = 5) IS TRUE);`,
		},
	} {
		ddl, err := r.DDL(d, "crm.contacts")
		require.NoError(t, err)
		for _, text := range want {
			require.Contains(t, ddl, text)
		}
	}
	_, err := r.DDL(fieldcrypt.Postgres, strings.Repeat("t", 60))
	require.ErrorContains(t, err, "shorten the column")
}

func TestABlindIndexShowsNothing(t *testing.T) {
	var x fieldcrypt.BlindIndex
	require.NoError(t, x.Scan([]byte("TAGBYTES")))
	text, err := json.Marshal(struct{ X fieldcrypt.BlindIndex }{x})
	require.NoError(t, err)
	require.JSONEq(t, `{"X":"[REDACTED]"}`, string(text))
	require.NoError(t, json.Unmarshal(text, &struct{ X *fieldcrypt.BlindIndex }{&x}))
	require.Equal(t, []byte("TAGBYTES"), tagOf(t, x), "the marker leaves it as it is")
	require.ErrorContains(t, json.Unmarshal([]byte(`"forged"`), &x), "isn't read from JSON")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		require.NotContains(t, fmt.Sprintf(verb, x), "TAG")
		require.NotContains(t, fmt.Sprintf(verb, struct{ X fieldcrypt.BlindIndex }{x}), "TAG")
		require.NotContains(t, fmt.Sprintf(verb, struct{ X *fieldcrypt.BlindIndex }{&x}), "544147")
	}
	require.ErrorIs(t, gob.NewEncoder(io.Discard).Encode(x), fieldcrypt.ErrGob)
	_, err = x.MarshalBinary()
	require.ErrorIs(t, err, fieldcrypt.ErrBinary)
	require.ErrorContains(t, x.Scan(7), "holds a int: it is bytes, or text")
	require.NoError(t, x.Scan(nil))
	require.Equal(t, "<nil>", x.String())
}
