package registry_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/examples/registry"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

const first = `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"string","text":true}]}]}`

func parse(t *testing.T, text string) *fieldcrypt.Schema {
	t.Helper()
	s, err := fieldcrypt.ParseSchema([]byte(text))
	require.NoError(t, err)
	return s
}

// open returns a registry with its first schema in force.
func open(t *testing.T) (*registry.Registry, *sql.DB, *fieldcrypt.Crypt) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "crm.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(off)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	crypt := fieldcrypttest.NewWithStore(t)
	r, err := registry.Open(t.Context(), db, crypt)
	require.NoError(t, err)
	_, err = r.Publish(t.Context(), parse(t, first))
	require.NoError(t, err)
	return r, db, crypt
}

func process(t *testing.T, r *registry.Registry, crypt *fieldcrypt.Crypt) *registry.Contacts {
	t.Helper()
	c, err := registry.NewContacts(t.Context(), r, crypt)
	require.NoError(t, err)
	return c
}

func contact(id int) map[string]any {
	return map[string]any{"id": id, "tenant": "acme", "passport": fmt.Sprintf("X%d", id), "email": fmt.Sprintf("ada%d@example.com", id)}
}

func emailOf(t *testing.T, contact map[string]any) any {
	t.Helper()
	v, sensitive := contact["email"].(fieldcrypt.String)
	if !sensitive {
		return contact["email"]
	}
	email, err := v.Plain()
	require.NoError(t, err)
	return email
}

// inClear counts the rows whose email anyone can read.
func inClear(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM contacts WHERE email LIKE '%@%'").Scan(&n))
	return n
}

// From an administrator's click to a strict field, with two processes and no
// deployment.
func TestAFieldIsEncryptedAtRunTime(t *testing.T) {
	ctx := t.Context()
	r, db, crypt := open(t)
	one, two := process(t, r, crypt), process(t, r, crypt)
	const rows = 20
	for id := 1; id <= rows; id++ {
		require.NoError(t, one.Save(ctx, contact(id)))
	}
	require.Equal(t, rows, inClear(t, db), "nobody has called it sensitive yet")

	changes, err := r.EncryptField(ctx, "email", time.Now().AddDate(0, 1, 0))
	require.NoError(t, err)
	require.Contains(t, registry.Describe(changes), "Contacts.email: the field is new, and takes plaintext until")

	// The process that hasn't polled can do nothing that the other couldn't take
	// back; the one that has reads what is there.
	require.NoError(t, two.Poll(ctx))
	require.ErrorIs(t, one.Save(ctx, contact(1)), registry.ErrBehind)
	_, err = one.Load(ctx, 1)
	require.ErrorIs(t, err, registry.ErrBehind)
	require.ErrorContains(t, err, "it has schema version 1, and 2 is in force: poll and try again")
	got, err := two.Load(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, "ada1@example.com", emailOf(t, got))
	require.NoError(t, two.Save(ctx, contact(rows+1)))
	require.Equal(t, rows, inClear(t, db), "what is written from now on is an envelope")

	_, err = r.Finish(ctx, "email")
	require.ErrorIs(t, err, registry.ErrRefused)
	require.ErrorContains(t, err, "Contacts.email would be strict, and 20 rows hold no envelope of it")

	// The sweep, while the other process goes on writing.
	require.NoError(t, one.Poll(ctx))
	var writes sync.WaitGroup
	writes.Go(func() {
		for id := 1; id <= rows; id += 2 {
			changed := contact(id)
			changed["email"] = fmt.Sprintf("new%d@example.com", id)
			if err := one.Save(ctx, changed); err != nil {
				t.Error(err)
			}
		}
	})
	swept, err := two.Sweep(ctx)
	require.NoError(t, err)
	require.Equal(t, rows+1, swept)
	writes.Wait()
	require.Zero(t, inClear(t, db))
	for _, m := range crypt.Migrations() {
		require.Zero(t, m.Refused)
		require.NotZero(t, m.Plaintext)
	}

	_, err = r.Finish(ctx, "email")
	require.NoError(t, err)
	_, err = two.Load(ctx, 1)
	require.ErrorIs(t, err, registry.ErrBehind)
	require.NoError(t, one.Poll(ctx))
	for id := 1; id <= rows; id++ {
		got, err := one.Load(ctx, int64(id))
		require.NoError(t, err)
		want := fmt.Sprintf("ada%d@example.com", id)
		if id%2 == 1 {
			want = fmt.Sprintf("new%d@example.com", id)
		}
		require.Equal(t, want, emailOf(t, got), "no write was lost")
	}

	// What is planted is an error now. The control: it was taken while it migrated.
	_, err = db.ExecContext(ctx, "UPDATE contacts SET email = 'eve@example.com' WHERE id = 2")
	require.NoError(t, err)
	_, err = one.Load(ctx, 2)
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
}

func TestRefusedSchemasDontGoIn(t *testing.T) {
	ctx := t.Context()
	r, db, crypt := open(t)
	c := process(t, r, crypt)
	require.NoError(t, c.Save(ctx, contact(1)))
	for name, text := range map[string]string{
		"another type":     `{"version":2,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"bytes","text":true}]}]}`,
		"no later version": `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"string","text":true}]}]}`,
		"strict over plaintext": `{"version":2,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"string","text":true},
			{"name":"email","type":"string","text":true}]}]}`,
		"without the module": `{"version":2,"modules":[{"name":"Leads","id":["id"],"fields":[{"name":"passport","type":"string"}]}]}`,
	} {
		_, err := r.Publish(ctx, parse(t, text))
		require.ErrorIs(t, err, registry.ErrRefused, name)
		s, err := r.InForce(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, s.Version, name)
	}
	_, err := r.Publish(ctx, &fieldcrypt.Schema{Version: 2, Modules: []fieldcrypt.Module{{Name: "Contacts"}}})
	require.ErrorIs(t, err, registry.ErrRefused)
	for name, change := range map[string]func() error{
		"no such migration": func() error { _, err := r.Finish(ctx, "email"); return err },
		"encrypted already": func() error { _, err := r.EncryptField(ctx, "passport", time.Now()); return err },
		"no field's name":   func() error { _, err := r.EncryptField(ctx, "e mail", time.Now()); return err },
		"the ID":            func() error { _, err := r.EncryptField(ctx, "id", time.Now()); return err },
	} {
		require.ErrorIs(t, change(), registry.ErrRefused, name)
	}

	// Of two administrators at once, one's schema is in force and the other's is
	// refused.
	results := make(chan error, 2)
	for range 2 {
		go func() { _, err := r.EncryptField(ctx, "email", time.Now().AddDate(0, 1, 0)); results <- err }()
	}
	a, b := <-results, <-results
	require.NotEqual(t, a == nil, b == nil, "%v; %v", a, b)

	// A table that somebody spoilt stops the processes, and says why.
	_, err = db.ExecContext(ctx, "INSERT INTO schemas (version, content) VALUES (9, '{}')")
	require.NoError(t, err)
	require.ErrorContains(t, c.Poll(ctx), "its version is 0")
	require.ErrorIs(t, c.Save(ctx, contact(2)), registry.ErrBehind)
}

// What needs a sweep goes in when a count shows that none is needed, or by its own
// name. A field that is forgotten before its rows are decrypted would show its
// envelopes as values.
func TestChangesThatNeedASweep(t *testing.T) {
	ctx := t.Context()
	r, db, crypt := open(t)
	c := process(t, r, crypt)
	require.NoError(t, c.Save(ctx, contact(1)))
	const module = `{"version":%d,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[%s]}]}`
	for name, fields := range map[string]string{
		"a field is gone":         `{"name":"email","type":"string","text":true,"migrating_until":"2099-01-01"}`,
		"another class":           `{"name":"passport","type":"string","text":true,"class":"papers"}`,
		"sealed as another field": `{"name":"passport","type":"string","text":true,"as":"People.passport"}`,
		"plaintext is taken":      `{"name":"passport","type":"string","text":true,"migrating_until":"2099-01-01"}`,
	} {
		_, err := r.Publish(ctx, parse(t, fmt.Sprintf(module, 2, fields)))
		require.ErrorIs(t, err, registry.ErrRefused, name)
		require.ErrorContains(t, err, "PublishSwept takes it", name)
	}
	s, err := r.InForce(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, s.Version)

	// A field that is new or not, of a module that other tables have.
	_, err = r.Publish(ctx, parse(t, `{"version":2,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"string","text":true}]},
		{"name":"Leads","id":["id"],"fields":[{"name":"email","type":"string"}]}]}`))
	require.NoError(t, err, "a new module")
	_, err = r.Publish(ctx, parse(t, `{"version":3,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"passport","type":"string","text":true}]},
		{"name":"Leads","id":["id"],"fields":[{"name":"email","type":"string"},{"name":"phone","type":"string"}]}]}`))
	require.ErrorIs(t, err, registry.ErrRefused, "nobody counted its table")

	// Decrypted, the field may go.
	_, err = db.ExecContext(ctx, "UPDATE contacts SET passport = 'X1'")
	require.NoError(t, err)
	_, err = r.PublishSwept(ctx, parse(t, fmt.Sprintf(module, 3, `{"name":"passport","type":"string","text":true,"migrating_until":"2099-01-01"},{"name":"email","type":"string","text":true,"migrating_until":"2099-01-01"}`)))
	require.NoError(t, err)
	_, err = r.Publish(ctx, parse(t, fmt.Sprintf(module, 4, `{"name":"email","type":"string","text":true,"migrating_until":"2099-01-01"}`)))
	require.NoError(t, err)
	_, err = r.PublishSwept(ctx, parse(t, fmt.Sprintf(module, 5, `{"name":"email","type":"bytes","text":true,"migrating_until":"2099-01-01"}`)))
	require.ErrorIs(t, err, registry.ErrRefused, "no sweep helps")
	_, err = r.PublishSwept(ctx, parse(t, fmt.Sprintf(module, 5, `{"name":"email","type":"string","text":true}`)))
	require.ErrorIs(t, err, registry.ErrRefused, "there is plaintext")
}

func TestRunPolls(t *testing.T) {
	r, db, crypt := open(t)
	c := process(t, r, crypt)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx, time.Millisecond, slog.New(slog.DiscardHandler)) })
	_, err := r.EncryptField(ctx, "email", time.Now().AddDate(0, 1, 0))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Save(ctx, contact(1)) == nil }, 10*time.Second, time.Millisecond)
	stop()
	running.Wait()
	require.Zero(t, inClear(t, db))
}
