package sqlstore

import (
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// What is wrong with one key's row is told of that key: the states of the others
// are heeded all the same. No answer of a database makes States panic.
func TestStatesOfOddRows(t *testing.T) {
	good, odd := envelope.KeyID{1}, envelope.KeyID{2}
	db := &fake{answer: func(string) (reply, error) {
		line := func(id []byte, state string) []driver.Value {
			return []driver.Value{[]byte("acme"), []byte("crm"), "data", id, state}
		}
		return reply{rows: [][]driver.Value{
			line(odd[:], "frozen\n"), line(good[:], "suspended"), line([]byte{3}, "active"), line(nil, "active"),
		}}, nil
	}}
	s, err := newStore(db.open(t), SQLite, nil)
	require.NoError(t, err)
	name := func(id envelope.KeyID) envelope.KeyName {
		return envelope.KeyName{Scope: envelope.Scope{Tenant: "acme", Class: "crm"}, Purpose: envelope.PurposeData, ID: id}
	}
	states, err := s.States(t.Context(), []envelope.KeyName{name(odd), name(good), name(envelope.KeyID{3})})
	require.NoError(t, err)
	require.Equal(t, []envelope.State{"unknown", envelope.StateSuspended, ""}, states)
}
