// Package checks has no code of its own. Its tests ask the databases
// themselves what the CHECKs of Records.DDL let pass and what they refuse: on
// SQLite always, on PostgreSQL and MariaDB where the tests have a server.
package checks
