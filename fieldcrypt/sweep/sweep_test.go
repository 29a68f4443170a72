package sweep

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key comes back from the table of ranges as it went in.
func TestKeysAreKept(t *testing.T) {
	for _, k := range []key{
		{int64(-5)},
		{int64(math.MinInt64)},
		{uint64(math.MaxUint64)},
		{"text"},
		{""},
		{"a,b,i7"},
		{"\x00\xff"},
		{[]byte{0, 1}},
		{[]byte{}},
		{1.5},
		{math.Inf(-1)},
		{int64(1), "two", []byte("three")},
	} {
		back, err := decodeKey(k.encode(), len(k))
		require.NoError(t, err)
		require.Equal(t, k, back)
	}
	for _, text := range []string{"", "i", "ix", "u-1", "fz", "s*", "b*", "x5", "i5,", "i5,i6", ",", "5"} {
		_, err := decodeKey(text, 1)
		require.ErrorIs(t, err, errKey, text)
	}
}

func FuzzDecodeKey(f *testing.F) {
	f.Add("i5,sYQ,bAAE")
	f.Add("u7")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := decodeKey(text, strings.Count(text, ",")+1)
		if err != nil {
			return
		}
		again, err := decodeKey(k.encode(), len(k))
		require.NoError(t, err)
		require.Equal(t, k.encode(), again.encode())
	})
}

func TestKeysAreShown(t *testing.T) {
	require.Equal(t, `7, "name", 6162`, key{int64(7), "name", []byte("ab")}.String())
	require.Equal(t, "12", key{"12"}.String())
}

// Arrays are written as PostgreSQL reads them, whatever is in their values.
func TestArrays(t *testing.T) {
	changes := func(values ...any) (all []*change) {
		for _, v := range values {
			all = append(all, &change{new: []any{v}})
		}
		return all
	}
	first := func(c *change) any { return c.new[0] }
	require.Equal(t, `{"a","b\"c\\d","{e,f}",NULL,"NULL",""}`, arrayOf(changes("a", `b"c\d`, "{e,f}", nil, "NULL", ""), false, first))
	require.Equal(t, `{"\\x00ff","\\x"}`, arrayOf(changes([]byte{0, 255}, []byte{}), true, first))
	require.Equal(t, `{"5","true","1.5"}`, arrayOf(changes(int64(5), true, 1.5), false, first))
}

func TestBind(t *testing.T) {
	require.Equal(t, `SELECT "a?" FROM t WHERE x = $1 AND y = $2`, bind(Postgres, `SELECT "a?" FROM t WHERE x = ? AND y = ?`))
	require.Equal(t, "SELECT ?", bind(SQLite, "SELECT ?"))
	require.Equal(t, `"odd "" name"`, quote(Postgres, `odd " name`))
	require.Equal(t, "`odd `` name`", quote(MariaDB, "odd ` name"))
	require.Equal(t, `"crm"."contacts"`, qualified(SQLite, "crm", "contacts"))
}

// Comparisons of composite keys, for each dialect.
func TestCompareKeys(t *testing.T) {
	columns := []column{{name: "a", typ: "int"}, {name: "b", typ: "text"}, {name: "c", typ: "int"}}
	k := key{int64(1), "x", int64(2)}
	text, args := (&target{dialect: SQLite, key: columns}).compareKey(">", k)
	require.Equal(t, `("a", "b", "c") > (?, ?, ?)`, text)
	require.Len(t, args, 3)
	text, args = (&target{dialect: MariaDB, key: columns}).compareKey("<=", k)
	require.Equal(t, "(`a` <= ? AND (`a` < ? OR `b` <= ? AND (`b` < ? OR `c` <= ?)))", text)
	require.Equal(t, []any{int64(1), int64(1), "x", "x", int64(2)}, args)
	text, _ = (&target{dialect: Postgres, key: columns[:1]}).compareKey(">", k[:1])
	require.Equal(t, `("a") > (CAST(CAST(? AS text) AS int))`, text)
}

// Small tables are shared out; large ones have ranges of the size that was asked
// for.
func TestRangeRows(t *testing.T) {
	for _, c := range []struct {
		estimate int64
		most     int
		want     int
	}{{0, 10_000, 1000}, {40_000, 10_000, 1250}, {1_000_000, 10_000, 10_000}, {1 << 40, 10_000, 10_000}, {1 << 40, 50, 50}, {-1, 10_000, 1000}} {
		require.Equal(t, c.want, rangeRows(c.estimate, c.most), "%+v", c)
	}
}

func TestReports(t *testing.T) {
	r := &Report{Table: "contacts", Operation: "reencrypt", Rows: 9, Changed: 4, Failed: 5}
	for i := range 5 {
		r.Failures = fail(r.Failures, 4, Failure{Key: fmt.Sprint(i), Column: "email", Reason: strings.Repeat("long ", 1000)})
	}
	require.Len(t, r.Failures, 4)
	require.Less(t, len(r.Failures[0].Reason), 700)
	err := r.Err()
	require.ErrorIs(t, err, ErrRows)
	require.ErrorContains(t, err, "sweep: reencrypt of table contacts: 5 of 9 rows couldn't be dealt with; row 0, column email: long")
	require.ErrorContains(t, err, "and more, see Report.Failures")
	require.Equal(t, "reencrypt of contacts: 9 rows, changed 4, failed 5, not done", r.String())
	require.NoError(t, (&Report{}).Err())
	require.NoError(t, (*Report)(nil).Err())
	text, err := encodeFailures(r.Failures)
	require.NoError(t, err)
	require.Equal(t, r.Failures, decodeFailures(text.(string)))
	require.Len(t, decodeFailures("nonsense"), 1)
}

// The statements may be run twice, and have no name of another's in them.
func TestDDL(t *testing.T) {
	for _, d := range []Dialect{Postgres, MariaDB, SQLite} {
		text, err := DDL(d, &Options{Table: "short_and_long"})
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(text, "CREATE TABLE IF NOT EXISTS "))
		require.Contains(t, text, "short_and_long_ranges")
		require.NotContains(t, text, "{")
	}
}
