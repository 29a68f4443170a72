package envelope

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

func newLog(t *testing.T) *TombstoneFile {
	t.Helper()
	log, err := CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones.jsonl"))
	require.NoError(t, err)
	return log
}

// snapshot copies a store, as a backup does.
func snapshot(m *MemoryStore) *MemoryStore {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemoryStore()
	c.names = append(c.names, m.names...)
	for at, k := range m.keys {
		c.keys[at] = &storedKey{k.copy(), k.taken}
	}
	for at, id := range m.active {
		c.active[at] = id
	}
	return c
}

// TestRestoredBackup: a key store that is restored from before a destruction
// doesn't bring the key back, with a tombstone log. Without one it does: the
// control.
func TestRestoredBackup(t *testing.T) {
	for _, c := range []struct {
		name string
		log  TombstoneLog
		want error
	}{{"with a log", newLog(t), ErrKeyDestroyed}, {"the control: without", nil, nil}} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				store := NewMemoryStore()
				p := &plainProvider{}
				r := plainRing(t, p, &Options{Store: store, Tombstones: c.log})
				env, id := sealFor(t, r, place("acme"))
				inline, err := r.Inline(t.Context(), place("acme").Scope, env)
				require.NoError(t, err)
				_, err = r.Rotate(t.Context(), place("acme").Scope)
				require.NoError(t, err)
				kept, _ := sealFor(t, r, place("acme"))
				key := nameOf(id)
				require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
				require.NoError(t, r.CancelDestroy(t.Context(), key, ops))
				backup := snapshot(store)
				require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
				time.Sleep(LeastWait)
				require.NoError(t, r.Destroy(t.Context(), key, confirmed(key)))

				restored := plainRing(t, p, &Options{Store: backup, Tombstones: c.log, AllowInline: true})
				for _, e := range [][]byte{env, inline} {
					_, err = restored.Open(t.Context(), place("acme"), e)
					require.ErrorIs(t, err, c.want)
				}
				_, err = restored.Open(t.Context(), place("acme"), kept)
				require.NoError(t, err, "another key's data")
				_, err = restored.Compact(t.Context(), place("acme").Scope, inline)
				require.ErrorIs(t, err, c.want)
				_, err = restored.Inline(t.Context(), place("acme").Scope, env)
				require.ErrorIs(t, err, c.want)

				n, err := restored.ApplyTombstones(t.Context())
				if c.log == nil {
					require.ErrorContains(t, err, "set Options.Tombstones")
					return
				}
				require.NoError(t, err)
				require.Equal(t, 1, n)
				rec, err := backup.Get(t.Context(), key.Scope, key.Purpose, id)
				require.NoError(t, err)
				require.Equal(t, StateDestroyed, rec.State)
				require.Empty(t, rec.Wrapped)
				require.Equal(t, ops.By, rec.Change.By)
				n, err = restored.ApplyTombstones(t.Context())
				require.NoError(t, err)
				require.Zero(t, n)
			})
		})
	}
}

// A key in memory stops when the log names it, also where the store was put
// back and says that it may open.
func TestTombstoneEndsKeysInMemory(t *testing.T) {
	log := newLog(t)
	bubble.Test(t, func(t *testing.T) {
		r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: log})
		env, id := sealFor(t, r, place("acme"))
		require.NoError(t, log.Append(t.Context(), Tombstone{nameOf(id), ops.change()}))
		time.Sleep(r.opts.StorePoll + time.Second)
		_, err := r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, ErrKeyDestroyed)
	})
}

// brokenLog can't be written or read.
type brokenLog struct{ TombstoneLog }

var errLog = errors.New("made-up failure of the log")

func (brokenLog) Append(context.Context, Tombstone) error { return errLog }
func (brokenLog) Read(context.Context, int64) ([]Tombstone, int64, error) {
	return nil, 0, errLog
}

// A log that fails refuses keys that aren't in memory, and destroys nothing.
// While the tombstone is being written, nobody brings the key back.
func TestCancelWhileDestroying(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		log := &meanwhileLog{TombstoneLog: newLog(t)}
		r, _, key := retired(t, &Options{Store: store, Tombstones: log})
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		time.Sleep(LeastWait)
		log.meanwhile = func() {
			for _, other := range []*KeyRing{
				plainRing(t, &plainProvider{}, &Options{Store: store}),
				plainRing(t, &plainProvider{}, &Options{Store: store, Tombstones: log.TombstoneLog}),
			} {
				require.ErrorIs(t, other.CancelDestroy(t.Context(), key, ops), ErrState)
			}
		}
		require.NoError(t, r.Destroy(t.Context(), key, confirmed(key)))
		require.Equal(t, StateDestroyed, stateOf(t, r, key))
	})
}

// meanwhileLog lets something happen just before a tombstone is written.
type meanwhileLog struct {
	TombstoneLog
	meanwhile func()
}

func (l *meanwhileLog) Append(ctx context.Context, t Tombstone) error {
	l.meanwhile()
	return l.TombstoneLog.Append(ctx, t)
}

// When the store fails after the log has the tombstone, the key is destroyed:
// nobody is told that he has brought it back. Destroy, called again, goes on.
func TestTombstoneWithoutDestruction(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &interruptedStore{MemoryStore: NewMemoryStore()}
		log := newLog(t)
		r, _, key := retired(t, &Options{Store: store, Tombstones: log})
		other := plainRing(t, &plainProvider{}, &Options{Store: store, Tombstones: log})
		_, err := other.Seal(t.Context(), place("globex"), AppendString(nil, "x")) // it has read the log
		require.NoError(t, err)
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		time.Sleep(LeastWait)
		ctx, cancel := context.WithCancel(t.Context())
		store.meanwhile = cancel
		require.ErrorIs(t, r.Destroy(ctx, key, confirmed(key)), context.Canceled)
		for _, ring := range []*KeyRing{r, other} {
			require.ErrorIs(t, ring.CancelDestroy(t.Context(), key, ops), ErrKeyDestroyed)
			require.Equal(t, StateScheduled, stateOf(t, r, key))
		}
		require.NoError(t, r.Destroy(t.Context(), key, confirmed(key)))
		require.Equal(t, StateDestroyed, stateOf(t, r, key))
	})
}

func TestBrokenTombstoneLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		p := &plainProvider{}
		writer := plainRing(t, p, &Options{Store: store})
		env, id := sealFor(t, writer, place("acme"))
		r := plainRing(t, p, &Options{Store: store, Tombstones: brokenLog{}})
		_, err := r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, errLog)
		require.ErrorIs(t, err, ErrStoreUnavailable)

		require.NoError(t, writer.Retire(t.Context(), nameOf(id), ops))
		require.NoError(t, writer.ScheduleDestroy(t.Context(), nameOf(id), LeastWait, ops))
		time.Sleep(LeastWait)
		err = r.Destroy(t.Context(), nameOf(id), confirmed(nameOf(id)))
		require.ErrorIs(t, err, errLog)
		require.ErrorContains(t, err, "its destruction has begun and can't be cancelled: call Destroy again")
		require.Equal(t, StateScheduled, stateOf(t, r, nameOf(id)))
		for _, late := range []error{ // the log may have it
			writer.CancelDestroy(t.Context(), nameOf(id), ops),
			writer.ScheduleDestroy(t.Context(), nameOf(id), 720*time.Hour, ops),
		} {
			require.ErrorIs(t, late, ErrState)
			require.ErrorContains(t, late, "its destruction has begun, and Destroy alone goes on")
		}
		mended := plainRing(t, p, &Options{Store: store, Tombstones: newLog(t)})
		require.NoError(t, mended.Destroy(t.Context(), nameOf(id), confirmed(nameOf(id))))
		require.NoError(t, mended.Destroy(t.Context(), nameOf(id), confirmed(nameOf(id))), "again")
		require.Equal(t, StateDestroyed, stateOf(t, r, nameOf(id)))
	})
}

// A key that was destroyed before there was a log is written there by the next
// call, once.
func TestTombstoneOfBefore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, p, log := NewMemoryStore(), &plainProvider{}, newLog(t)
		before := plainRing(t, p, &Options{Store: store})
		_, id := sealFor(t, before, place("acme"))
		require.NoError(t, before.Retire(t.Context(), nameOf(id), ops))
		require.NoError(t, before.ScheduleDestroy(t.Context(), nameOf(id), LeastWait, ops))
		time.Sleep(LeastWait)
		require.NoError(t, before.Destroy(t.Context(), nameOf(id), confirmed(nameOf(id))))

		r := plainRing(t, p, &Options{Store: store, Tombstones: log})
		for range 2 {
			require.NoError(t, r.Destroy(t.Context(), nameOf(id), confirmed(nameOf(id))))
			stones, _, err := log.Read(t.Context(), 0)
			require.NoError(t, err)
			require.Len(t, stones, 1)
			require.Equal(t, nameOf(id), stones[0].Key)
			require.Equal(t, ops.Why, stones[0].Change.Why)
		}
	})
}

func TestTombstoneFile(t *testing.T) {
	log := newLog(t)
	stones, next, err := log.Read(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, stones)
	require.Zero(t, next)

	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	want := []Tombstone{
		{KeyName{Scope{"acme", "crm"}, PurposeData, KeyID{1}}, Change{at, "ops", "shred"}},
		{KeyName{Scope{"a\x00\n\"é", "crm"}, PurposeLog, KeyID{2}}, Change{at, "ops\n", "\"quoted\"\u2028"}},
	}
	for _, s := range want {
		require.NoError(t, log.Append(t.Context(), s))
	}
	stones, next, err = log.Read(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, want, stones)

	more := Tombstone{KeyName{Scope{"globex", "crm"}, PurposeData, KeyID{3}}, Change{at, "ops", ""}}
	require.NoError(t, log.Append(t.Context(), more))
	stones, _, err = log.Read(t.Context(), next)
	require.NoError(t, err)
	require.Equal(t, []Tombstone{more}, stones)

	info, err := os.Stat(log.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// Many writers, each with a handle of its own, as processes have.
func TestTombstoneFileManyWriters(t *testing.T) {
	log := newLog(t)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own, err := OpenTombstoneFile(log.path)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range each {
				if err := own.Append(t.Context(), Tombstone{KeyName{Scope{"acme", "crm"}, PurposeData, KeyID{byte(w), byte(i)}}, ops.change()}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	stones, _, err := log.Read(t.Context(), 0)
	require.NoError(t, err)
	seen := map[KeyID]bool{}
	for _, s := range stones {
		seen[s.Key.ID] = true
	}
	require.Len(t, stones, writers*each)
	require.Len(t, seen, writers*each)
}

func TestTombstoneFileRefuses(t *testing.T) {
	stone := Tombstone{KeyName{Scope{"acme", "crm"}, PurposeData, KeyID{1}}, ops.change()}
	t.Run("a torn line", func(t *testing.T) {
		log := newLog(t)
		require.NoError(t, log.Append(t.Context(), stone))
		f, err := os.OpenFile(log.path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(`{"key_id":"01`)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		stones, _, err := log.Read(t.Context(), 0)
		require.NoError(t, err, "a line that is being written")
		require.Len(t, stones, 1)
		require.NoError(t, log.Append(t.Context(), stone))
		_, _, err = log.Read(t.Context(), 0)
		require.ErrorContains(t, err, "is damaged at byte")
		require.ErrorContains(t, err, "remove that line")
	})
	for name, line := range map[string]string{
		"no JSON": "made up\n", "another object": `{"id":1}` + "\n", "a short key ID": `{"key_id":"0102"}` + "\n", "no hex": `{"key_id":"xyz"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			log := newLog(t)
			require.NoError(t, os.WriteFile(log.path, []byte(line), 0o600))
			_, _, err := log.Read(t.Context(), 0)
			require.ErrorContains(t, err, "is damaged at byte 0")
		})
	}
	t.Run("shorter than it was", func(t *testing.T) {
		log := newLog(t)
		require.NoError(t, log.Append(t.Context(), stone))
		_, next, err := log.Read(t.Context(), 0)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(log.path, next-1))
		_, _, err = log.Read(t.Context(), next)
		require.ErrorContains(t, err, "it was cut or put back")
	})
	t.Run("gone", func(t *testing.T) {
		log := newLog(t)
		require.NoError(t, os.Remove(log.path))
		require.ErrorIs(t, log.Append(t.Context(), stone), os.ErrNotExist, "a log that is gone began anew")
		_, _, err := log.Read(t.Context(), 0)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	t.Run("no folder", func(t *testing.T) {
		_, err := CreateTombstoneFile(filepath.Join(t.TempDir(), "none", "log"))
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	t.Run("no file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		_, err := OpenTombstoneFile(path)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "if there never was one, make it with CreateTombstoneFile")
		require.NoFileExists(t, path)
	})
	t.Run("there already", func(t *testing.T) {
		log := newLog(t)
		_, err := CreateTombstoneFile(log.path)
		require.ErrorIs(t, err, os.ErrExist)
		require.ErrorContains(t, err, "open it with OpenTombstoneFile")
		_, err = OpenTombstoneFile(log.path)
		require.NoError(t, err)
	})
	t.Run("an ended call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		log := newLog(t)
		require.ErrorIs(t, log.Append(ctx, stone), context.Canceled)
		_, _, err := log.Read(ctx, 0)
		require.ErrorIs(t, err, context.Canceled)
	})
}
