package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Contact is a record type of a CRM. Two of its fields are sensitive.
type Contact struct {
	ID     int64  `fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`
	Name   string
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
	Phone  fieldcrypt.String `fieldcrypt:"Contacts.phone,max=32"`
}

type tour struct {
	out      io.Writer
	process  func() (*fieldcrypt.Crypt, error)
	keys     *sqlstore.Store
	db       *sql.DB
	crypt    *fieldcrypt.Crypt
	contacts *fieldcrypt.Records[Contact]
	step     int
}

func newTour(ctx context.Context, out io.Writer, process func() (*fieldcrypt.Crypt, error), keys *sqlstore.Store, db *sql.DB) (t *tour, err error) {
	t = &tour{out: out, process: process, keys: keys, db: db}
	if err := t.start(); err != nil {
		return nil, err
	}
	if err := t.createTable(ctx); err != nil {
		return nil, errors.Join(err, t.crypt.Close())
	}
	return t, nil
}

// start makes what a process makes once. It has no data key in memory then.
func (t *tour) start() (err error) {
	if t.crypt, err = t.process(); err != nil {
		return err
	}
	if t.contacts, err = fieldcrypt.For[Contact](t.crypt); err != nil {
		return errors.Join(err, t.crypt.Close())
	}
	return nil
}

func (t *tour) createTable(ctx context.Context) error {
	columns, err := t.contacts.ColumnDefs(fieldcrypt.SQLite)
	if err != nil {
		return err
	}
	table := `CREATE TABLE IF NOT EXISTS contacts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL`
	for _, c := range columns {
		table += ", " + c.String() // with a CHECK that only an envelope passes
	}
	if _, err = t.db.ExecContext(ctx, table+`)`); err != nil {
		return fmt.Errorf("create the table: %w", err)
	}
	return nil
}

func (t *tour) run(ctx context.Context) error {
	var kept int
	if err := t.db.QueryRowContext(ctx, `SELECT count(*) FROM contacts`).Scan(&kept); err != nil {
		return err
	}
	if kept > 0 {
		t.say("%d contacts are here from an earlier run: they are opened again", kept)
		if err := t.show(ctx); err != nil {
			return err
		}
		return t.bill(t.crypt.Stats())
	}
	steps := []func(context.Context) error{
		t.insert, t.showStored, t.readBack, t.refusePlaintext, t.refuseTampered, t.refuseForeign, t.rotate, t.restart,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) insert(ctx context.Context) error {
	t.say("Three contacts of two tenants are encrypted and inserted")
	contacts := []Contact{
		{ID: 1, Tenant: "acme", Name: "Ada", Email: fieldcrypt.Of("ada@example.com"), Phone: fieldcrypt.Of("+44 20 7946 0001")},
		{ID: 2, Tenant: "acme", Name: "Grace", Email: fieldcrypt.Of("grace@example.com")}, // no phone: NULL
		{ID: 3, Tenant: "globex", Name: "Edsger", Email: fieldcrypt.Of("edsger@example.org"), Phone: fieldcrypt.Of("+31 20 555 0003")},
	}
	// Before the transaction: it may call the key service.
	if err := t.contacts.EncryptAll(ctx, contacts); err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range contacts {
		if err := save(ctx, tx, &contacts[i]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func save(ctx context.Context, tx *sql.Tx, c *Contact) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO contacts (id, tenant, name, email, phone) VALUES (?, ?, ?, ?, ?)`,
		c.ID, c.Tenant, c.Name, c.Email, c.Phone)
	return err
}

func (t *tour) showStored(ctx context.Context) error {
	t.say("What the database holds: each value in an envelope, which is 64 bytes longer")
	rows, err := t.db.QueryContext(ctx, `SELECT id, tenant, name, email, phone FROM contacts ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	w := t.table("id", "tenant", "name", "email", "phone")
	for rows.Next() {
		var id int64
		var tenant, name string
		var email, phone []byte
		if err := rows.Scan(&id, &tenant, &name, &email, &phone); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\n", id, tenant, name, brief(email), brief(phone))
	}
	if err := errors.Join(rows.Err(), rows.Close(), w.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  and the data keys, in the key store's table, wrapped by the root key:\n")
	w = t.table("tenant", "class", "key ID", "state", "wrapped key")
	for rec, err := range envelope.List(ctx, t.keys, envelope.Filter{}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s\t%s\t%x…\t%s\t%s\n", rec.Scope.Tenant, rec.Scope.Class, rec.KeyID[:4], rec.State, brief(rec.Wrapped))
	}
	return w.Flush()
}

// brief shows the start and the end of an envelope or a wrapped key.
func brief(b []byte) string {
	if b == nil {
		return "NULL"
	}
	return fmt.Sprintf("%x…%x (%d bytes)", b[:4], b[len(b)-8:], len(b))
}

func (t *tour) readBack(ctx context.Context) error {
	t.say("What the program reads, decrypted")
	return t.show(ctx)
}

func (t *tour) show(ctx context.Context) error {
	contacts, err := t.load(ctx)
	if err != nil {
		return err
	}
	if err := t.contacts.DecryptAll(ctx, contacts); err != nil {
		return err
	}
	w := t.table("id", "tenant", "name", "email", "phone")
	for i := range contacts {
		c := &contacts[i]
		email, err := c.Email.Plain()
		if err != nil {
			return err
		}
		phone, err := c.Phone.Plain()
		if errors.Is(err, fieldcrypt.ErrNull) {
			phone = "NULL"
		} else if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\n", c.ID, c.Tenant, c.Name, email, phone)
	}
	return w.Flush()
}

func (t *tour) load(ctx context.Context) ([]Contact, error) {
	rows, err := t.db.QueryContext(ctx, `SELECT id, tenant, name, email, phone FROM contacts ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var contacts []Contact
	for rows.Next() {
		var c Contact
		if err := rows.Scan(&c.ID, &c.Tenant, &c.Name, &c.Email, &c.Phone); err != nil {
			return nil, err
		}
		contacts = append(contacts, c)
	}
	return contacts, rows.Err()
}

func (t *tour) refusePlaintext(ctx context.Context) error {
	t.say("Plaintext that would reach the database is refused twice")
	forgotten := Contact{ID: 4, Tenant: "acme", Name: "Alan", Email: fieldcrypt.Of("alan@example.com")}
	_, err := t.db.ExecContext(ctx, `INSERT INTO contacts (id, tenant, name, email) VALUES (?, ?, ?, ?)`,
		forgotten.ID, forgotten.Tenant, forgotten.Name, forgotten.Email)
	if err := t.refused("the program forgot to encrypt", err); err != nil {
		return err
	}
	_, err = t.db.ExecContext(ctx, `UPDATE contacts SET email = 'alan@example.com' WHERE id = 1`)
	return t.refused("a script writes past the program", err)
}

func (t *tour) refuseTampered(ctx context.Context) error {
	t.say("Somebody flips one bit of Ada's e-mail in the database")
	return t.disturb(ctx, 1, func(s *stored) { s.email[len(s.email)-1] ^= 1 }, func(contacts []Contact) error {
		phone, err := contacts[0].Phone.Plain()
		return t.stillReads("Ada's phone", phone, err)
	})
}

func (t *tour) refuseForeign(ctx context.Context) error {
	t.say("Somebody copies Edsger's sensitive cells over Ada's, to have globex's data decrypted for acme")
	return t.disturb(ctx, 3, func(*stored) {}, func(contacts []Contact) error {
		email, err := contacts[1].Email.Plain()
		return t.stillReads("Grace's e-mail", email, err)
	})
}

// stored is what the database holds in a row's sensitive columns.
type stored struct{ email, phone []byte }

func (t *tour) stored(ctx context.Context, id int64) (s stored, err error) {
	err = t.db.QueryRowContext(ctx, `SELECT email, phone FROM contacts WHERE id = ?`, id).Scan(&s.email, &s.phone)
	return s, err
}

func (t *tour) store(ctx context.Context, id int64, s stored) error {
	_, err := t.db.ExecContext(ctx, `UPDATE contacts SET email = ?, phone = ? WHERE id = ?`, s.email, s.phone, id)
	return err
}

// disturb writes another row's sensitive cells, changed, over Ada's, reads the
// page, and puts Ada's back, also when it is interrupted.
func (t *tour) disturb(ctx context.Context, from int64, change func(*stored), look func([]Contact) error) (err error) {
	before, err := t.stored(ctx, 1)
	if err != nil {
		return err
	}
	planted, err := t.stored(ctx, from)
	if err != nil {
		return err
	}
	change(&planted)
	if err := t.store(ctx, 1, planted); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.store(context.WithoutCancel(ctx), 1, before)) }()
	contacts, err := t.load(ctx)
	if err != nil {
		return err
	}
	if err := t.refused("reading it", t.contacts.DecryptAll(ctx, contacts)); err != nil {
		return err
	}
	return look(contacts)
}

func (t *tour) stillReads(what, value string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(t.out, "  the rest of the page still reads: %s is %s\n", what, value)
	return nil
}

func (t *tour) rotate(ctx context.Context) error {
	t.say("The data key of acme is rotated; what was sealed before still opens")
	acme := fieldcrypt.Scope{Tenant: "acme"}
	if _, err := t.crypt.Rotate(ctx, acme); err != nil {
		return err
	}
	barbara := Contact{ID: 5, Tenant: "acme", Name: "Barbara", Email: fieldcrypt.Of("barbara@example.com")}
	if err := t.contacts.Encrypt(ctx, &barbara); err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := save(ctx, tx, &barbara); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for _, name := range []string{"Ada", "Barbara"} {
		var sealed []byte
		if err := t.db.QueryRowContext(ctx, `SELECT email FROM contacts WHERE name = ?`, name).Scan(&sealed); err != nil {
			return err
		}
		info, err := envelope.Inspect(sealed)
		if err != nil {
			return err
		}
		rec, err := t.keys.Get(ctx, acme, envelope.PurposeData, info.KeyID)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "  %-8s is sealed with data key %x…, which is %s\n", name, info.KeyID[:4], rec.State)
	}
	return t.show(ctx)
}

// restart is the next start of the program, with what the database has.
func (t *tour) restart(ctx context.Context) error {
	t.say("The program starts again: the data keys are in the key store")
	first := t.crypt.Stats()
	if err := t.crypt.Close(); err != nil {
		return err
	}
	if err := t.start(); err != nil {
		return err
	}
	contacts, err := t.load(ctx)
	if err != nil {
		return err
	}
	if err := t.contacts.DecryptAll(ctx, contacts); err != nil {
		return err
	}
	ada := &contacts[0]
	ada.Email.Set("ada.lovelace@example.com")
	if err := t.contacts.Encrypt(ctx, ada); err != nil {
		return err
	}
	if _, err := t.db.ExecContext(ctx, `UPDATE contacts SET email = ? WHERE id = ?`, ada.Email, ada.ID); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  it reads %d contacts and gives Ada another e-mail address\n", len(contacts))
	return t.bill(first, t.crypt.Stats())
}

func (t *tour) bill(starts ...envelope.Stats) error {
	t.say("What it cost")
	names := []string{"calls to the key service", "first start", "second start"}
	if len(starts) == 1 {
		names = []string{names[0], "this start"}
	}
	w := t.table(names...)
	fmt.Fprint(w, "  generate a data key")
	for _, s := range starts {
		fmt.Fprintf(w, "\t%d", s.GenerateDataKey)
	}
	fmt.Fprint(w, "\n  unwrap a data key")
	for _, s := range starts {
		fmt.Fprintf(w, "\t%d", s.Unwrap)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func (t *tour) say(format string, args ...any) {
	t.step++
	fmt.Fprintf(t.out, "\n%d. %s\n", t.step, fmt.Sprintf(format, args...))
}

func (t *tour) table(columns ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  ")
	for i, c := range columns {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, c)
	}
	fmt.Fprintln(w)
	return w
}

// refused expects an error and shows it.
func (t *tour) refused(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s: it was NOT refused", what)
	}
	fmt.Fprintf(t.out, "  %s: REFUSED\n", what)
	var decrypt *fieldcrypt.DecryptError
	if !errors.As(err, &decrypt) {
		fmt.Fprintf(t.out, "    %v\n", err)
		return nil
	}
	for _, f := range decrypt.Failures { // the error's own text is all of them on one line
		fmt.Fprintf(t.out, "    %v\n", f.Err)
	}
	return nil
}
