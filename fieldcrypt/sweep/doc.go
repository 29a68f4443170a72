// Package sweep runs jobs over all rows of a table: it re-encrypts them under
// the active data keys, encrypts a table that was filled in plaintext, binds
// envelopes to another place, verifies them, or writes plaintext back.
//
//	sweeper, err := sweep.New(db, sweep.Postgres, nil)
//	contacts, err := fieldcrypt.For[Contact](crypt)
//	table := sweep.Table{Name: "contacts", Rows: contacts.Rows()}
//	report, err := sweeper.Run(ctx, table, sweep.Reencrypt, nil)
//
// It works on database/sql and whatever driver the program has, with PostgreSQL,
// MariaDB and SQLite, while the program goes on reading and writing.
package sweep
