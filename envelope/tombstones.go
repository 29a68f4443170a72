package envelope

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A Tombstone says that a key was destroyed.
type Tombstone struct {
	Key    KeyName
	Change Change
}

// A TombstoneLog keeps tombstones outside the key store's database, so that a
// backup of it, restored, or a writer to it brings no destroyed key back. Lines
// are only ever added. Implementations are safe for concurrent use by several
// processes.
type TombstoneLog interface {
	// Append adds a tombstone. When it returns nil, the tombstone is durable.
	Append(ctx context.Context, t Tombstone) error

	// Read returns the tombstones from a position on, which is 0 or one that
	// Read returned, and the position after them. A log that is shorter than
	// the position is an error.
	Read(ctx context.Context, from int64) (tombstones []Tombstone, next int64, err error)
}

// graves is what a ring knows of its tombstone log. The log is read without the
// lock: one that is slow keeps those waiting who need what is new in it, each no
// longer than its own context lasts, and nobody else.
type graves struct {
	mu      sync.Mutex
	ids     map[KeyID]struct{} // nil: never read
	next    int64
	read    time.Time     // when the read began that ids is from
	reading chan struct{} // is closed when the read that is under way ends; nil: none is
}

// buried refuses a key that the tombstone log calls destroyed. It reads what is
// new in the log if that was not done within StorePoll. A log that can't be read
// refuses all keys.
func (r *KeyRing) buried(ctx context.Context, id KeyID) error {
	return r.buriedAsOf(ctx, id, r.opts.StorePoll)
}

// buriedAsOf is buried with what the log said no longer ago than that.
func (r *KeyRing) buriedAsOf(ctx context.Context, id KeyID, ago time.Duration) error {
	log := r.opts.Tombstones
	if log == nil {
		return nil
	}
	g, since := &r.graves, time.Now().Add(-ago)
	for {
		found, done, reading := g.look(id, since)
		switch {
		case found:
			return fmt.Errorf("%w (tombstone log)", ErrKeyDestroyed)
		case done:
			return nil
		case reading != nil:
			select {
			case <-reading: // it may have failed, or have begun too early
			case <-ctx.Done():
				return fmt.Errorf("%w: tombstone log: waiting for it to be read: %w", ErrStoreUnavailable, ctx.Err())
			}
		default:
			if err := g.readOn(ctx, log); err != nil {
				return err
			}
			since = time.Time{} // what was read just now is new enough for this call
		}
	}
}

// look reports whether a key is known to be destroyed, or else whether what is
// known is new enough to say that it isn't. Otherwise it returns the end of the
// read that is under way or, where none is, has the caller read.
func (g *graves) look(id KeyID, since time.Time) (found, done bool, reading <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, found = g.ids[id]
	switch {
	case found || g.ids != nil && g.read.After(since):
		return found, true, nil
	case g.reading != nil:
		return false, false, g.reading
	}
	g.reading = make(chan struct{})
	return false, false, nil
}

// readOn reads what is new in the log, for the caller that look has chosen.
func (g *graves) readOn(ctx context.Context, log TombstoneLog) error {
	begun := time.Now()
	var tombstones []Tombstone
	var next int64
	err := caught(ErrStoreUnavailable, "the tombstone log", func() (err error) {
		if tombstones, next, err = log.Read(ctx, g.next); err != nil { // nobody else writes next now
			err = fmt.Errorf("%w: tombstone log: %w", ErrStoreUnavailable, err)
		}
		return err
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.reading)
	g.reading = nil
	if err != nil {
		return err
	}
	if g.ids == nil {
		g.ids = map[KeyID]struct{}{}
	}
	for _, t := range tombstones {
		g.ids[t.Key.ID] = struct{}{}
	}
	g.next, g.read = next, begun
	return nil
}

// ApplyTombstones destroys in the key store what the tombstone log calls
// destroyed and the store does not, as after the restoring of a backup, and
// returns how many keys that were.
func (r *KeyRing) ApplyTombstones(ctx context.Context) (n int, err error) {
	fail := func(err error) (int, error) { return n, fmt.Errorf("envelope: apply tombstones: %w", err) }
	switch {
	case r.opts.Store == nil:
		return fail(errNoStore)
	case r.opts.Tombstones == nil:
		return fail(fmt.Errorf("%w: set Options.Tombstones", ErrModeNotAllowed))
	}
	var tombstones []Tombstone
	err = caught(ErrStoreUnavailable, "the tombstone log", func() (err error) {
		tombstones, _, err = r.opts.Tombstones.Read(ctx, 0)
		return err
	})
	if err != nil {
		return fail(err)
	}
	for _, t := range tombstones {
		applied, err := r.apply(ctx, &t)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", t.Key, storeError(err)))
		}
		if applied {
			r.heedNow(t.Key.ID, StateDestroyed)
			n++
		}
	}
	return n, nil
}

// apply destroys a key in the store, if it is there and isn't destroyed.
func (r *KeyRing) apply(ctx context.Context, t *Tombstone) (applied bool, err error) {
	for range moveAttempts {
		rec, err := r.store.Get(ctx, t.Key.Scope, t.Key.Purpose, t.Key.ID)
		if errors.Is(err, ErrKeyNotFound) || err == nil && rec.State == StateDestroyed {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		dead := rec
		dead.State, dead.Wrapped, dead.DestroyAfter, dead.Change = StateDestroyed, nil, time.Time{}, t.Change
		if err = r.store.Update(ctx, rec, dead); !errors.Is(err, ErrConflict) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("%w: others change it all the time", ErrConflict)
}

// TombstoneFile is a [TombstoneLog] in a file: a JSON object on each line. Keep
// it on another disk than the database, and don't restore it from a backup.
type TombstoneFile struct{ path string }

// CreateTombstoneFile makes a new log, readable by its owner only. It is an error
// if there is a file already.
func CreateTombstoneFile(path string) (*TombstoneFile, error) {
	fail := func(err error) (*TombstoneFile, error) {
		return nil, fmt.Errorf("envelope: create the tombstone log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fail(fmt.Errorf("%w: open it with OpenTombstoneFile", err))
	}
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(path))); err != nil {
		return fail(err)
	}
	return &TombstoneFile{path}, nil
}

// OpenTombstoneFile opens a log that [CreateTombstoneFile] made. It makes none
// itself: an empty one, because of a path that is misspelt or a disk that isn't
// there, would bring destroyed keys back.
func OpenTombstoneFile(path string) (*TombstoneFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("envelope: open the tombstone log: %w: if there never was one, make it with CreateTombstoneFile; if there was, restore it before any key is used", err)
	}
	if err != nil {
		return nil, fmt.Errorf("envelope: open the tombstone log: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("envelope: open the tombstone log: %w", err)
	}
	return &TombstoneFile{path}, nil
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" { // folders can't be opened there
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

type tombstoneLine struct {
	KeyID   string    `json:"key_id"`
	Tenant  []byte    `json:"tenant"` // in base64: any bytes may be in a name
	Class   []byte    `json:"class"`
	Purpose string    `json:"purpose"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Why     string    `json:"why"`
}

// Append implements [TombstoneLog]: one write, and a sync.
func (t *TombstoneFile) Append(ctx context.Context, stone Tombstone) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := json.Marshal(tombstoneLine{
		KeyID: stone.Key.ID.String(), Tenant: []byte(stone.Key.Scope.Tenant), Class: []byte(stone.Key.Scope.withDefault().Class),
		Purpose: string(stone.Key.Purpose), At: stone.Change.At.UTC(), By: stone.Change.By, Why: stone.Change.Why,
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(t.path, os.O_WRONLY|os.O_APPEND, 0) // not created: a log that is gone must not begin anew
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// The line break before it ends what a writer that crashed may have left.
	if _, err := f.Write(slices.Concat([]byte("\n"), line, []byte("\n"))); err != nil {
		return err
	}
	return f.Sync()
}

// Read implements [TombstoneLog]. The position is in bytes.
func (t *TombstoneFile) Read(ctx context.Context, from int64) (stones []Tombstone, next int64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(t.path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.Size() < from {
		return nil, 0, fmt.Errorf("%s has %d bytes and had %d: it was cut or put back; restore what is missing", t.path, info.Size(), from)
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, 0, err
	}
	next = from
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // a line without an end is still being written
			return stones, next, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			stone, err := parseTombstone(text)
			if err != nil {
				return nil, 0, fmt.Errorf("%s is damaged at byte %d: %w; if its writer crashed there, remove that line", t.path, next, err)
			}
			stones = append(stones, stone)
		}
		next += int64(len(line))
	}
}

func parseTombstone(text []byte) (Tombstone, error) {
	var line tombstoneLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&line); err != nil {
		return Tombstone{}, errors.New("not a tombstone")
	}
	id, err := hex.DecodeString(line.KeyID)
	if err != nil || len(id) != len(KeyID{}) {
		return Tombstone{}, errors.New("not a tombstone")
	}
	return Tombstone{
		KeyName{Scope{string(line.Tenant), string(line.Class)}, Purpose(line.Purpose), KeyID(id)},
		Change{line.At, line.By, line.Why},
	}, nil
}
