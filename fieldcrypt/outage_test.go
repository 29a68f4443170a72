package fieldcrypt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// An outage is a key service that answers every Unwrap with err, and a store
// that answers every Get with storeErr, where these aren't nil. It counts the
// calls by what they were asked.
type outage struct {
	kmsprovider.Provider
	envelope.KeyStore
	err, storeErr error

	mutex sync.Mutex
	asked map[string]int
	got   map[envelope.KeyID]int
}

func newOutage(store envelope.KeyStore) *outage {
	return &outage{Provider: fieldcrypttest.Provider(), KeyStore: store, asked: map[string]int{}, got: map[envelope.KeyID]int{}}
}

func (o *outage) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	o.mutex.Lock()
	o.asked[string(wrapped)]++
	o.mutex.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	return o.Provider.Unwrap(ctx, rootKey, wrapped, ec)
}

func (o *outage) Get(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (envelope.Record, error) {
	o.mutex.Lock()
	o.got[id]++
	o.mutex.Unlock()
	if o.storeErr != nil {
		return envelope.Record{}, o.storeErr
	}
	return o.KeyStore.Get(ctx, scope, purpose, id)
}

// calls returns how many keys were asked for, and how often in all.
func (o *outage) calls() (keys, calls int) {
	for _, n := range o.asked {
		calls += n
	}
	return len(o.asked), calls
}

func (o *outage) records(t testing.TB) *fieldcrypt.Records[contact] {
	t.Helper()
	opts := &fieldcrypt.Options{}
	if o.KeyStore != nil {
		opts.Envelope.Store = o
	}
	crypt, err := fieldcrypt.New(o, fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	return records[contact](t, crypt)
}

// scannedPage returns rows of some tenants as they were read, of one field each.
func scannedPage(t testing.TB, store envelope.KeyStore, rows, tenants int) []contact {
	t.Helper()
	sealer := newOutage(store).records(t)
	page := make([]contact, rows)
	for i := range page {
		page[i] = contact{ID: int64(i + 1), Tenant: fmt.Sprint("tenant", i%tenants), Email: fieldcrypt.Of("x")}
	}
	require.NoError(t, sealer.EncryptAll(t.Context(), page))
	for i := range page {
		require.NoError(t, page[i].Email.Scan(envelopeOf(t, page[i].Email)))
	}
	return page
}

// While the key service is away, a page waits for it once per key, and not
// once per row.
func TestAPageAsksOncePerKey(t *testing.T) {
	const rows = 100
	stores := map[string]func() envelope.KeyStore{
		"reference": func() envelope.KeyStore { return envelope.NewMemoryStore() },
		"inline":    func() envelope.KeyStore { return nil },
	}
	answers := map[string]error{
		"the service answers": nil,
		"away":                kmsprovider.ErrUnavailable,
		"throttled":           kmsprovider.ErrThrottled,
		"denied":              kmsprovider.ErrDenied,
		"unusable":            kmsprovider.ErrKeyUnusable,
	}
	for mode, store := range stores {
		for _, tenants := range []int{1, 4} {
			for name, answer := range answers {
				t.Run(fmt.Sprintf("%s/%d keys/%s", mode, tenants, name), func(t *testing.T) {
					s := store()
					page := scannedPage(t, s, rows, tenants)

					o := newOutage(s)
					o.err = answer
					err := o.records(t).DecryptAll(t.Context(), page)
					keys, calls := o.calls()
					require.Equal(t, [2]int{tenants, tenants}, [2]int{keys, calls}, "Decrypt: keys and calls")
					if answer == nil {
						require.NoError(t, err)
						requirePlain(t, "x", page[rows-1].Email)
						return
					}
					var failed *fieldcrypt.DecryptError
					require.ErrorAs(t, err, &failed)
					require.Len(t, failed.Failures, rows)
					require.ErrorContains(t, err, fmt.Sprintf("(the same for %d values, rows: %d)", rows, rows))
					for i := range page {
						require.ErrorIs(t, failed.Failures[i].Err, answer)
						_, err := page[i].Email.Plain()
						require.ErrorIs(t, err, answer)
						require.ErrorContains(t, err, fmt.Sprintf("record %q", fmt.Sprint(i+1)), "whose value it is")
					}

					page = scannedPage(t, s, rows, tenants)
					o = newOutage(s)
					o.err = answer
					require.ErrorIs(t, o.records(t).EncryptAll(t.Context(), page), answer)
					keys, calls = o.calls()
					require.Equal(t, [2]int{tenants, tenants}, [2]int{keys, calls}, "Encrypt, which verifies: keys and calls")
				})
			}
		}
	}
}

// The same for a key store that is away, or doesn't have the key.
func TestAPageAsksTheStoreOncePerKey(t *testing.T) {
	for name, answer := range map[string]error{
		"away": context.DeadlineExceeded, "no such key": envelope.ErrKeyNotFound, "destroyed": envelope.ErrKeyDestroyed,
	} {
		t.Run(name, func(t *testing.T) {
			store := envelope.NewMemoryStore()
			page := scannedPage(t, store, 100, 1)
			o := newOutage(store)
			o.storeErr = answer
			require.ErrorIs(t, o.records(t).DecryptAll(t.Context(), page), answer)
			require.Len(t, o.got, 1)
			for _, n := range o.got {
				require.Equal(t, 1, n)
			}
		})
	}
}

// A wrapped key that isn't one is found out twice at most: the first cell can't
// tell that from bad bytes of its own.
func TestAPageWithAFalseKey(t *testing.T) {
	store := envelope.NewMemoryStore()
	page := scannedPage(t, store, 100, 1)
	o := newOutage(store)
	o.err = kmsprovider.ErrInvalidCiphertext
	require.ErrorIs(t, o.records(t).DecryptAll(t.Context(), page), envelope.ErrNotAuthentic)
	_, calls := o.calls()
	require.LessOrEqual(t, calls, 2)
}

// One bad cell is no outage: what comes after it is opened.
func TestABadCellAmongOthersOfItsKey(t *testing.T) {
	store := envelope.NewMemoryStore()
	for at := range 3 {
		page := scannedPage(t, store, 3, 1)
		page[at].ID = 99
		o := newOutage(store)
		err := o.records(t).DecryptAll(t.Context(), page)
		var failed *fieldcrypt.DecryptError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failures, 1)
		require.Equal(t, at, failed.Failures[0].Row)
		for i := range page {
			if i != at {
				requirePlain(t, "x", page[i].Email)
			}
		}
		_, calls := o.calls()
		require.Equal(t, 1, calls)
	}
}
