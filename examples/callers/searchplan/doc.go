// Package searchplan has no code of its own. Its tests plan a blind index from
// a column that is still plaintext: the histogram's query and the column of the
// tags, on SQLite always, on PostgreSQL and MariaDB where the tests have a
// server.
package searchplan
