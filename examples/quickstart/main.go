// Command quickstart shows fieldcrypt at work on a real SQLite database: what
// goes in, what the database holds, what comes back, what is refused, and what
// it costs in calls to the key service. The data keys are in a key store in the
// same database. Its flag -h shows how to run it.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)   // a second signal ends the program at once
	signal.Ignore(syscall.SIGPIPE) // "| head" is no reason to leave the folder behind
	err := run(ctx, os.Stdout, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp), errors.Is(err, syscall.EPIPE):
		return
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "quickstart:", err)
	os.Exit(1)
}

func run(ctx context.Context, out io.Writer, args []string) (err error) {
	o, err := parse(out, args)
	if err != nil {
		return err
	}
	note := ""
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "fieldcrypt-quickstart-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
		note = " (removed at the end; keep it with -dir)"
	} else if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}

	path := filepath.Join(o.dir, "crm.db")
	_, err = os.Stat(path)
	again := err == nil
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	before, inline := "", false // the root key of an earlier run's rows, and how they are sealed
	if again {
		if before, inline, err = sealedUnder(ctx, db); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	provider, rootKey, err := openProvider(ctx, o, again, before)
	if err != nil {
		return err
	}
	// The key store is in the database of the rows: one backup has both.
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	if err != nil {
		return err
	}
	process := func() (*fieldcrypt.Crypt, error) {
		return fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: rootKey}, &fieldcrypt.Options{
			Envelope: envelope.Options{Store: keys, AllowInline: inline},
		})
	}
	demo, err := newTour(ctx, out, process, keys, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.crypt.Close()) }()
	fmt.Fprintf(out, "root key  %s\n", rootKey)
	fmt.Fprintf(out, "database  %s%s\n", path, note)
	return demo.run(ctx)
}
