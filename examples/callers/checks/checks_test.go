package checks_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// record has each kind of column that DDL writes: both forms, fixed and
// variable sizes, padded, on either side of what MariaDB has other types for.
type record struct {
	ID      int64             `fieldcrypt:"id"`
	Email   fieldcrypt.String `fieldcrypt:"Checks.email,max=320"`
	Phone   fieldcrypt.String `fieldcrypt:"Checks.phone,max=40,pad=16,text"`
	Paid    fieldcrypt.Bool   `fieldcrypt:"Checks.paid"`
	Born    fieldcrypt.Date   `fieldcrypt:"Checks.born,text,column=birthday"`
	TaxID   fieldcrypt.Bytes  `fieldcrypt:"Checks.tax,max=4000"`
	Letter  fieldcrypt.String `fieldcrypt:"Checks.letter,text"`
	Scanned fieldcrypt.Bytes  `fieldcrypt:"Checks.scan,max=16711679,pad=65536"`
	Custom  fieldcrypt.Fields `fieldcrypt:"Checks.custom.*,max=100"`
}

// A server is a database that the checks are tried on.
type server struct {
	dialect fieldcrypt.Dialect
	db      *sql.DB
	mark    string // for an argument in a statement

	// refused reports whether the database itself said no to what a row holds:
	// by a check, or by a column's type before it.
	refused func(error) bool
}

// An attempt is something that is written to a column, and whether it passes.
type attempt struct {
	name   string
	value  any
	passes bool
}

const plaintext = "ada@example.com"

// exercise tries all columns with the envelopes of each configuration.
func exercise(t *testing.T, s server) {
	for name, modes := range map[string][]envelope.Mode{
		"reference": {envelope.ModeReference},
		"inline":    {envelope.ModeInline},
		"both":      {envelope.ModeReference, envelope.ModeInline},
	} {
		t.Run(name, func(t *testing.T) {
			store := envelope.NewMemoryStore()
			main := records(t, &envelope.Options{Store: store, AllowInline: true})
			sealers := map[envelope.Mode]*fieldcrypt.Records[record]{
				envelope.ModeReference: main, envelope.ModeInline: records(t, nil),
			}
			switch name {
			case "reference":
				main = records(t, &envelope.Options{Store: store})
			case "inline":
				main = sealers[envelope.ModeInline]
			}
			table := "checks_" + name
			columns, err := main.ColumnDefs(s.dialect)
			require.NoError(t, err)
			require.Len(t, columns, 8)
			create(t, s, table, main)
			loose := "loose_" + name
			createLoose(t, s, loose, columns)

			for _, mode := range modes {
				pages := []*record{shortest(), longest()}
				for i, r := range pages {
					r.ID = int64(mode)*10 + int64(i)
					require.NoError(t, sealers[mode].Encrypt(t.Context(), r))
					writeAndRead(t, s, table, main, r)
				}
			}
			rows, controls := 2*len(modes), 0
			for _, column := range columns {
				t.Run(column.Field, func(t *testing.T) {
					for _, mode := range modes {
						for _, a := range attempts(t, s.dialect, &column, mode, modes, sealers) {
							t.Run(mode.String()+"/"+a.name, func(t *testing.T) { try(t, s, table, column.Name, a) })
							if a.passes {
								rows++
							} else if !large(a.value) && s.insert(loose, column.Name, a.value) == nil {
								controls++
							}
						}
					}
				})
			}
			var count int
			require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&count))
			require.Equal(t, rows, count)
			require.Greater(t, controls, 100, "the control: what is refused passes where there is no check")
		})
	}
}

func records(t *testing.T, opts *envelope.Options) *fieldcrypt.Records[record] {
	t.Helper()
	o := &fieldcrypt.Options{}
	if opts != nil {
		o.Envelope = *opts
	}
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	r, err := fieldcrypt.For[record](crypt)
	require.NoError(t, err)
	return r.ForTenant("acme")
}

func create(t *testing.T, s server, table string, r *fieldcrypt.Records[record]) {
	t.Helper()
	check.Exec(t.Context(), t, s.db, "CREATE TABLE "+table+" (id BIGINT)")
	ddl, err := r.DDL(s.dialect, table)
	require.NoError(t, err)
	for statement := range strings.SplitSeq(strings.TrimSuffix(ddl, ";\n"), ";\n") {
		check.Exec(t.Context(), t, s.db, statement)
	}
}

func createLoose(t *testing.T, s server, table string, columns []fieldcrypt.ColumnDef) {
	t.Helper()
	var all []string
	for _, c := range columns {
		all = append(all, c.Name+" "+c.Type)
	}
	check.Exec(t.Context(), t, s.db, "CREATE TABLE "+table+" ("+strings.Join(all, ", ")+")")
}

func shortest() *record {
	return &record{
		Email: fieldcrypt.Of(""), Phone: fieldcrypt.Of(""), Paid: fieldcrypt.Of(false), Born: fieldcrypt.Of(fieldcrypt.CivilDate{Year: 2000, Month: 1, Day: 1}),
		TaxID: fieldcrypt.Of([]byte{}), Letter: fieldcrypt.Of(""), Scanned: fieldcrypt.Of([]byte{}), Custom: fieldcrypt.Fields{},
	}
}

func longest() *record {
	r := shortest()
	r.Email.Set(strings.Repeat("e", 320))
	r.Phone.Set(strings.Repeat("5", 40))
	r.TaxID.Set(make([]byte, 4000))
	r.Letter.Set(strings.Repeat("l", fieldcrypt.DefaultMaxValue))
	r.Scanned.Set(make([]byte, 16_711_679))
	r.Custom = fieldcrypt.Fields{"vip": fieldcrypt.Of(""), "Größe, m": fieldcrypt.Of(strings.Repeat("c", 100)), "none": {}}
	return r
}

// writeAndRead: what Encrypt made passes all checks, and is what Decrypt gets.
func writeAndRead(t *testing.T, s server, table string, rs *fieldcrypt.Records[record], r *record) {
	t.Helper()
	const names = "id, email, phone, paid, birthday, tax_id, letter, scanned, custom"
	marks := make([]string, 9)
	for i := range marks {
		marks[i] = s.nth(i + 1)
	}
	check.Exec(t.Context(), t, s.db, "INSERT INTO "+table+" ("+names+") VALUES ("+strings.Join(marks, ", ")+")",
		r.ID, r.Email, r.Phone, r.Paid, r.Born, r.TaxID, r.Letter, r.Scanned, r.Custom)
	got := &record{}
	err := s.db.QueryRowContext(t.Context(), "SELECT "+names+" FROM "+table+" WHERE id = "+s.nth(1), r.ID).
		Scan(&got.ID, &got.Email, &got.Phone, &got.Paid, &got.Born, &got.TaxID, &got.Letter, &got.Scanned, &got.Custom)
	require.NoError(t, err)
	require.NoError(t, rs.DecryptStrict(t.Context(), got))
	for i, pair := range [][2]fieldcrypt.String{{r.Email, got.Email}, {r.Phone, got.Phone}, {r.Letter, got.Letter}, {r.Custom["vip"], got.Custom["vip"]}} {
		want, wantErr := pair[0].Plain()
		is, isErr := pair[1].Plain()
		require.Equal(t, wantErr, isErr, i)
		require.Equal(t, sha256.Sum256([]byte(want)), sha256.Sum256([]byte(is)), i) // the longest are too long to print
	}
	require.Len(t, got.Custom, len(r.Custom))
	want, err := r.Scanned.Plain()
	require.NoError(t, err)
	is, err := got.Scanned.Plain()
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(want), sha256.Sum256(is))
}

// nth returns the mark of the n-th argument.
func (s server) nth(n int) string {
	if s.mark == "$" {
		return fmt.Sprint("$", n)
	}
	return s.mark
}

func (s server) insert(table, column string, value any) error {
	_, err := s.db.Exec("INSERT INTO "+table+" ("+column+") VALUES ("+s.nth(1)+")", value)
	return err
}

func try(t *testing.T, s server, table, column string, a attempt) {
	t.Helper()
	err := s.insert(table, column, a.value)
	if a.passes {
		require.NoError(t, err)
		return
	}
	require.Error(t, err, "the database took it")
	require.True(t, s.refused(err), "refused for another reason: %v", err)
}

// large tells what takes too long to try in many variants.
func large(value any) bool {
	switch v := value.(type) {
	case []byte:
		return len(v) > 1<<16
	case string:
		return len(v) > 1<<16
	}
	return false
}
