package fieldcrypt_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

var update = flag.Bool("update", false, "write testdata/ddl anew")

type columnsOfAllKinds struct {
	ID      int64              `fieldcrypt:"id"`
	Email   fieldcrypt.String  `fieldcrypt:"DDL.email,max=320"`
	Phone   fieldcrypt.String  `fieldcrypt:"DDL.phone,max=40,pad=16,text"`
	Paid    fieldcrypt.Bool    `fieldcrypt:"DDL.paid"`
	Born    fieldcrypt.Date    `fieldcrypt:"DDL.born,text,column=birthday"`
	TaxID   fieldcrypt.Decimal `fieldcrypt:"DDL.tax,max=4000"`
	Letter  fieldcrypt.String  `fieldcrypt:"DDL.letter,text"`
	Scanned fieldcrypt.Bytes   `fieldcrypt:"DDL.scan,max=16711679,pad=65536"`
	Custom  fieldcrypt.Fields  `fieldcrypt:"DDL.custom.*,max=100"`

	// A map without a column.
	Scores map[string]fieldcrypt.Int64 `fieldcrypt:"DDL.score.*"`
}

func cryptOfBothModes(t testing.TB) *fieldcrypt.Crypt {
	t.Helper()
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
		&fieldcrypt.Options{Envelope: envelope.Options{Store: envelope.NewMemoryStore(), AllowInline: true}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	return crypt
}

// What the databases make of these statements is tried in the examples' module,
// which has their drivers: callers/checks.
func TestDDL(t *testing.T) {
	for mode, crypt := range map[string]*fieldcrypt.Crypt{
		"reference": fieldcrypttest.NewWithStore(t), "inline": fieldcrypttest.New(t), "both": cryptOfBothModes(t),
	} {
		for _, dialect := range []fieldcrypt.Dialect{fieldcrypt.Postgres, fieldcrypt.MariaDB, fieldcrypt.SQLite} {
			t.Run(mode+" "+dialect.String(), func(t *testing.T) {
				got, err := records[columnsOfAllKinds](t, crypt).DDL(dialect, "contacts")
				require.NoError(t, err)
				golden := filepath.Join("testdata", "ddl", strings.ToLower(dialect.String())+"_"+mode+".sql")
				if *update {
					require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				require.Equal(t, string(want), got)
			})
		}
	}
}

// The stated sizes are those of the longest values.
func TestColumnSizesAreExact(t *testing.T) {
	r := records[columnsOfAllKinds](t, fieldcrypttest.NewWithStore(t))
	v := columnsOfAllKinds{
		ID: 1, Email: fieldcrypt.Of(strings.Repeat("e", 320)), Phone: fieldcrypt.Of(strings.Repeat("5", 40)), Paid: fieldcrypt.Of(true),
		Born:  fieldcrypt.Of(fieldcrypt.CivilDate{Year: 2000, Month: 1, Day: 1}),
		TaxID: fieldcrypt.Of(fieldcrypt.DecimalString(strings.Repeat("9", 4000))), Letter: fieldcrypt.Of(strings.Repeat("l", fieldcrypt.DefaultMaxValue)),
	}
	require.NoError(t, r.ForTenant("acme").Encrypt(t.Context(), &v))
	columns, err := r.ColumnDefs(fieldcrypt.MariaDB)
	require.NoError(t, err)
	require.Len(t, columns, 8)
	for i, stored := range []any{
		envelopeOf(t, v.Email), envelopeOf(t, v.Phone), envelopeOf(t, v.Paid), envelopeOf(t, v.Born), envelopeOf(t, v.TaxID), envelopeOf(t, v.Letter),
	} {
		require.Len(t, stored, columns[i].Size, columns[i].Field)
	}
	require.Equal(t, "VARBINARY(384)", columns[0].Type)
	require.Equal(t, "birthday", columns[3].Name)
	require.Equal(t, "tax_id", columns[4].Name)
}

func TestDDLRefuses(t *testing.T) {
	crypt := fieldcrypttest.New(t)
	r := records[contact](t, crypt)
	for table, says := range map[string]string{
		"": "1 to 63 characters", "a b": "ASCII letters", `a"; DROP TABLE b; --`: "ASCII letters", "a.b.c": "at most one dot", "1a": "not start with a digit",
		"a.": "1 to 63 characters", ".a": "1 to 63 characters", "tæble": "ASCII letters", strings.Repeat("t", 64): "1 to 63 characters", "a`": "ASCII letters",
	} {
		got, err := r.DDL(fieldcrypt.SQLite, table)
		require.ErrorContains(t, err, says, table)
		require.ErrorContains(t, err, "fieldcrypt: DDL: the table name", table)
		require.Empty(t, got)
	}
	for _, d := range []fieldcrypt.Dialect{0, 4, 255} {
		_, err := r.DDL(d, "contacts")
		require.ErrorContains(t, err, "unknown dialect")
	}
	_, err := (&fieldcrypt.Records[contact]{}).ColumnDefs(fieldcrypt.SQLite)
	require.ErrorContains(t, err, "Records are made with For")

	type twice struct {
		ID   int               `fieldcrypt:"id"`
		Mail fieldcrypt.String `fieldcrypt:"A.mail"`
		Post fieldcrypt.String `fieldcrypt:"A.post,column=MAIL"`
	}
	_, err = records[twice](t, crypt).DDL(fieldcrypt.Postgres, "a")
	require.ErrorContains(t, err, `fields Mail and Post would both have the column "MAIL"`)

	type foreign struct {
		ID    int               `fieldcrypt:"id"`
		Größe fieldcrypt.String `fieldcrypt:"A.size"`
	}
	_, err = records[foreign](t, crypt).DDL(fieldcrypt.Postgres, "a")
	require.ErrorContains(t, err, "field Größe: the column name")
	require.ErrorContains(t, err, "column=")
}
