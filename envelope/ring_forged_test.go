package envelope

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// Someone who writes to the key store, and not to the tombstone log, edits rows.

// A plant is a key store with keys in all ages of their lives, an envelope
// sealed with each, and the log of what was destroyed.
type plant struct {
	provider *plainProvider
	log      TombstoneLog
	honest   *MemoryStore
	backup   *MemoryStore // from before the destruction
	keys     map[string]KeyID
	sealed   map[string][]byte // by reference
	inline   map[string][]byte // the same
}

const plantAge = 24 * time.Hour

// newPlant makes the keys "destroyed", "expired", "older" and "active" of acme,
// and "foreign" of globex.
func newPlant(t *testing.T, log TombstoneLog) *plant {
	t.Helper()
	w := &plant{provider: &plainProvider{}, log: log, honest: NewMemoryStore(), keys: map[string]KeyID{}, sealed: map[string][]byte{}, inline: map[string][]byte{}}
	r := plainRing(t, w.provider, &Options{Store: w.honest, KeyAge: plantAge, Tombstones: log})
	add := func(name, tenant string) {
		_, err := r.Rotate(t.Context(), place(tenant).Scope)
		require.NoError(t, err)
		w.sealed[name], w.keys[name] = sealFor(t, r, place(tenant))
		w.inline[name], err = r.Inline(t.Context(), place(tenant).Scope, w.sealed[name])
		require.NoError(t, err)
	}
	add("destroyed", "acme")
	add("expired", "acme")
	w.backup = snapshot(w.honest)
	gone := nameOf(w.keys["destroyed"])
	require.NoError(t, r.ScheduleDestroy(t.Context(), gone, LeastWait, ops))
	time.Sleep(max(LeastWait, plantAge))
	require.NoError(t, r.Destroy(t.Context(), gone, confirmed(gone)))
	add("older", "acme")
	add("active", "acme")
	add("foreign", "globex")
	return w
}

func (w *plant) row(store *MemoryStore, name string) *storedKey {
	tenant := "acme"
	if name == "foreign" {
		tenant = "globex"
	}
	return store.keys[storeKey{storeScope{place(tenant).Scope.withDefault(), PurposeData}, w.keys[name]}]
}

// activate makes a row the active one by hand.
func (w *plant) activate(store *MemoryStore, name string) {
	w.row(store, "active").State = StateRetired
	w.row(store, name).State = StateActive
	store.active[storeScope{place("acme").Scope.withDefault(), PurposeData}] = w.keys[name]
}

// A forgery edits the row of a key, and says which of its rights the key keeps.
type forgery struct {
	name  string
	key   string
	edit  func(w *plant, store *MemoryStore, k *storedKey)
	opens bool // what the key sealed may still be opened
	seals bool // the key may still seal
}

func seconds(most int64) time.Duration { return time.Duration(1+rand.Int64N(most)) * time.Second }

// forgeries edit in random ways.
var forgeries = []forgery{
	{"made earlier", "active", edited(func(k *storedKey) { k.Created = k.Created.Add(-seconds(1 << 30)) }), false, false},
	{"made later", "active", edited(func(k *storedKey) { k.Created = k.Created.Add(seconds(1 << 30)) }), false, false},
	{"end put off", "active", edited(func(k *storedKey) { k.NotAfter = k.NotAfter.Add(seconds(1 << 30)) }), false, false},
	{"end brought forward", "active", edited(func(k *storedKey) { k.NotAfter = k.NotAfter.Add(-seconds(80_000)) }), false, false},
	{"no end", "active", edited(func(k *storedKey) { k.NotAfter = time.Time{} }), false, false},
	{"budget", "active", edited(func(k *storedKey) { k.Budget ^= 1 << rand.IntN(34) }), false, false},
	{"tag", "active", edited(func(k *storedKey) { k.Tag[rand.IntN(32)] ^= 1 << rand.IntN(8) }), false, false},
	{"wrapped key", "active", edited(func(k *storedKey) { k.Wrapped[rand.IntN(len(k.Wrapped))] ^= 1 << rand.IntN(8) }), false, false},
	{"another root key", "active", edited(func(k *storedKey) { k.RootKey = "plain://other" }), false, false},
	{"pending", "active", edited(func(k *storedKey) { k.State = StatePending }), false, false},
	{"retired", "active", edited(func(k *storedKey) { k.State = StateRetired }), true, false},
	{"suspended", "active", edited(func(k *storedKey) { k.State = StateSuspended }), false, false},
	{"scheduled", "active", edited(func(k *storedKey) { k.State = StateScheduled }), false, false},
	{"no state", "active", edited(func(k *storedKey) { k.State = "" }), false, false},
	{"unknown state", "active", edited(func(k *storedKey) { k.State = "Active" }), false, false},
	{"the older key's end and tag", "active", func(w *plant, s *MemoryStore, k *storedKey) {
		k.Tag, k.NotAfter = w.row(s, "older").Tag, w.row(s, "older").NotAfter.Add(time.Second)
	}, false, false},
	{"the older key's wrapped key", "active", func(w *plant, s *MemoryStore, k *storedKey) { k.Wrapped = w.row(s, "older").Wrapped }, false, false},
	{"another tenant's wrapped key", "active", func(w *plant, s *MemoryStore, k *storedKey) { k.Wrapped = w.row(s, "foreign").Wrapped }, false, false},
	{"another tenant's record", "active", func(w *plant, s *MemoryStore, k *storedKey) { k.Record = w.row(s, "foreign").Record }, false, false},
	{"another tenant's record under this name", "active", func(w *plant, s *MemoryStore, k *storedKey) {
		name := k.Name()
		k.Record = w.row(s, "foreign").Record
		k.KeyID, k.Scope = name.ID, name.Scope
	}, false, false},
	{"older, active again", "older", func(w *plant, s *MemoryStore, _ *storedKey) { w.activate(s, "older") }, true, true},
	{"expired, active again", "expired", func(w *plant, s *MemoryStore, _ *storedKey) { w.activate(s, "expired") }, true, false},
	{"expired, with a new end", "expired", func(w *plant, s *MemoryStore, k *storedKey) {
		w.activate(s, "expired")
		k.NotAfter = time.Now().Add(seconds(1 << 30)).Truncate(time.Second)
	}, false, false},
	{"destroyed, as in a backup", "destroyed", func(w *plant, _ *MemoryStore, k *storedKey) {
		k.Record = w.row(w.backup, "destroyed").copy()
	}, false, false},
	{"destroyed, active again", "destroyed", func(w *plant, s *MemoryStore, k *storedKey) {
		k.Record = w.row(w.backup, "destroyed").copy()
		w.activate(s, "destroyed")
	}, false, false},
	{"destroyed, active again with a new end", "destroyed", func(w *plant, s *MemoryStore, k *storedKey) {
		k.Record = w.row(w.backup, "destroyed").copy()
		w.activate(s, "destroyed")
		k.NotAfter = time.Now().Add(seconds(1 << 30)).Truncate(time.Second)
	}, false, false},
	{"nothing", "active", edited(func(*storedKey) {}), true, true},
}

func edited(edit func(k *storedKey)) func(*plant, *MemoryStore, *storedKey) {
	return func(_ *plant, _ *MemoryStore, k *storedKey) { edit(k) }
}

// TestScoreboardS27 edits rows in random ways, and has a process that has just
// started open what the edited key sealed, by reference and inline, and seal. The
// control believes whatever the rows say.
func TestScoreboardS27(t *testing.T) {
	forged := 10_000
	if testing.Short() || scoreboard.UnderRace() {
		forged = 1000
	}
	log := newLog(t)
	var accepted, believed [2]int // opened, sealed with
	bubble.Test(t, func(t *testing.T) {
		w := newPlant(t, log)
		for i := range forged {
			f := forgeries[i%len(forgeries)]
			store := snapshot(w.honest)
			f.edit(w, store, w.row(store, f.key))
			opens, seals := w.believes(t, store, f.key)
			believed[0] += oneIf(opens && !f.opens)
			believed[1] += oneIf(seals && !f.seals)
			opens, seals = w.ringAccepts(t, store, f.key)
			accepted[0] += oneIf(opens && !f.opens)
			accepted[1] += oneIf(seals && !f.seals)
			require.False(t, f.opens && !opens || f.seals && !seals, "%s: refused, so that the test shows nothing", f.name)
		}
	})
	scoreboard.Row(t, "S27", accepted == [2]int{} && believed[0] > 0 && believed[1] > 0,
		fmt.Sprintf("of %d forged records, %d opened and %d sealed against the rules", forged, accepted[0], accepted[1]), "0; 0",
		fmt.Sprintf("a reader that believes the store: %d and %d", believed[0], believed[1]))
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ringAccepts reports whether a new ring opens what a key of the plant sealed, in
// either mode, and whether it seals with that key or with one that is none of
// acme's.
func (w *plant) ringAccepts(t *testing.T, store *MemoryStore, key string) (opens, seals bool) {
	t.Helper()
	r, err := NewKeyRing(w.provider, RootKeys{Seal: plainRoot}, &Options{Store: store, KeyAge: plantAge, Tombstones: w.log, AllowInline: true})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Open(t.Context(), place("acme"), w.sealed[key])
	opens = err == nil
	if key == "destroyed" { // others may open inline, if their root key is allowed
		_, err = r.Open(t.Context(), place("acme"), w.inline[key])
		opens = opens || err == nil
	}
	env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	if err != nil {
		return opens, false
	}
	info, err := Inspect(env)
	require.NoError(t, err)
	return opens, info.KeyID == w.keys[key] || info.KeyID == w.keys["foreign"]
}

// believes is what a reader would do that asks the key service and believes the
// rest.
func (w *plant) believes(t *testing.T, store *MemoryStore, key string) (opens, seals bool) {
	t.Helper()
	scope := place("acme").Scope.withDefault()
	load := func(rec Record, err error) (*dataKey, error) {
		if err == nil {
			err = rec.readable()
		}
		if err != nil {
			return nil, err
		}
		secret, err := w.provider.Unwrap(t.Context(), rec.RootKey, rec.Wrapped, encryptionContext(rec.Scope, PurposeData))
		if err != nil {
			return nil, err
		}
		return newDataKey(secret, rec.Scope)
	}
	if k, err := load(store.Get(t.Context(), scope, PurposeData, w.keys[key])); err == nil {
		h, err := parseHeader(w.sealed[key])
		require.NoError(t, err)
		_, err = k.openFrame(nil, h.body, place("acme").appendPlace(slices.Clone(k.prefix)))
		opens = err == nil
	}
	rec, err := store.Active(t.Context(), scope, PurposeData)
	if err != nil || !time.Now().Before(rec.NotAfter) && !rec.NotAfter.IsZero() || store.active[storeScope{scope, PurposeData}] != w.keys[key] {
		return opens, false
	}
	_, err = load(rec, nil)
	return opens, err == nil
}
