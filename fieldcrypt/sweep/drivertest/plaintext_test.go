package drivertest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// A lone is a record with one value of any type.
type lone[T fieldcrypt.Plain] struct {
	ID int64               `fieldcrypt:"id"`
	V  fieldcrypt.Value[T] `fieldcrypt:"Samples.v,text"`
}

// back writes held and lost values in the clear to a column of the type, and
// encrypts what it holds then. Lost ones are taken back and reported.
func back[T fieldcrypt.Plain](t *testing.T, s *service, columns map[sweep.Dialect][]string, held, lost []T) {
	t.Helper()
	samples, err := fieldcrypt.For[lone[T]](s.crypt)
	require.NoError(t, err)
	samples = samples.ForTenant("acme")
	values := append(append([]T(nil), held...), lost...)
	for _, typ := range columns[s.Dialect] {
		for _, size := range []int{1000, 1} {
			what, name := fmt.Sprintf("%T in %s, %d in a batch", values[0], typ, size), "samples_"+strings.ToLower(rand.Text())
			s.exec("CREATE TABLE " + name + " (id BIGINT PRIMARY KEY, v VARCHAR(1000), plain " + typ + ")")
			for id := range values {
				row := lone[T]{ID: int64(id) + 1, V: fieldcrypt.Of(values[id])}
				require.NoError(t, samples.Encrypt(t.Context(), &row))
				s.exec("INSERT INTO "+name+" (id, v) VALUES (?, ?)", row.ID, row.V)
			}
			table := sweep.Table{Name: name, Rows: samples.Rows(), Plain: map[string]string{"v": "plain"}}
			run := func(op sweep.Operation, changed, failed int) {
				t.Helper()
				report, err := s.sweeper(&sweep.Options{MaxBatch: size}).Run(t.Context(), table, op, nil)
				if failed == 0 {
					require.NoError(t, err, what)
				} else {
					require.ErrorIs(t, err, sweep.ErrRows, what)
				}
				require.Equal(t, []int64{int64(changed), int64(failed)}, []int64{report.Changed, report.Failed}, "%s: %s: %v", what, op, report.Failures)
			}
			run(sweep.DecryptToPlaintext, len(held), len(lost))
			var n int
			require.NoError(t, s.db.QueryRow("SELECT count(*) FROM "+name+" WHERE plain IS NULL").Scan(&n))
			require.Equal(t, len(lost), n, what)
			run(sweep.DecryptToPlaintext, 0, len(lost))
			s.exec("UPDATE " + name + " SET v = NULL")
			run(sweep.Encrypt, len(held), 0)
			for id := range held {
				var row lone[T]
				require.NoError(t, s.db.QueryRow(s.bind("SELECT id, v FROM "+name+" WHERE id = ?"), id+1).Scan(&row.ID, &row.V))
				require.NoError(t, samples.Decrypt(t.Context(), &row), what)
				got, err := row.V.Plain()
				require.NoError(t, err, what)
				require.True(t, equal(any(held[id]), any(got)), "%s: %v became %v", what, held[id], got)
			}
		}
	}
}

// equal compares values; of times the instant, of decimals the number, and of
// documents what they mean.
func equal(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		return a.Equal(b.(time.Time))
	case fieldcrypt.DecimalString:
		one, _ := new(big.Rat).SetString(string(a))
		other, _ := new(big.Rat).SetString(string(b.(fieldcrypt.DecimalString)))
		return one != nil && other != nil && one.Cmp(other) == 0
	case json.RawMessage:
		var one, other any
		return json.Unmarshal(a, &one) == nil && json.Unmarshal(b.(json.RawMessage), &other) == nil && fmt.Sprint(one) == fmt.Sprint(other)
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func types(postgres, mariadb, sqlite []string) map[sweep.Dialect][]string {
	return map[sweep.Dialect][]string{sweep.Postgres: postgres, sweep.MariaDB: mariadb, sweep.SQLite: sqlite}
}

// Values of all types go to columns in the clear and come back as they were.
func TestPlaintextRoundTrip(t *testing.T) {
	text := []string{"TEXT"}
	texts := types([]string{"TEXT", "VARCHAR(200)"}, []string{"TEXT", "VARCHAR(200)"}, []string{"TEXT", ""})
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.MariaDB {
			d.DSN += "?parseTime=true"
		}
		s := d.service(t)
		back(t, s, texts, []string{"ada", "", " ", "007", "1e3", `ünï "x" \ '`, `\x41`, "true"}, nil)
		back(t, s, types([]string{"bytea"}, []string{"VARBINARY(200)"}, []string{"BLOB"}), []string{"ada", `\x41`, `a\\b`, "ü"}, nil)
		back(t, s, types([]string{"bytea"}, []string{"VARBINARY(200)", "BLOB"}, []string{"BLOB", "TEXT"}), [][]byte{{}, {0, 1, 255}, []byte("ada"), []byte(`\x41`)}, nil)
		back(t, s, types([]string{"BIGINT", "NUMERIC", "TEXT"}, []string{"BIGINT", "DECIMAL(30, 0)", "TEXT"}, []string{"INTEGER", "TEXT", ""}), []int64{0, -7, math.MaxInt64, math.MinInt64}, nil)
		back(t, s, types([]string{"NUMERIC", "TEXT"}, []string{"BIGINT UNSIGNED", "TEXT"}, []string{"TEXT", ""}), []uint64{0, 7, math.MaxUint64}, nil)
		back(t, s, types([]string{"DOUBLE PRECISION", "TEXT"}, []string{"DOUBLE", "TEXT"}, []string{"REAL", "TEXT"}), []float64{0, 0.1, -10.555, 1e300, 123456789.123}, nil)
		back(t, s, types([]string{"BOOLEAN", "TEXT", "INTEGER"}, []string{"BOOLEAN", "TEXT"}, []string{"BOOLEAN", "TEXT"}), []bool{true, false}, nil)
		back(t, s, types([]string{"DATE", "TEXT"}, []string{"DATE", "TEXT"}, []string{"DATE", "TEXT"}), []fieldcrypt.CivilDate{{Year: 1907, Month: 2, Day: 3}, {Year: 2024, Month: 2, Day: 29}}, nil)
		back(t, s, types([]string{"NUMERIC", "NUMERIC(30, 5)"}, []string{"DECIMAL(30, 5)"}, text), []fieldcrypt.DecimalString{"0", "-1.5", "12345678901234567890.12345"}, nil)
		back(t, s, texts, []fieldcrypt.DecimalString{"0.00", "-1.50", "12345678901234567890.12345"}, nil)
		back(t, s, types([]string{"JSONB", "JSON", "TEXT"}, []string{"JSON", "TEXT"}, text), []json.RawMessage{json.RawMessage(`{"b": [1, 2.5, null], "a": "ü"}`), json.RawMessage("7")}, nil)
	})
}

// Times keep their instant, in columns with a zone and without one, and where the
// program's connections have another zone.
func TestPlaintextTimes(t *testing.T) {
	tokyo := time.FixedZone("", 9*3600)
	times := []time.Time{time.Date(2024, 3, 4, 10, 0, 0, 0, tokyo), time.Date(2024, 7, 4, 10, 0, 0, 123456000, time.UTC), time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600-1800))}
	odd := time.Date(1900, 1, 1, 10, 0, 0, 0, time.FixedZone("", 1172)) // RFC 3339 has no seconds in a zone
	parameters := map[sweep.Dialect][]string{sweep.Postgres: {"", "TimeZone=Asia/Tokyo"}, sweep.MariaDB: {"?parseTime=true", "?parseTime=true&loc=Asia%2FTokyo"}, sweep.SQLite: {""}}
	everywhere(t, func(t *testing.T, d database) {
		for i, more := range parameters[d.Dialect] {
			t.Run(more, func(t *testing.T) {
				e := d
				if i > 0 {
					e = databases[map[sweep.Dialect]string{sweep.Postgres: "postgres", sweep.MariaDB: "mariadb"}[d.Dialect]](t)
				}
				switch {
				case d.Dialect == sweep.MariaDB:
					e.DSN += more
				case more != "":
					e.DSN += "&" + more
				}
				s := e.service(t)
				back(t, s, types([]string{"TIMESTAMP", "TIMESTAMPTZ"}, []string{"DATETIME(6)", "TIMESTAMP(6) NULL"}, []string{"TEXT", "DATETIME"}), times, nil)
				back(t, s, types([]string{"TEXT"}, []string{"TEXT", "VARBINARY(100)"}, []string{"TEXT"}), append(times, odd, time.Date(2024, 1, 1, 0, 0, 0, 123456789, tokyo)), []time.Time{time.Date(12024, 1, 1, 0, 0, 0, 0, time.UTC)})
			})
		}
	})
}

// What a column would round is taken back and reported.
func TestRoundedPlaintext(t *testing.T) {
	whole, micro, nano := time.Date(2024, 3, 4, 10, 0, 0, 0, time.UTC), time.Date(2024, 3, 4, 10, 0, 0, 1000, time.UTC), time.Date(2024, 3, 4, 10, 0, 0, 1, time.UTC)
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.MariaDB {
			d.DSN += "?parseTime=true"
		}
		s := d.service(t)
		back(t, s, types([]string{"NUMERIC(10, 2)"}, []string{"DECIMAL(10, 2)"}, nil), []fieldcrypt.DecimalString{"1.5", "20"}, []fieldcrypt.DecimalString{"1.505", "10.555"})
		back(t, s, types(nil, nil, []string{"NUMERIC", "REAL"}), nil, []fieldcrypt.DecimalString{"1.505", "12345678901234567890.12"})
		back(t, s, types([]string{"REAL"}, []string{"FLOAT"}, nil), []float64{0.5, -3}, []float64{10.555, 0.1, 16777217})
		back(t, s, types([]string{"DOUBLE PRECISION"}, []string{"DOUBLE"}, []string{"REAL"}), nil, []int64{7, math.MaxInt64 - 1})
		back(t, s, types([]string{"TIMESTAMP(0)", "TIMESTAMPTZ(0)"}, []string{"DATETIME", "DATETIME(0)"}, nil), []time.Time{whole}, []time.Time{micro, nano})
		back(t, s, types([]string{"TIMESTAMP", "TIMESTAMPTZ"}, []string{"DATETIME(6)"}, nil), []time.Time{whole, micro}, []time.Time{nano})
		back(t, s, types([]string{"DATE"}, []string{"DATE"}, nil), nil, []time.Time{micro})
		back(t, s, types(nil, nil, []string{"INTEGER", "NUMERIC"}), []string{"ada"}, []string{"007", "1e3"})
	})
}
