// Package drivertest runs package sweep on real databases, through the drivers
// of PostgreSQL, MariaDB and SQLite. It is a module of its own so that no program
// that uses sweep inherits them. SQLite's tests run anywhere; the others need a
// build tag and a server, see CONTRIBUTING.md.
package drivertest
