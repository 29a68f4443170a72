package examples_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// What docs/operations.md tells operators to do is done here. Its Go blocks are
// parts of this file: see TestRunbooksAreThoseOfThePage.

type Contact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
}

// service is a process of a service, with its database.
type service struct {
	*testing.T
	crypt    *fieldcrypt.Crypt
	contacts *fieldcrypt.Records[Contact]
	db       *sql.DB
	events   events
}

// events are what a process was told.
type events struct {
	sync.Mutex
	kinds []envelope.EventKind
}

func (e *events) tell(event envelope.Event) {
	e.Lock()
	defer e.Unlock()
	e.kinds = append(e.kinds, event.Kind)
}

// told is the events so far, without those of each call that failed.
func (s *service) told() []envelope.EventKind {
	synctest.Wait()
	s.events.Lock()
	defer s.events.Unlock()
	return slices.DeleteFunc(slices.Clone(s.events.kinds), func(k envelope.EventKind) bool { return k == envelope.CallFailed })
}

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "crm.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)") // nobody needs it after a crash
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), `CREATE TABLE contacts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, email BLOB)`)
	require.NoError(t, err)
	return db
}

func store(t *testing.T, db *sql.DB) *sqlstore.Store {
	t.Helper()
	keys, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	return keys
}

// startService starts a process.
func startService(t *testing.T, db *sql.DB, kms kmsprovider.Provider, roots envelope.RootKeySource, opts envelope.Options) *service {
	t.Helper()
	s := &service{T: t, db: db}
	opts.OnEvent = s.events.tell
	var err error
	s.crypt, err = fieldcrypt.New(kms, roots, &fieldcrypt.Options{Envelope: opts})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.crypt.Close()) })
	s.contacts, err = fieldcrypt.For[Contact](s.crypt)
	require.NoError(t, err)
	return s
}

func (s *service) ring() *envelope.KeyRing { return s.crypt.KeyRing() }

// save writes a contact of a tenant.
func (s *service) save(id int64, tenant string) error {
	c := Contact{ID: id, Tenant: tenant, Email: fieldcrypt.Of(fmt.Sprintf("%d@%s.example.com", id, tenant))}
	if err := s.contacts.Encrypt(context.Background(), &c); err != nil {
		return err
	}
	_, err := s.db.Exec(`INSERT OR REPLACE INTO contacts VALUES (?, ?, ?)`, c.ID, c.Tenant, c.Email)
	return err
}

// read reads a contact, and says with which data key it is sealed.
func (s *service) read(id int64) (key envelope.KeyName, err error) {
	var c Contact
	var sealed []byte
	if err := s.db.QueryRow(`SELECT id, tenant, email, email FROM contacts WHERE id = ?`, id).Scan(&c.ID, &c.Tenant, &c.Email, &sealed); err != nil {
		return key, err
	}
	info, err := envelope.Inspect(sealed)
	require.NoError(s, err)
	key = envelope.KeyName{Scope: fieldcrypt.Scope{Tenant: c.Tenant, Class: "default"}, Purpose: envelope.PurposeData, ID: info.KeyID}
	if err := s.contacts.Decrypt(context.Background(), &c); err != nil {
		return key, err
	}
	email, err := c.Email.Plain()
	require.NoError(s, err)
	require.Equal(s, fmt.Sprintf("%d@%s.example.com", id, c.Tenant), email)
	return key, nil
}

func (s *service) mustRead(id int64) envelope.KeyName {
	s.Helper()
	key, err := s.read(id)
	require.NoError(s, err)
	return key
}

func keyFile(t *testing.T) (*localkms.Provider, fieldcrypt.RootKeys) {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kms.Close()) })
	return kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}
}

func state(t *testing.T, keys envelope.KeyStore, key envelope.KeyName) envelope.State {
	t.Helper()
	states, err := keys.States(t.Context(), []envelope.KeyName{key})
	require.NoError(t, err)
	return states[0]
}

var who = envelope.Reason{By: "ada@example.com", Why: "ticket 4711"}

// Deployment: a service that sealed inline gets a store.
func TestRunbookAddingAStore(t *testing.T) {
	ctx := t.Context()
	check := func(err error) { t.Helper(); require.NoError(t, err) }
	kms, roots := keyFile(t)
	db := database(t)
	inline := startService(t, db, kms, roots, envelope.Options{})
	check(inline.save(1, "acme"))
	check(inline.save(2, "acme"))

	keys := store(t, db)
	s := startService(t, db, kms, roots, envelope.Options{Store: keys, AllowInline: true})
	s.mustRead(1)
	check(s.save(3, "acme"))
	_, err := inline.read(3)
	require.ErrorIs(t, err, envelope.ErrModeNotAllowed, "a process of before")
	require.ErrorContains(t, err, "set Options.Store")

	ring := s.ring()
	rows, err := db.QueryContext(ctx, `SELECT id, tenant, email FROM contacts WHERE substr(email, 1, 3) = x'fc0102' LIMIT 500`)
	check(err)
	defer rows.Close()
	type row struct {
		id     int64
		tenant string
		email  []byte
	}
	var page []row
	for rows.Next() {
		var r row
		check(rows.Scan(&r.id, &r.tenant, &r.email))
		page = append(page, r)
	}
	check(rows.Err())
	for _, r := range page {
		compact, err := ring.Compact(ctx, envelope.Scope{Tenant: r.tenant}, r.email)
		check(err)
		_, err = db.ExecContext(ctx, `UPDATE contacts SET email = ? WHERE id = ? AND email = ?`, compact, r.id, r.email)
		check(err)
	}
	require.Len(t, page, 2)

	s = startService(t, db, kms, roots, envelope.Options{Store: keys})
	for id := range int64(3) {
		s.mustRead(id + 1)
	}
}

func TestRunbookOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		t.Cleanup(srv.Close)
		kms, err := awskms.New(srv.Config(), nil)
		require.NoError(t, err)
		roots := fieldcrypt.RootKeys{Seal: "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{})}
		db := database(t)
		opts := envelope.Options{Store: store(t, db)}
		s := startService(t, db, kms, roots, opts)
		require.NoError(t, s.save(1, "acme"))

		repair := srv.Inject(fakekms.Fault{Break: fakekms.Drop})
		time.Sleep(30 * time.Minute)
		s.mustRead(1)
		require.NoError(t, s.save(2, "acme"))
		began := time.Now()
		require.ErrorIs(t, s.save(3, "globex"), kmsprovider.ErrUnavailable, "a data key that isn't in memory")
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		_, err = startService(t, db, kms, roots, opts).read(1)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable, "a process that starts now")
		require.Equal(t, []envelope.EventKind{envelope.KeyMade, envelope.RootKeyAway}, s.told())

		ring := s.crypt.KeyRing()
		for _, h := range ring.Health() {
			fmt.Println(h) // away since, and until when the keys in memory serve
		}
		health := ring.Health()
		require.Len(t, health, 1)
		require.Contains(t, health[0].String(), "away since its answer at ")
		require.Contains(t, health[0].String(), "keys in memory serve until ")

		time.Sleep(40 * time.Minute)
		_, err = s.read(1)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable, "after OutageGrace")
		require.Contains(t, s.told(), envelope.GraceEnded)
		repair()
		s.mustRead(1)
		require.NoError(t, s.save(3, "globex"))
	})
}

// A refusal is no outage.
func TestRunbookRefusal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		t.Cleanup(srv.Close)
		kms, err := awskms.New(srv.Config(), nil)
		require.NoError(t, err)
		key := srv.CreateKey(fakekms.KeyOptions{})
		db := database(t)
		s := startService(t, db, kms, fieldcrypt.RootKeys{Seal: "aws-kms://" + key}, envelope.Options{Store: store(t, db)})
		require.NoError(t, s.save(1, "acme"))
		srv.Disable(key)
		time.Sleep(15 * time.Minute)
		_, err = s.read(1)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.Contains(t, s.told(), envelope.RootKeyRefused)
		srv.Enable(key)
		s.mustRead(1)
	})
}

func TestRunbookThrottling(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		t.Cleanup(srv.Close)
		kms, err := awskms.New(srv.Config(), nil)
		require.NoError(t, err)
		roots := fieldcrypt.RootKeys{Seal: "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{})}
		db := database(t)
		s := startService(t, db, kms, roots, envelope.Options{Store: store(t, db)})
		require.NoError(t, s.save(1, "acme"))

		half := srv.Inject(fakekms.Fault{Error: "ThrottlingException", Rate: 0.5})
		for i := range int64(20) {
			require.NoError(t, s.save(2+i, fmt.Sprint("tenant-", i)), "slower, and served")
		}
		half()
		all := srv.Inject(fakekms.Fault{Error: "ThrottlingException"})
		began := time.Now()
		require.ErrorIs(t, s.save(50, "initech"), kmsprovider.ErrThrottled)
		require.InDelta(t, 30, time.Since(began).Seconds(), 1, "LoadTimeout")
		s.mustRead(1)
		all()

		before := s.crypt.Stats()
		require.NoError(t, s.save(51, "hooli"))
		now := s.crypt.Stats()
		require.Equal(t, uint64(1), now.GenerateDataKey-before.GenerateDataKey)
		require.Zero(t, now.Unwrap-before.Unwrap)
	})
}

func TestRunbookDataKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		check := func(err error) { t.Helper(); require.NoError(t, err) }
		kms, roots := keyFile(t)
		db := database(t)
		keys := store(t, db)
		s, other := startService(t, db, kms, roots, envelope.Options{Store: keys}), startService(t, db, kms, roots, envelope.Options{Store: keys})
		for id := range int64(600) {
			check(s.save(1+id, "acme"))
		}
		check(s.save(5000, "globex"))
		key := other.mustRead(1)
		check(other.save(2000, "acme"))

		ring := s.crypt.KeyRing()
		references := func(ctx context.Context, key envelope.KeyName) (n int64, err error) {
			err = db.QueryRowContext(ctx, `SELECT count(*) FROM contacts WHERE tenant = ? AND substr(email, 4, 32) = ?`, key.Scope.Tenant, key.ID[:]).Scan(&n)
			return n, err
		}
		n, err := references(ctx, key)
		check(err)
		require.EqualValues(t, 601, n)
		sweeper, err := sweep.New(db, sweep.SQLite, nil)
		check(err)
		table := sweep.Table{Name: "contacts", Rows: s.contacts.Rows()}
		go func() { // a process that hasn't noticed yet
			time.Sleep(time.Second)
			_ = other.save(2001, "acme")
		}()
		report, err := sweeper.RotateKeys(ctx, key.Scope, who, nil, table)
		fmt.Print(report)
		check(err)
		require.True(t, report.Proved())
		synctest.Wait()

		n, err = references(ctx, key)
		check(err)
		require.Zero(t, n)
		require.Equal(t, report.Key, s.mustRead(1).ID)
		require.Equal(t, report.Key, s.mustRead(2001).ID)
		check(other.save(2002, "acme"))
		require.Equal(t, report.Key, s.mustRead(2002).ID)

		check(ring.Suspend(ctx, key, who)) // ring.Resume takes it back
		require.Equal(t, envelope.StateSuspended, state(t, keys, key))
		s.mustRead(599)
		check(ring.Resume(ctx, key, who))
		check(ring.Suspend(ctx, key, who))
		destroyed(t, ring, key, references)
	})
}

// destroyed schedules and destroys a key, which takes a day.
func destroyed(t *testing.T, ring *envelope.KeyRing, key envelope.KeyName, references func(context.Context, envelope.KeyName) (int64, error)) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) { t.Helper(); require.NoError(t, err) }
	const typed = ""                                         // by a person
	check(ring.ScheduleDestroy(ctx, key, 24*time.Hour, who)) // ring.CancelDestroy takes it back
	require.ErrorIs(t, ring.Destroy(ctx, key, envelope.Destruction{Reason: who, Word: typed, References: references}), envelope.ErrNotConfirmed)
	early := ring.Destroy(ctx, key, envelope.Destruction{Reason: who, Word: "destroy " + key.ID.String(), References: references})
	require.ErrorIs(t, early, envelope.ErrState)
	time.Sleep(24 * time.Hour)
	func(typed string) {
		check(ring.Destroy(ctx, key, envelope.Destruction{
			Reason:     who,
			Word:       typed, // "destroy " and the key's ID in hex, typed by a person
			References: references,
		}))
	}("destroy " + key.ID.String())
}

func TestRunbookRootKey(t *testing.T) {
	ctx := t.Context()
	check := func(err error) { t.Helper(); require.NoError(t, err) }
	kms, _ := keyFile(t)
	oldKey := kms.RootKey()
	newKey, err := kms.AddRootKey(ctx, "second")
	check(err)
	db := database(t)
	keys := store(t, db)
	opts := envelope.Options{Store: keys}
	s := startService(t, db, kms, fieldcrypt.RootKeys{Seal: oldKey}, opts)
	check(s.save(1, "acme"))
	check(s.save(2, "globex"))
	var taken []byte
	check(db.QueryRowContext(ctx, `SELECT group_concat(taken) FROM fieldcrypt_keys`).Scan(&taken))
	require.Equal(t, "1024,1024", string(taken), "of each key, used or not")

	// First deployment: readers.
	readers := fieldcrypt.RootKeys{Seal: oldKey, Open: []string{newKey}}
	// Second: writers.
	writers := fieldcrypt.RootKeys{Seal: newKey, Open: []string{oldKey}}
	first, second := startService(t, db, kms, readers, opts), startService(t, db, kms, writers, opts)

	ring := second.crypt.KeyRing()
	report, err := ring.RotateAll(ctx, envelope.Filter{RootKey: oldKey}, nil)
	check(err)
	require.Equal(t, 2, report.Rotated)
	check(second.save(3, "acme"))
	first.mustRead(3)
	_, err = s.read(3)
	require.ErrorIs(t, err, envelope.ErrRootKeyNotAllowed, "the control: a process that the first deployment left out")

	_, err = startService(t, db, kms, fieldcrypt.RootKeys{Seal: newKey}, opts).read(1)
	require.ErrorIs(t, err, envelope.ErrRootKeyNotAllowed, "the control: taken out of the configuration too early")

	one, err := ring.Rewrap(ctx, envelope.Filter{Tenant: "acme"}, newKey, nil)
	check(err)
	require.NotZero(t, one.Left[oldKey], "the control: another tenant's data keys need it")
	require.Contains(t, one.String(), "records of the whole key store need "+oldKey+"\n")

	rewrapped, err := ring.Rewrap(ctx, envelope.Filter{}, newKey, nil)
	fmt.Print(rewrapped)
	check(err)
	require.Equal(t, []int{1, 3}, []int{rewrapped.Rewrapped, rewrapped.Already})

	left := rewrapped.Left[oldKey] // 0, if err is nil: no record needs it; oldKey is the key itself, never an alias
	require.Zero(t, left)
	only := startService(t, db, kms, fieldcrypt.RootKeys{Seal: newKey}, opts)
	only.mustRead(1)
	only.mustRead(3)
}

// Deployment: a region that no tenant is at home in yet.
func TestRunbookAddingARegion(t *testing.T) {
	us := fakekms.New(fakekms.Options{Region: "us-east-1"})
	t.Cleanup(us.Close)
	frankfurt := us.Region("eu-central-1")
	virginia, err := awskms.New(us.Config(), nil)
	require.NoError(t, err)
	inFrankfurt, err := awskms.New(frankfurt.Config(), nil)
	require.NoError(t, err)
	config := residency.Config{
		Regions: []residency.Region{{Name: "us", RootKey: "aws-kms://" + us.CreateKey(fakekms.KeyOptions{}), Call: []kmsprovider.Provider{virginia}}},
		Default: "us",
	}
	router, err := residency.New(config)
	require.NoError(t, err)
	eu := residency.Region{Name: "eu", RootKey: "aws-kms://" + frankfurt.CreateKey(fakekms.KeyOptions{}), Call: []kmsprovider.Provider{inFrankfurt}}

	config.Regions = append(config.Regions, eu)
	require.ErrorContains(t, router.Replace(config), "no rule leads to it")
	config.Regions = config.Regions[:1]

	config.Regions = append(config.Regions, eu)
	config.Tenants = append(config.Tenants, residency.Rule{Tenant: "probe-eu", Region: "eu"})

	require.NoError(t, router.Replace(config))
	require.NoError(t, router.CheckAll(t.Context()))
	db := database(t)
	s := startService(t, db, router, envelope.RootKeysByTenant(router.RootKeys), envelope.Options{Store: store(t, db)})
	require.NoError(t, s.save(1, "probe-eu"))
	s.mustRead(1)
	require.Equal(t, 1, frankfurt.Count("GenerateDataKey"))
	require.Zero(t, us.Count("GenerateDataKey"))
}

func TestRunbookRegion(t *testing.T) {
	ctx := t.Context()
	check := func(err error) { t.Helper(); require.NoError(t, err) }
	us := fakekms.New(fakekms.Options{Region: "us-east-1"})
	t.Cleanup(us.Close)
	eu := us.Region("eu-central-1")
	usKey, euKey := "aws-kms://"+us.CreateKey(fakekms.KeyOptions{}), "aws-kms://"+eu.CreateKey(fakekms.KeyOptions{})
	virginia, err := awskms.New(us.Config(), nil)
	check(err)
	frankfurt, err := awskms.New(eu.Config(), nil)
	check(err)

	config := residency.Config{
		Regions: []residency.Region{
			{Name: "us", RootKey: usKey, Call: []kmsprovider.Provider{virginia}, Within: []string{"us-*"}},
			{Name: "eu", RootKey: euKey, Call: []kmsprovider.Provider{frankfurt}, Within: []string{"eu-*"}},
		},
		Tenants: []residency.Rule{{Tenant: "eu-*", Region: "eu"}},
		Default: "us",
	}
	router, err := residency.New(config)
	check(err)
	check(router.CheckAll(ctx))
	db := database(t)
	stores := map[string]*sqlstore.Store{"us": store(t, db), "eu": store(t, database(t))}
	keys, err := sqlstore.NewRouter(
		func(s envelope.Scope) (string, error) { return router.Region(s.Tenant) },
		func(_ context.Context, region string) (envelope.KeyStore, error) { return stores[region], nil },
		nil,
	)
	check(err)
	t.Cleanup(func() { check(keys.Close()) })
	opts := envelope.Options{Store: keys, StorePoll: 10 * time.Millisecond}
	s := startService(t, db, router, envelope.RootKeysByTenant(router.RootKeys), opts)
	check(s.save(1, "globex"))
	_, err = s.crypt.Rotate(ctx, fieldcrypt.Scope{Tenant: "globex"})
	check(err)
	check(s.save(2, "globex"))
	suspended := s.mustRead(1)
	check(s.ring().Suspend(ctx, suspended, who))

	from, to := stores["us"], stores["eu"]
	for range 2 { // it may be run again
		for rec, err := range envelope.List(ctx, from, envelope.Filter{Tenant: "globex"}) {
			check(err)
			if rec.State == envelope.StateDestroyed {
				continue // the tombstone log knows it
			}
			err := to.Insert(ctx, rec) // as a retired key: it opens
			if !errors.Is(err, envelope.ErrConflict) {
				check(err) // else it is there already
			}
			if rec.State == envelope.StateSuspended || rec.State == envelope.StateScheduled {
				inserted := rec
				inserted.State = envelope.StateRetired
				err := to.Update(ctx, inserted, rec)
				if !errors.Is(err, envelope.ErrConflict) {
					check(err)
				}
			}
		}
	}

	config.Tenants = append(config.Tenants, residency.Rule{Tenant: "globex", Region: "eu", From: []string{"us"}})
	check(router.Replace(config)) // in all processes, or a deployment of all

	ring := s.ring()
	_, err = ring.Rotate(ctx, envelope.Scope{Tenant: "globex"})
	check(err)
	check(s.save(3, "globex"))
	key := s.mustRead(3)
	rec, err := stores["eu"].Get(ctx, key.Scope, key.Purpose, key.ID)
	check(err)
	require.Equal(t, euKey, rec.RootKey)
	require.Equal(t, envelope.StateActive, rec.State)

	cold := startService(t, db, router, envelope.RootKeysByTenant(router.RootKeys), opts)
	cold.mustRead(2)
	cold.mustRead(3)
	_, err = cold.read(1)
	require.ErrorIs(t, err, envelope.ErrKeyNotFound, "suspended before, and after")
	require.ErrorContains(t, err, "suspended")

	// The old store is of no use to the tenant any more.
	_, err = db.ExecContext(ctx, "DELETE FROM fieldcrypt_keys WHERE tenant = ?", []byte("globex"))
	check(err)
	check(cold.ring().Resume(ctx, suspended, who))
	cold.mustRead(1)
	for _, h := range router.Health(euKey) {
		t.Log(h)
	}
	require.Nil(t, router.Health(euKey), "it has one provider")
}

// page is docs/operations.md.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	return string(text)
}

// sqlBlock returns the statements of the page's SQL block that starts so.
func sqlBlock(t *testing.T, start string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page(t), "```sql\n"+start)
	require.True(t, ok, start)
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return start + body
}

// backup copies a table, as a dump that was restored beside it.
func backup(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `CREATE TABLE restored_keys AS SELECT * FROM fieldcrypt_keys`)
	require.NoError(t, err)
}

func TestRunbookLostKeyStore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		check := func(err error) { t.Helper(); require.NoError(t, err) }
		kms, roots := keyFile(t)
		db := database(t)
		keys := store(t, db)
		log, err := envelope.CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
		check(err)
		opts := envelope.Options{Store: keys, Tombstones: log}
		s := startService(t, db, kms, roots, opts)
		for id, tenant := range []string{"acme", "globex", "initech"} {
			check(s.save(int64(1+id), tenant))
		}
		gone := s.mustRead(3)
		backup(t, db)

		// After the backup: a key is destroyed, and a key is made.
		check(s.ring().Suspend(ctx, gone, who))
		destroyed(t, s.ring(), gone, func(context.Context, envelope.KeyName) (int64, error) { return 0, nil })
		check(s.save(4, "hooli"))

		_, err = db.ExecContext(ctx, "DELETE FROM fieldcrypt_keys")
		check(err)
		time.Sleep(time.Minute)
		s.mustRead(1) // in memory
		check(s.save(5, "acme"))
		s.mustRead(5)
		_, err = startService(t, db, kms, roots, opts).read(1)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, "a process that starts now")

		for range 2 { // it may be run again
			_, err = db.ExecContext(ctx, sqlBlock(t, "-- Rows of a backup"))
			check(err)
		}
		ring := startService(t, db, kms, roots, opts).ring()
		n, err := ring.ApplyTombstones(ctx)
		check(err)
		require.Equal(t, 1, n)

		cold := startService(t, db, kms, roots, opts)
		for _, id := range []int64{1, 2, 5} {
			cold.mustRead(id)
		}
		_, err = cold.read(3)
		require.ErrorIs(t, err, envelope.ErrKeyDestroyed)
		_, err = cold.read(4)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, "made after the backup: lost")
		check(cold.save(6, "globex"))

		missing := map[envelope.KeyName]int{}
		rows, err := db.QueryContext(ctx, `SELECT tenant, substr(email, 4, 32), count(*) FROM contacts WHERE email IS NOT NULL GROUP BY 1, 2`)
		check(err)
		defer rows.Close()
		for rows.Next() {
			key, id, n := envelope.KeyName{Purpose: envelope.PurposeData}, []byte(nil), 0
			check(rows.Scan(&key.Scope.Tenant, &id, &n))
			key.ID = envelope.KeyID(id)
			missing[key] = n
		}
		check(rows.Err())
		for key := range missing {
			states, err := keys.States(ctx, []envelope.KeyName{key})
			check(err)
			if states[0] != "" {
				delete(missing, key)
			}
		}
		require.Len(t, missing, 1)
		for key := range missing {
			require.Equal(t, "hooli", key.Scope.Tenant)
		}
	})
}

func TestRunbookRestore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		check := func(err error) { t.Helper(); require.NoError(t, err) }
		kms, roots := keyFile(t)
		db := database(t)
		keys := store(t, db)
		log, err := envelope.CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
		check(err)
		opts := envelope.Options{Store: keys, Tombstones: log}
		s := startService(t, db, kms, roots, opts)
		check(s.save(1, "acme"))
		check(s.save(2, "globex"))
		gone, kept := s.mustRead(1), s.mustRead(2)
		file := filepath.Join(t.TempDir(), "backup.db")
		_, err = db.ExecContext(ctx, "VACUUM INTO ?", file)
		check(err)
		check(s.ring().Suspend(ctx, gone, who))
		destroyed(t, s.ring(), gone, func(context.Context, envelope.KeyName) (int64, error) { return 0, nil })

		restored, err := sql.Open("sqlite", file)
		check(err)
		t.Cleanup(func() { check(restored.Close()) })
		opts.Store = store(t, restored)
		require.Equal(t, envelope.StateActive, state(t, opts.Store, gone), "it came back")
		_, err = startService(t, restored, kms, roots, opts).read(1)
		require.ErrorIs(t, err, envelope.ErrKeyDestroyed, "and opens nothing, with the log")
		unlogged := opts
		unlogged.Tombstones = nil
		startService(t, restored, kms, roots, unlogged).mustRead(1) // the control

		ring := startService(t, restored, kms, roots, opts).crypt.KeyRing()
		n, err := ring.ApplyTombstones(ctx)
		check(err)
		require.Equal(t, 1, n)
		report, err := ring.RotateAll(ctx, envelope.Filter{}, nil)
		check(err)
		require.Equal(t, 1, report.Rotated)
		require.Equal(t, envelope.StateDestroyed, state(t, opts.Store, gone))
		require.Equal(t, envelope.StateRetired, state(t, opts.Store, kept))
		_, err = startService(t, restored, kms, roots, unlogged).read(1)
		require.ErrorIs(t, err, envelope.ErrKeyDestroyed, "without the log too")
		startService(t, restored, kms, roots, opts).mustRead(2)
	})
}

func TestRunbookTenant(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		check := func(err error) { t.Helper(); require.NoError(t, err) }
		kms, roots := keyFile(t)
		db := database(t)
		keys := store(t, db)
		log, err := envelope.CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
		check(err)
		s := startService(t, db, kms, roots, envelope.Options{Store: keys, Tombstones: log})
		check(s.save(1, "acme"))
		_, err = s.crypt.Rotate(ctx, fieldcrypt.Scope{Tenant: "acme"})
		check(err)
		check(s.save(2, "acme"))
		check(s.save(3, "globex"))
		ring := s.crypt.KeyRing()

		var names []envelope.KeyName
		for rec, err := range envelope.List(ctx, keys, envelope.Filter{Tenant: "acme"}) {
			check(err)
			if rec.State == envelope.StateDestroyed {
				continue
			}
			check(ring.Suspend(ctx, rec.Name(), who)) // ring.Resume takes it back
			names = append(names, rec.Name())
		}
		require.Len(t, names, 2)
		_, err = s.read(1)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
		s.mustRead(3)

		for _, name := range names {
			check(ring.ScheduleDestroy(ctx, name, 7*24*time.Hour, who)) // ring.CancelDestroy takes it back
		}
		references := func(ctx context.Context, key envelope.KeyName) (n int64, err error) {
			err = db.QueryRowContext(ctx, `SELECT count(*) FROM contacts WHERE tenant = ? AND substr(email, 4, 32) = ?`, key.Scope.Tenant, key.ID[:]).Scan(&n)
			return n, err
		}
		time.Sleep(7 * 24 * time.Hour)
		word := func(name envelope.KeyName) string { return "destroy " + name.ID.String() }
		for _, name := range names {
			require.ErrorIs(t, ring.Destroy(ctx, name, envelope.Destruction{Reason: who, Word: word(name), References: references}), envelope.ErrReferenced)
		}
		_, err = db.ExecContext(ctx, `DELETE FROM contacts WHERE tenant = 'acme'`)
		check(err)
		for _, name := range names {
			check(ring.Destroy(ctx, name, envelope.Destruction{Reason: who, Word: word(name), References: references}))
		}
		for _, name := range names {
			require.Equal(t, envelope.StateDestroyed, state(t, keys, name))
		}
		for rec, err := range envelope.List(ctx, keys, envelope.Filter{Tenant: "acme"}) {
			check(err)
			fmt.Println(rec.Name(), rec.State, rec.RootKey, rec.Change.By, rec.Change.Why)
		}
		stones, _, err := log.Read(ctx, 0)
		check(err)
		require.Len(t, stones, 2)
		s.mustRead(3)
	})
}

// A replica that lags becomes the primary: what it lacks comes from the old
// primary's disk.
func TestRunbookReplica(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ctx := t.Context()
		check := func(err error) { t.Helper(); require.NoError(t, err) }
		kms, roots := keyFile(t)
		db := database(t)
		keys := store(t, db)
		s := startService(t, db, kms, roots, envelope.Options{Store: keys})
		check(s.save(1, "acme"))
		_, err := s.crypt.Rotate(ctx, fieldcrypt.Scope{Tenant: "acme"}) // what the replica doesn't have
		check(err)
		check(s.save(2, "acme"))
		lost := s.mustRead(2)
		backup(t, db)
		_, err = db.ExecContext(ctx, `DELETE FROM fieldcrypt_keys WHERE key_id = ?; UPDATE fieldcrypt_keys SET state = 'active', taken = 0`, lost.ID[:])
		check(err)

		check(s.save(3, "acme"))
		require.Equal(t, lost, s.mustRead(3), "until it asks the store again")
		time.Sleep(16 * time.Second) // past StorePoll
		synctest.Wait()
		check(s.save(4, "acme"))
		require.NotEqual(t, lost, s.mustRead(4))

		cold := startService(t, db, kms, roots, envelope.Options{Store: keys})
		cold.mustRead(1)
		_, err = cold.read(2)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
		_, err = db.ExecContext(ctx, sqlBlock(t, "-- Rows of a backup"))
		check(err)
		_, err = cold.ring().RotateAll(ctx, envelope.Filter{}, nil)
		check(err)
		for _, id := range []int64{1, 2, 3, 4} {
			cold.mustRead(id)
		}
	})
}

// The health of several providers of a root key.
func TestRunbookProviders(t *testing.T) {
	frankfurt := fakekms.New(fakekms.Options{Region: "eu-central-1"})
	t.Cleanup(frankfurt.Close)
	dublin := frankfurt.Region("eu-west-1")
	key := frankfurt.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	replica := frankfurt.ReplicateKey(key, "eu-west-1")
	first, err := awskms.New(frankfurt.Config(), nil)
	require.NoError(t, err)
	second, err := awskms.New(dublin.Config(), &awskms.Options{Replicas: map[string]string{key: replica}})
	require.NoError(t, err)
	kms, err := failover.New([]kmsprovider.Provider{first, second}, nil)
	require.NoError(t, err)
	require.NoError(t, kms.CheckEach(t.Context(), "aws-kms://"+key))
	db := database(t)
	s := startService(t, db, kms, fieldcrypt.RootKeys{Seal: "aws-kms://" + key}, envelope.Options{Store: store(t, db)})
	frankfurt.Inject(fakekms.Fault{Status: 503})
	for id := range int64(3) {
		require.NoError(t, s.save(1+id, fmt.Sprint("tenant-", id)))
	}
	health := kms.Health()
	require.True(t, health[0].Last, "it is asked last")
	require.False(t, health[1].Last)
}

// Every Go block of the page is in this file, line by line, and so is compiled
// and run.
func TestRunbooksAreThoseOfThePage(t *testing.T) {
	source, err := os.ReadFile("runbooks_test.go")
	require.NoError(t, err)
	here := "\n" + unindented(string(source))
	blocks := 0
	for _, rest := range strings.Split(page(t), "```go\n")[1:] {
		block, _, ok := strings.Cut(rest, "```")
		require.True(t, ok)
		if !strings.Contains(here, "\n"+unindented(block)) { // require.Contains would print all of it
			t.Errorf("not in this file:\n%s", block)
		}
		blocks++
	}
	require.Greater(t, blocks, 8)
}

// unindented is a text whose lines begin at the left.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
