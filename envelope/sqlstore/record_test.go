package sqlstore

import (
	"database/sql"
	"database/sql/driver"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

var acme = envelope.Scope{Tenant: "acme", Class: "crm"}

func good() *row {
	return &row{
		tenant: []byte("acme"), class: []byte("crm"), purpose: "data", id: make([]byte, 32), state: "retired",
		rootKey: []byte("example-kms://eu"), wrapped: []byte{1}, created: 1, budget: 1, tag: make([]byte, 32),
	}
}

func TestMalformedRows(t *testing.T) {
	_, err := good().record()
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		edit func(r *row)
		says string
	}{
		{"key ID too short", func(r *row) { r.id = r.id[:31] }, "its key ID is 31 bytes, it must be 32"},
		{"key ID too long", func(r *row) { r.id = make([]byte, 1000) }, "its key ID is 1000 bytes"},
		{"no key ID", func(r *row) { r.id = nil }, "its key ID is 0 bytes"},
		{"tag cut off", func(r *row) { r.tag = r.tag[:16] }, "its tag is 16 bytes, it must be 32"},
		{"no tag", func(r *row) { r.tag = nil }, "its tag is 0 bytes"},
		{"unknown state", func(r *row) { r.state = "frozen" }, `its state is "frozen", which this version doesn't know`},
		{"no state", func(r *row) { r.state = "" }, `its state is ""`},
		{"another case", func(r *row) { r.state = "Retired" }, `its state is "Retired"`},
		{"no wrapped key", func(r *row) { r.wrapped = nil }, "its wrapped key is 0 bytes, it must be 1 to 6144"},
		{"long wrapped key", func(r *row) { r.wrapped = make([]byte, 6145) }, "its wrapped key is 6145 bytes"},
		{"destroyed with a wrapped key", func(r *row) { r.state = "destroyed" }, "it is destroyed and has a wrapped key"},
		{"negative budget", func(r *row) { r.budget = -1 }, "its budget is -1 messages"},
	} {
		r := good()
		c.edit(r)
		_, err := r.record()
		require.ErrorIs(t, err, envelope.ErrMalformed, c.name)
		require.ErrorContains(t, err, c.says, c.name)
		require.ErrorContains(t, err, `tenant "acme", class "crm", purpose "data"`, c.name)
		require.Less(t, len(err.Error()), 400, c.name)
	}
}

func TestMalformedRowNamesTheKey(t *testing.T) {
	r := good()
	r.id[0], r.state = 0xAB, "frozen"
	_, err := r.record()
	require.ErrorContains(t, err, "key ab"+strings.Repeat("00", 31))
}

func TestRowBecomesRecord(t *testing.T) {
	at := func(s int64) sql.NullInt64 { return sql.NullInt64{Int64: s, Valid: true} }
	r := good()
	r.notAfter, r.destroy, r.at, r.by, r.why = at(2), at(3), at(4), []byte("ada"), []byte("asked to")
	r.budget = math.MaxInt64
	rec, err := r.record()
	require.NoError(t, err)
	require.Equal(t, envelope.Record{
		Scope: acme, Purpose: envelope.PurposeData, RootKey: "example-kms://eu", Wrapped: []byte{1}, State: envelope.StateRetired,
		Created: time.Unix(1, 0).UTC(), NotAfter: time.Unix(2, 0).UTC(), DestroyAfter: time.Unix(3, 0).UTC(), Budget: math.MaxInt64,
		Change: envelope.Change{At: time.Unix(4, 0).UTC(), By: "ada", Why: "asked to"},
	}, rec)

	r = good()
	r.state, r.wrapped = "destroyed", []byte{} // as some drivers give NULL
	rec, err = r.record()
	require.NoError(t, err)
	require.Nil(t, rec.Wrapped)
	require.True(t, rec.NotAfter.IsZero() && rec.DestroyAfter.IsZero() && rec.Change.At.IsZero())
}

// The zero time comes back as the zero time.
func TestZeroTimes(t *testing.T) {
	require.Nil(t, seconds(time.Time{}))
	require.Equal(t, int64(0), seconds(time.Unix(0, 0)))
	require.True(t, moment(sql.NullInt64{}).IsZero())
	require.False(t, moment(sql.NullInt64{Valid: true}).IsZero())
	require.True(t, time.Unix(time.Time{}.Unix(), 0).IsZero()) // what Created rests on
}

// Reads of what can't be stored find nothing, and writes of it are malformed;
// neither asks the database, which might cut names off.
func TestNamesThatCannotBeStored(t *testing.T) {
	f := &fake{}
	s, err := newStore(f.open(t), MariaDB, nil)
	require.NoError(t, err)
	ctx := t.Context()
	for name, p := range map[string]place{
		"no tenant":            placeOf(envelope.Scope{}, "data"),
		"a long tenant":        placeOf(envelope.Scope{Tenant: strings.Repeat("t", 256)}, "data"),
		"a long class":         placeOf(envelope.Scope{Tenant: "acme", Class: strings.Repeat("c", 256)}, "data"),
		"no purpose":           placeOf(acme, ""),
		"a purpose in capital": placeOf(acme, "Data"),
		"a padded purpose":     placeOf(acme, "data "),
		"a zero byte":          placeOf(acme, "data\x00"),
		"a long purpose":       placeOf(acme, "data-data-data-data"),
	} {
		var id envelope.KeyID
		_, err := s.Active(ctx, p.scope, p.purpose)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, name)
		_, err = s.Get(ctx, p.scope, p.purpose, id)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, name)
		_, _, err = s.Lease(ctx, p.scope, p.purpose, id, 1)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, name)
		rec := envelope.Record{Scope: p.scope, Purpose: p.purpose, Wrapped: []byte{1}, State: envelope.StateRetired}
		require.ErrorIs(t, s.Update(ctx, rec, rec), envelope.ErrKeyNotFound, name)
		states, err := s.States(ctx, []envelope.KeyName{rec.Name()})
		require.NoError(t, err, name)
		require.Equal(t, []envelope.State{""}, states)
		require.NoError(t, s.Release(ctx, p.scope, p.purpose, "holder"), name)

		_, err = s.Claim(ctx, p.scope, p.purpose, "holder", time.Second)
		require.ErrorIs(t, err, envelope.ErrMalformed, name)
		require.ErrorIs(t, s.Activate(ctx, rec, id), envelope.ErrMalformed, name)
		require.ErrorIs(t, s.Insert(ctx, rec), envelope.ErrMalformed, name)
	}
	require.Empty(t, f.queries)
}

func TestRecordsThatCannotBeStored(t *testing.T) {
	f := &fake{}
	s, err := newStore(f.open(t), SQLite, nil)
	require.NoError(t, err)
	ctx := t.Context()
	for _, c := range []struct {
		says string
		edit func(rec *envelope.Record)
	}{
		{"the wrapped key is 0 bytes, it must be 1 to 6144", func(rec *envelope.Record) { rec.Wrapped = nil }},
		{"the wrapped key is 6145 bytes", func(rec *envelope.Record) { rec.Wrapped = make([]byte, 6145) }},
		{"URI is 513 bytes, the limit is 512", func(rec *envelope.Record) { rec.RootKey = strings.Repeat("k", 513) }},
		{"Change.By is 256 bytes, the limit is 255", func(rec *envelope.Record) { rec.Change.By = strings.Repeat("b", 256) }},
		{"Change.Why is 1025 bytes, the limit is 1024", func(rec *envelope.Record) { rec.Change.Why = strings.Repeat("w", 1025) }},
		{"the budget is 9223372036854775808 messages", func(rec *envelope.Record) { rec.Budget = 1 << 63 }},
	} {
		rec := envelope.Record{Scope: acme, Purpose: "data", Wrapped: []byte{1}, State: envelope.StateRetired}
		old := rec
		c.edit(&rec)
		for _, err := range []error{s.Insert(ctx, rec), s.Activate(ctx, rec, envelope.KeyID{}), s.Update(ctx, old, rec)} {
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, `tenant "acme"`)
		}
	}
	rec := envelope.Record{Scope: acme, Purpose: "data", State: envelope.StateDestroyed}
	require.ErrorContains(t, s.Insert(ctx, rec), "the wrapped key is 0 bytes", "it would be stored as a retired key")
	rec.State, rec.Wrapped = "frozen", []byte{1}
	require.ErrorContains(t, s.Update(ctx, rec, rec), `there is no state "frozen"`)
	_, err = s.Claim(ctx, acme, "data", strings.Repeat("h", 256), time.Second)
	require.ErrorContains(t, err, "the holder is 256 bytes, the limit is 255")
	require.NoError(t, s.Release(ctx, acme, "data", strings.Repeat("h", 256)))
	require.Empty(t, f.queries)
}

// What is in a row may be of any type, in SQLite before STRICT and elsewhere
// after an ALTER TABLE.
func TestRowOfAnotherType(t *testing.T) {
	f := &fake{answer: func(string) (reply, error) {
		return reply{rows: [][]driver.Value{{
			[]byte("acme"), []byte("crm"), "data", make([]byte, 32), "retired", []byte("k"),
			[]byte{1},
			"yesterday", nil, int64(1), make([]byte, 32), nil, nil, nil, nil,
		}}}, nil
	}}
	s, err := newStore(f.open(t), SQLite, nil)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), acme, "data", envelope.KeyID{})
	require.ErrorIs(t, err, envelope.ErrMalformed)
	require.ErrorContains(t, err, "yesterday")
	require.ErrorContains(t, err, "key "+strings.Repeat("00", 32))
}
