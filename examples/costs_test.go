package examples_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

type costContact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email"`
}

// costs is a process in simulated time, and what it asks of the key service.
type costs struct {
	*testing.T
	store    envelope.KeyStore // nil: none
	crypt    *fieldcrypt.Crypt
	contacts *fieldcrypt.Records[costContact]
}

// start starts a process.
func (c *costs) start() {
	c.Helper()
	var err error
	c.crypt, err = fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
		&fieldcrypt.Options{Envelope: envelope.Options{Store: c.store}})
	require.NoError(c, err)
	c.contacts, err = fieldcrypt.For[costContact](c.crypt)
	require.NoError(c, err)
}

func (c *costs) restart() {
	c.Helper()
	require.NoError(c, c.crypt.Close())
	c.start()
}

// write writes a contact of each of n tenants and returns what a database
// would hold.
func (c *costs) write(n int) []costContact {
	c.Helper()
	page := make([]costContact, n)
	for i := range page {
		page[i] = costContact{ID: 1, Tenant: fmt.Sprint("tenant-", i), Email: fieldcrypt.Of("ada@example.com")}
	}
	require.NoError(c, c.contacts.EncryptAll(c.Context(), page))
	return page
}

func (c *costs) read(rows []costContact) {
	c.Helper()
	page := make([]costContact, len(rows))
	for i := range rows {
		page[i] = costContact{ID: rows[i].ID, Tenant: rows[i].Tenant}
		stored, err := rows[i].Email.Value()
		require.NoError(c, err)
		require.NoError(c, page[i].Email.Scan(stored))
	}
	require.NoError(c, c.contacts.DecryptAll(c.Context(), page))
}

func (c *costs) require(generated, unwrapped int) {
	c.Helper()
	synctest.Wait()
	require.Equal(c, envelope.Stats{GenerateDataKey: uint64(generated), Unwrap: uint64(unwrapped)}, c.crypt.Stats())
}

func inSimulatedTime(t *testing.T, test func(c *costs)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		c := &costs{T: t}
		c.start()
		defer func() { require.NoError(t, c.crypt.Close()) }()
		test(c)
	})
}

const day = 24 * time.Hour

// The sums of docs/costs.md, for tenants that are written and read every day.
func TestCostsOfAMonth(t *testing.T) {
	inSimulatedTime(t, func(c *costs) {
		const tenants, days = 100, 105 // 4 × 26.25
		for range days {
			c.read(c.write(tenants))
			time.Sleep(day)
		}
		synctest.Wait()
		stats := c.crypt.Stats()
		require.InDelta(t, tenants*4, stats.GenerateDataKey, tenants, "one data key for a tenant in 26.25 days")
		require.InDelta(t, 4000, stats.Unwrap*30/days, 40, "what it costs in 30 days to ask about the root key")
		require.Less(t, stats.Unwrap*30/days, uint64(4190))
	})
}

// Without a key store, a process that starts knows no data key.
func TestCostsOfAStart(t *testing.T) {
	inSimulatedTime(t, func(c *costs) {
		const tenants = 100
		rows := c.write(tenants)
		c.read(rows)
		c.require(tenants, 0)

		c.restart()
		c.read(rows)
		c.read(rows)
		c.require(0, tenants)
		more := c.write(tenants)
		c.require(tenants, tenants)

		c.restart()
		c.read(append(rows, more...))
		c.require(0, 2*tenants)
	})
}

// A data key that nobody used for a day is dropped. What follows is as after a
// start.
func TestCostsOfAPause(t *testing.T) {
	inSimulatedTime(t, func(c *costs) {
		rows := c.write(1)
		time.Sleep(day - time.Hour)
		before := c.crypt.Stats()
		c.read(rows)
		c.write(1)
		require.Equal(t, before, c.crypt.Stats())

		time.Sleep(day + time.Hour)
		before = c.crypt.Stats()
		c.read(rows)
		c.write(1)
		c.require(int(before.GenerateDataKey)+1, int(before.Unwrap)+1)
	})
}

// With a key store, N processes that start together make each data key once and
// unwrap it N - 1 times, and a later start unwraps it once, whether it reads or
// writes first.
func TestCostsWithAKeyStore(t *testing.T) {
	const tenants, processes = 20, 4
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "crm.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	keys, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)

	all := make([]*costs, processes)
	rows := make([][]costContact, processes)
	var g sync.WaitGroup
	for i := range all {
		all[i] = &costs{T: t, store: keys}
		all[i].start()
		g.Go(func() { rows[i] = all[i].write(tenants) })
	}
	g.Wait()
	var sum envelope.Stats
	for i, c := range all {
		c.read(rows[(i+1)%processes])
		stats := c.crypt.Stats()
		sum.GenerateDataKey, sum.Unwrap = sum.GenerateDataKey+stats.GenerateDataKey, sum.Unwrap+stats.Unwrap
	}
	require.Equal(t, envelope.Stats{GenerateDataKey: tenants, Unwrap: tenants * (processes - 1)}, sum)

	for i, c := range all {
		c.restart()
		if i%2 == 0 {
			c.read(rows[i])
			c.write(tenants)
		} else {
			c.write(tenants)
			c.read(rows[i])
		}
		require.Equal(t, envelope.Stats{Unwrap: tenants}, c.crypt.Stats())
		require.NoError(t, c.crypt.Close())
	}
}

// The first month of docs/costs.md: four processes that start anew every day.
func TestCostsOfAMonthWithAKeyStore(t *testing.T) {
	inSimulatedTime(t, func(c *costs) {
		const tenants, processes, days = 10, 4, 30
		store := envelope.NewMemoryStore()
		var rows []costContact
		var sum envelope.Stats
		for range days {
			var started []*costs
			for range processes {
				p := &costs{T: c.T, store: store}
				p.start()
				rows = append(rows, p.write(tenants)...)
				started = append(started, p)
			}
			for _, p := range started {
				p.read(rows)
			}
			time.Sleep(day)
			for _, p := range started {
				p.write(tenants)
				require.NoError(c, p.crypt.Close())
				stats := p.crypt.Stats()
				sum.GenerateDataKey, sum.Unwrap = sum.GenerateDataKey+stats.GenerateDataKey, sum.Unwrap+stats.Unwrap
			}
		}
		require.EqualValues(c, 2*tenants, sum.GenerateDataKey)
		require.InDelta(c, 134*tenants+processes*4000, sum.Unwrap, 400)
	})
}
