package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// A service on PostgreSQL with a read replica. Module drivertest has programs that
// run.
func ExampleOpen() {
	ctx := context.Background()
	primary, err := sql.Open("pgx", "postgres://crm@db.example.com/crm")
	if err != nil {
		log.Fatal(err)
	}
	replica, err := sql.Open("pgx", "postgres://crm@replica.example.com/crm")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := sqlstore.Open(ctx, primary, sqlstore.Postgres, &sqlstore.Options{
		Schema:    "crypto",
		NoMigrate: true, // the deployment has run sqlstore.Migrate
		Replica:   replica,
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = envelope.Options{Store: keys} // for fieldcrypt.Options.Envelope
}

// The tables as plain SQL, for teams that run their own migrations.
func ExampleDDL() {
	text, err := sqlstore.DDL(sqlstore.Postgres, &sqlstore.Options{Schema: "crypto", Table: "data_keys"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text[:65])
	// Output: -- Tables of the fieldcrypt key store for PostgreSQL, version 1.
}
