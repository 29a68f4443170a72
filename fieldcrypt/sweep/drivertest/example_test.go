package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Account is a record type whose table was filled before there was encryption.
type Account struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	IBAN   fieldcrypt.String `fieldcrypt:"Accounts.iban,text,max=34"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// bank opens a database with three accounts in plaintext.
func bank() (db *sql.DB, accounts *fieldcrypt.Records[Account], end func()) {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "sweep-example-")
	check(err)
	db, err = sql.Open("sqlite", filepath.Join(folder, "bank.db")+"?_pragma=busy_timeout(5000)")
	check(err)
	kms, err := localkms.Open(filepath.Join(folder, "root.keys"))
	check(err)
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	check(err)
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	check(err)
	accounts, err = fieldcrypt.For[Account](crypt)
	check(err)
	_, err = db.Exec(`CREATE TABLE accounts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, iban TEXT)`)
	check(err)
	_, err = db.Exec(`INSERT INTO accounts VALUES (1, 'acme', 'DE02120300000000202051'), (2, 'acme', NULL), (3, 'globex', 'NL02ABNA0123456789')`)
	check(err)
	return db, accounts, func() {
		check(crypt.Close())
		check(db.Close())
		check(os.RemoveAll(folder))
	}
}

// A service encrypts a table that was filled in plaintext, and later moves it
// under new data keys.
func Example() {
	db, accounts, end := bank()
	defer end()
	ctx := context.Background()

	sweeper, err := sweep.New(db, sweep.SQLite, nil)
	check(err)
	table := sweep.Table{Name: "accounts", Rows: accounts.Rows()}

	cover, err := sweeper.Coverage(ctx, table, nil)
	check(err)
	fmt.Println("in plaintext:", cover.Plaintext)

	report, err := sweeper.Run(ctx, table, sweep.Encrypt, nil)
	check(err)
	fmt.Println("encrypted:", report.Changed, "of", report.Rows)

	who := envelope.Reason{By: "ada@example.com", Why: "ticket 4711"}
	rotation, err := sweeper.RotateKeys(ctx, fieldcrypt.Scope{Tenant: "acme"}, who, &sweep.KeyRotation{Settle: 1}, table)
	check(err)
	fmt.Println("old keys:", len(rotation.Old), "proved unused:", rotation.Proved())
	// Output:
	// in plaintext: 2
	// encrypted: 2 of 3
	// old keys: 1 proved unused: true
}

// One of several worker processes: all run this. They share the key ranges of one
// job, and one that starts late finds the job of that name done.
func ExampleSweeper_Run_workers() {
	db, accounts, end := bank()
	defer end()
	ctx := context.Background() // of the process: its end gives the key ranges back

	sweeper, err := sweep.New(db, sweep.SQLite, &sweep.Options{NoMigrate: false})
	check(err)
	table := sweep.Table{Name: "accounts", Rows: accounts.Rows()}
	report, err := sweeper.Run(ctx, table, sweep.Encrypt, &sweep.JobOptions{
		Name:          "encrypt accounts",
		Workers:       4,
		RowsPerSecond: 5000,
		Progress: func(p sweep.Progress) {
			log.SetPrefix(fmt.Sprintf("%d of %d rows, %v left: ", p.Rows, p.Total, p.Left))
		},
	})
	check(err)
	fmt.Println(report.Done, report.Rows)

	late, err := sweeper.Run(ctx, table, sweep.Encrypt, &sweep.JobOptions{Name: "encrypt accounts"})
	check(err)
	fmt.Println(late.Job == report.Job)
	// Output:
	// true 3
	// true
}

// A dry run says what a job would do.
func ExampleJobOptions() {
	db, accounts, end := bank()
	defer end()
	sweeper, err := sweep.New(db, sweep.SQLite, nil)
	check(err)
	report, err := sweeper.Run(context.Background(), sweep.Table{Name: "accounts", Rows: accounts.Rows()}, sweep.Encrypt, &sweep.JobOptions{DryRun: true, Tenant: "acme"})
	check(err)
	fmt.Println(report)
	// Output: encrypt of accounts: 2 rows, would change 1, failed 0
}

// A program's own test of its migration: real encryption, no key service.
func TestMyMigration(t *testing.T) {
	db := sqlite(t).open(t)
	accounts, err := fieldcrypt.For[Account](fieldcrypttest.NewWithStore(t))
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE accounts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, iban TEXT)`)
	require.NoError(t, err)
	_, err = db.Exec(`INSERT INTO accounts VALUES (1, 'acme', 'DE02120300000000202051')`)
	require.NoError(t, err)

	sweeper, err := sweep.New(db, sweep.SQLite, nil)
	require.NoError(t, err)
	_, err = sweeper.Run(t.Context(), sweep.Table{Name: "accounts", Rows: accounts.Rows()}, sweep.Encrypt, nil)
	require.NoError(t, err)

	var a Account
	require.NoError(t, db.QueryRow(`SELECT id, tenant, iban FROM accounts`).Scan(&a.ID, &a.Tenant, &a.IBAN))
	require.NoError(t, accounts.Decrypt(t.Context(), &a))
	iban, err := a.IBAN.Plain()
	require.NoError(t, err)
	require.Equal(t, "DE02120300000000202051", iban)
}
