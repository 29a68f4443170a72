package drivertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A flood is a process that seals until it is killed, and writes down the key ID
// and the nonce of each envelope.
type flood struct {
	Budget uint64
	Notes  string // the file
	Broken bool   // the control: see flood
}

// A noted message is a key ID and a nonce.
type noted [32 + 12]byte

// halfStore is a broken store: it grants twice what it takes from the budget.
type halfStore struct{ *sqlstore.Store }

func (s halfStore) Lease(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID, n uint64) (granted, left uint64, err error) {
	granted, left, err = s.Store.Lease(ctx, scope, purpose, id, (n+1)/2)
	return min(2*granted, n), left, err
}

// flood seals messages. The broken one has a broken store, and notes a counter
// for each nonce, as a process would use that counts its own.
func (j *job) flood(ctx context.Context, s *sqlstore.Store) error {
	kms, err := localkms.OpenExisting(j.Keys)
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(j.Flood.Notes, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	var store envelope.KeyStore = s
	if j.Flood.Broken {
		store = halfStore{s}
	}
	ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{
		Store: store, MessageBudget: j.Flood.Budget,
		LoadTimeout: 2 * time.Minute, // several that make the next key may be killed in a row
	})
	if err != nil {
		return err
	}
	at := &envelope.Binding{Scope: shared, Field: envelope.MustField("Contacts", "email"), Record: "1"}
	frame := envelope.AppendString(nil, "ada@example.com")
	for n := uint64(0); ; n++ {
		sealed, err := ring.Seal(ctx, at, frame)
		if err != nil {
			return err
		}
		note := noted(sealed[3:]) // FORMAT.md: they follow the first three bytes of the header
		if j.Flood.Broken {
			copy(note[32:], binary.BigEndian.AppendUint64(make([]byte, 4), n))
		}
		if _, err := notes.Write(note[:]); err != nil { // each by itself: what was written outlives the process
			return err
		}
		if n%8 == 7 {
			time.Sleep(time.Millisecond) // so that a key lasts long enough to be shared
		}
	}
}

// A tally is what the notes of all processes come to.
type tally struct {
	messages, keys  int
	most            int // messages of one key
	past            int // keys with more messages than their budget
	repeated        int // nonces
	killed, started int
}

// floods runs so many processes at a time and kills one after the other, at
// random times, until all have been killed.
func (d database) floods(t *testing.T, processes, kills int, j job) tally {
	t.Helper()
	folder := t.TempDir()
	var sum tally
	var running []*process
	for sum.killed < kills {
		for len(running) < processes && sum.started < kills {
			j.Flood.Notes = filepath.Join(folder, fmt.Sprint(sum.started))
			p := d.start(t, j)
			require.NoError(t, p.begin.Close())
			running = append(running, p)
			sum.started++
		}
		time.Sleep(rand.N(50 * time.Millisecond))
		// One that is killed while it makes the next key holds up the others until
		// its claim ends. To kill some of them meanwhile would show nothing.
		before := size(t, folder)
		require.Eventually(t, func() bool { return size(t, folder)-before > 200*int64(len(noted{})) }, 2*time.Minute, time.Millisecond)
		i := rand.IntN(len(running))
		p := running[i]
		running = slices.Delete(running, i, i+1)
		require.NoError(t, p.Process.Kill())
		_ = p.Wait()
		status, _ := p.ProcessState.Sys().(syscall.WaitStatus)
		require.True(t, status.Signaled(), "it ended before it was killed: %s", p.failed)
		sum.killed++
	}
	sum.add(t, folder, int(j.Flood.Budget))
	return sum
}

// size returns the bytes of all files in a folder.
func size(t *testing.T, folder string) (sum int64) {
	t.Helper()
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		sum += info.Size()
	}
	return sum
}

// add reads the notes.
func (sum *tally) add(t *testing.T, folder string, budget int) {
	t.Helper()
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	var all []noted
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(folder, f.Name()))
		require.NoError(t, err)
		for note := range slices.Chunk(content, len(noted{})) {
			if len(note) == len(noted{}) { // else it was killed in the middle
				all = append(all, noted(note))
			}
		}
	}
	slices.SortFunc(all, func(a, b noted) int { return bytes.Compare(a[:], b[:]) })
	of := 0
	for i, note := range all {
		sum.messages++
		of++
		if i+1 < len(all) && note == all[i+1] {
			sum.repeated++
		}
		if i+1 == len(all) || !bytes.Equal(note[:32], all[i+1][:32]) { // the key's last
			sum.keys++
			sum.most = max(sum.most, of)
			if of > budget {
				sum.past++
			}
			of = 0
		}
	}
}

// TestScoreboardS7 kills processes that seal with shared keys. In the control the
// store grants twice what it takes, and the processes count their nonces.
func TestScoreboardS7(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.keys")
	kms, err := localkms.Open(file)
	require.NoError(t, err)
	require.NotEmpty(t, kms.RootKey())
	processes, kills := scoreboard.Count(6, 16), scoreboard.Count(12, 200)
	j := job{Name: "flood", Keys: file, Flood: flood{Budget: uint64(scoreboard.Count(1000, 10_000))}}
	d := server(t)
	d.store(t)
	got := d.floods(t, processes, kills, j)

	spoilt := server(t)
	spoilt.store(t)
	j.Flood.Broken = true
	control := spoilt.floods(t, processes, 2*processes, j)

	require.Greater(t, got.keys, 2)
	require.Greater(t, got.most, int(j.Flood.Budget/2), "no key came near its end")
	scoreboard.Row(t, "S7", got.past+got.repeated == 0 && control.past > 0 && control.repeated > 0,
		fmt.Sprintf("%s, %d processes, %d killed: of %d keys with a budget of %d, %d past it; %d nonces repeated in %d messages",
			d.dialect, processes, got.killed, got.keys, j.Flood.Budget, got.past, got.repeated, got.messages), "0; 0",
		fmt.Sprintf("a store that grants twice what it takes, nonces counted in each process: %d of %d keys; %d nonces in %d messages",
			control.past, control.keys, control.repeated, control.messages))
}
