// Package drivertest tries package sqlstore with real drivers on real databases:
// modernc.org/sqlite, pgx and go-sql-driver/mysql. It is a module of its own, so
// that who imports sqlstore requires none of them.
//
// Tests on SQLite run always; those on servers have a build tag, postgres or
// mariadb, and a variable that says where the server is. Each test has a file, a
// schema or a database of its own, and leaves nothing behind.
package drivertest
