// Package sqlstore keeps wrapped data keys in a database, for all processes of a
// service: PostgreSQL, MariaDB or SQLite, through database/sql and whatever
// driver the program has. It imports none.
//
// [Open] makes the tables, once, and returns the store for a key ring; [NewRouter]
// makes one store out of several, by tenant or region:
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	keys, err := sqlstore.Open(ctx, db, sqlstore.Postgres, nil)
//	crypt, err := fieldcrypt.New(kms, roots, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
//
// Where the deployment makes the tables, it calls [Migrate], or runs what [DDL]
// prints, and the service opens the store with Options.NoMigrate. It then needs
// no more than SELECT, INSERT, UPDATE and DELETE on the tables.
//
// # Transactions
//
// The store commits on connections of its own and never inside the program's
// transaction: a rollback there must not take away a key that others sealed
// with. So Encrypt belongs before BeginTx. With a pool of one connection a store
// that is called inside a transaction would wait for itself; it gives up after a
// quarter of a second with [ErrPoolHeld]. Pools of more connections can be used
// up by transactions that all wait for the store: give it a pool of its own
// where that may happen.
//
// What a database rolls back because of deadlocks, locks or serialization
// failures is tried again, at random intervals, for ten seconds.
//
// # Durability
//
// A data key that is lost takes with it all that was sealed with it, so a key
// must be on disk before it is used. Databases see to that unless they are told
// otherwise: PostgreSQL by synchronous_commit = off, MariaDB by
// innodb_flush_log_at_trx_commit = 0 or 2, SQLite by synchronous = NORMAL with a
// write-ahead log, or OFF. That costs nothing only where the sealed rows are in
// the same database, whose log then loses them too. A failover to a replica that
// lags loses the keys of that time: replicate synchronously, or keep keys and
// rows together. Replicas otherwise serve reads: see Options.Replica.
//
// # SQLite
//
// Several processes on one machine may share a file, on a file system that has
// working locks, which those of networks often have not. These settings suit it,
// here as modernc.org/sqlite takes them:
//
//	file:keys.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(1)
//
// With WAL, readers don't wait for writers. With busy_timeout a writer waits for
// its turn inside SQLite, which costs less than the store's own repetitions. A
// database in memory lives as long as its connections, and each connection has
// one of its own: SetMaxOpenConns(1), SetMaxIdleConns(1) and SetConnMaxLifetime(0)
// keep it.
//
// # What is gone when a key is destroyed
//
// The row of a destroyed key has no wrapped key any more. Databases keep old rows
// for a while all the same: PostgreSQL until VACUUM and in its write-ahead log,
// MariaDB until its purge and in its binary log, SQLite in free pages (less of it
// with secure_delete) until VACUUM. Replicas and backups keep what they have.
// What is left of a wrapped key opens nothing without its root key.
package sqlstore
