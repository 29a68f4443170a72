// Command rotation replaces a tenant's data key as after a compromise: a new key,
// every row under it, and a count that proves it. The process that does so is
// killed in the middle, and the same call goes on where it ended. It runs on
// SQLite with a key file, in a folder that it removes.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Contact is the record type.
type Contact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	worker := flag.String("worker", "", "do the sweep in this folder, slowly; the program starts itself with it")
	flag.Parse()
	err := run(ctx, os.Stdout, os.Stderr, *worker)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rotation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, bar io.Writer, folder string) (err error) {
	if folder != "" {
		s, err := open(ctx, folder)
		if err != nil {
			return err
		}
		_, err = s.rotate(ctx, &sweep.KeyRotation{JobOptions: sweep.JobOptions{RowsPerSecond: 1000}})
		return err
	}
	if folder, err = os.MkdirTemp("", "fieldcrypt-rotation-"); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s, err := open(ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.crypt.Close(), s.db.Close()) }()
	return s.show(ctx, out, bar, folder)
}

// A service is a program with a table of contacts.
type service struct {
	db      *sql.DB
	crypt   *fieldcrypt.Crypt
	records *fieldcrypt.Records[Contact]
	sweeper *sweep.Sweeper
	table   sweep.Table
}

func open(ctx context.Context, folder string) (*service, error) {
	kms, err := localkms.Open(filepath.Join(folder, "root.keys"))
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", filepath.Join(folder, "crm.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	if err != nil {
		return nil, err
	}
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	if err != nil {
		return nil, err
	}
	records, err := fieldcrypt.For[Contact](crypt)
	if err != nil {
		return nil, err
	}
	sweeper, err := sweep.New(db, sweep.SQLite, &sweep.Options{
		RangeRows: 500,         // small, to see something of it
		MaxBatch:  50,          // also
		Lease:     time.Second, // how long the killed process's key ranges are kept for it
	})
	if err != nil {
		return nil, err
	}
	return &service{db, crypt, records, sweeper, sweep.Table{Name: "contacts", Rows: records.Rows()}}, nil
}

const contacts = 6000

// fill makes a table of contacts, a third of them acme's.
func (s *service) fill(ctx context.Context) error {
	columns, err := s.records.ColumnDefs(fieldcrypt.SQLite)
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, fmt.Sprintf("CREATE TABLE contacts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, %s)", columns[0]))
	if err != nil {
		return err
	}
	page := make([]Contact, 0, contacts)
	for c := range madeup.Contacts(1, contacts) {
		tenant := []string{"acme", "globex", "initech"}[c.ID%3]
		page = append(page, Contact{ID: c.ID, Tenant: tenant, Email: fieldcrypt.Of(c.Email)})
	}
	if err := s.records.EncryptAll(ctx, page); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range page {
		if _, err := tx.ExecContext(ctx, "INSERT INTO contacts VALUES (?, ?, ?)", page[i].ID, page[i].Tenant, page[i].Email); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// rotate is all that has to be called, and called again after a kill.
func (s *service) rotate(ctx context.Context, opts *sweep.KeyRotation) (*sweep.RotateReport, error) {
	opts.Settle = time.Second // of a service with several processes: the default
	who := envelope.Reason{By: "ada@example.com", Why: "a core dump was found on a shared disk"}
	return s.sweeper.RotateKeys(ctx, fieldcrypt.Scope{Tenant: "acme"}, who, opts, s.table)
}

func (s *service) show(ctx context.Context, out, bar io.Writer, folder string) error {
	if err := s.fill(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "1. %d contacts of three tenants\n", contacts)
	if err := s.count(ctx, out); err != nil {
		return err
	}

	fmt.Fprint(out, "\n2. Acme's data key was compromised: a process makes a new one, sweeps, and is killed\n")
	done, err := s.killed(ctx, folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  killed after %d of acme's %d rows\n", done, contacts/3)
	if err := s.count(ctx, out); err != nil {
		return err
	}

	fmt.Fprint(out, "\n3. The same call in another process goes on where that one ended\n")
	line := progressbar.NewOptions64(contacts/3, progressbar.OptionSetWriter(bar), progressbar.OptionSetDescription("acme's rows"), progressbar.OptionShowCount())
	report, err := s.rotate(ctx, &sweep.KeyRotation{JobOptions: sweep.JobOptions{
		RowsPerSecond: 1000, // a sweep may leave the database some time for others
		Progress:      func(p sweep.Progress) { _ = line.Set64(p.Rows) },
	}})
	if err != nil {
		return err
	}
	fmt.Fprintln(bar)
	fmt.Fprintf(out, "  resumed: %t, proved: %t\n", report.Resumed, report.Proved())
	fmt.Fprint(out, indented(report.String()))

	fmt.Fprint(out, "\n4. All values of acme are under the new key\n")
	return s.count(ctx, out)
}

func (s *service) count(ctx context.Context, out io.Writer) error {
	cover, err := s.sweeper.Coverage(ctx, s.table, nil)
	if err != nil {
		return err
	}
	fmt.Fprint(out, indented(cover.String()))
	return nil
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// killed starts another process that rotates, kills it when it has done a third,
// and returns how many rows it has done.
func (s *service) killed(ctx context.Context, folder string) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	child := exec.CommandContext(ctx, self, "-worker", folder)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case err := <-ended:
			return 0, fmt.Errorf("the process ended before it was killed: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
		report, err := s.sweeper.Last(ctx, s.table)
		if err != nil {
			return 0, err
		}
		if report == nil || report.Rows < contacts/9 {
			continue
		}
		if err := child.Process.Kill(); err != nil {
			return 0, err
		}
		if err := <-ended; err == nil {
			return 0, errors.New("the process ended before it was killed")
		}
		report, err = s.sweeper.Last(ctx, s.table)
		if err != nil {
			return 0, err
		}
		return report.Rows, nil
	}
}
