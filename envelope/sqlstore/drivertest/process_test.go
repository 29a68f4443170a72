package drivertest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// The test binary runs itself as other processes, which do the job that this
// variable describes once their standard input is closed.
const childVariable = "FIELDCRYPT_TEST_SQLSTORE_CHILD"

// childDeadline ends a process whose parent has gone.
const childDeadline = 10 * time.Minute

type job struct {
	Name    string
	Driver  string
	DSN     string
	Dialect sqlstore.Dialect
	Keys    string        // localkms's file
	Lease   time.Duration // hold
	Flood   flood         // flood
	Fields  fields        // fields
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		time.AfterFunc(childDeadline, func() { panic("this process should have ended long ago") })
		var j job
		err := json.Unmarshal([]byte(text), &j)
		if err == nil {
			err = j.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var shared = envelope.Scope{Tenant: "shared", Class: "crm"}

func (j *job) run(ctx context.Context) error {
	db, err := sql.Open(j.Driver, j.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s, err := sqlstore.Open(ctx, db, j.Dialect, nil)
	if err != nil {
		return err
	}
	switch j.Name {
	case "open":
		_, err = s.Active(ctx, shared, envelope.PurposeData)
		if !errors.Is(err, envelope.ErrKeyNotFound) {
			return fmt.Errorf("tables that don't work: %w", err)
		}
	case "seal":
		return j.seal(ctx, s)
	case "hold":
		won, err := s.Claim(ctx, shared, envelope.PurposeData, "a process that will be killed", j.Lease)
		fmt.Println(won)
		time.Sleep(time.Minute)
		return err
	case "lease":
		return lease(ctx, s)
	case "chain":
		return chain(ctx, s)
	case "flood":
		return j.flood(ctx, s)
	case "fields":
		return j.fields(ctx, s)
	case "rewrap":
		return j.rewrap(ctx, s)
	}
	return nil
}

// seal seals one value, and says what that cost.
func (j *job) seal(ctx context.Context, s *sqlstore.Store) error {
	kms, err := localkms.OpenExisting(j.Keys)
	if err != nil {
		return err
	}
	ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: s})
	if err != nil {
		return err
	}
	defer ring.Close()
	at := &envelope.Binding{Scope: shared, Field: envelope.MustField("Contacts", "email"), Record: "1"}
	sealed, err := ring.Seal(ctx, at, envelope.AppendString(nil, "ada@example.com"))
	if err != nil {
		return err
	}
	info, err := envelope.Inspect(sealed)
	if err != nil {
		return err
	}
	stats := ring.Stats()
	fmt.Println(stats.GenerateDataKey, stats.Unwrap, info.KeyID)
	return nil
}

const leaseBlock = 7

// lease takes all that is left of the budget, and says so step by step.
func lease(ctx context.Context, s *sqlstore.Store) error {
	rec, err := s.Active(ctx, shared, envelope.PurposeData)
	if err != nil {
		return err
	}
	for {
		n, _, err := s.Lease(ctx, shared, envelope.PurposeData, rec.KeyID, leaseBlock)
		if err != nil || n == 0 {
			return err
		}
		fmt.Println(n)
		time.Sleep(time.Millisecond) // so that the others get some
	}
}

const chained = 40

// chain makes keys that each follow the active one.
func chain(ctx context.Context, s *sqlstore.Store) error {
	for n := 0; n < chained; {
		var previous envelope.KeyID
		switch active, err := s.Active(ctx, shared, envelope.PurposeData); {
		case err == nil:
			previous = active.KeyID
		case !errors.Is(err, envelope.ErrKeyNotFound):
			return err
		}
		rec := made("shared", os.Getpid()*1000+n)
		rec.KeyID = envelope.KeyID([]byte(fmt.Sprintf("%16d%16d", os.Getpid(), n)))
		switch err := s.Activate(ctx, rec, previous); {
		case err == nil:
			n++
		case !errors.Is(err, envelope.ErrConflict):
			return err
		}
	}
	return nil
}

// A process is one that was started, and has not begun yet.
type process struct {
	*exec.Cmd
	begin  io.Closer
	out    *bufio.Reader
	failed *strings.Builder
}

func (d database) start(t *testing.T, j job) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	j.Driver, j.DSN, j.Dialect = d.driver, d.dsn, d.dialect
	text, err := json.Marshal(j)
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self), failed: &strings.Builder{}}
	p.Env = append(os.Environ(), childVariable+"="+string(text))
	p.Stderr = p.failed
	p.begin, err = p.StdinPipe()
	require.NoError(t, err)
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewReader(out)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	require.Equal(t, "ready", p.line(t))
	return p
}

func (d database) startMany(t *testing.T, n int, j job) []*process {
	t.Helper()
	all := make([]*process, n)
	for i := range all {
		all[i] = d.start(t, j)
	}
	return all
}

// beginAll has them begin at the same time.
func beginAll(t *testing.T, all []*process) {
	t.Helper()
	for _, p := range all {
		require.NoError(t, p.begin.Close())
	}
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, p.failed.String())
	return strings.TrimSpace(line)
}

// done waits for a process that must succeed, and returns what else it said.
func (p *process) done(t *testing.T) string {
	t.Helper()
	rest, err := io.ReadAll(p.out)
	require.NoError(t, err)
	require.NoError(t, p.Wait(), p.failed.String())
	return string(rest)
}

const processes = 16

// All processes of a service start at once on a database without tables: the
// tables are made once, and all go on.
func TestProcessesMigrateAtOnce(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		all := d.startMany(t, processes, job{Name: "open"})
		beginAll(t, all)
		for _, p := range all {
			p.done(t)
		}
		var n int
		require.NoError(t, d.pool(t).QueryRow("SELECT count(*) FROM "+versions+" WHERE finished = 1").Scan(&n))
		require.Equal(t, 1, n)
		conformsInBrief(t, d.store(t))
	})
}

// The first value of a scope costs one GenerateDataKey, and one Unwrap in each
// other process, however many come at the same time.
func TestProcessesShareOneKey(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		file := filepath.Join(t.TempDir(), "root.keys")
		kms, err := localkms.Open(file)
		require.NoError(t, err)
		require.NotEmpty(t, kms.RootKey())
		s := d.store(t)
		all := d.startMany(t, processes, job{Name: "seal", Keys: file})
		beginAll(t, all)
		var generated, unwrapped int
		var keys []string
		for _, p := range all {
			var g, u int
			var key string
			_, err := fmt.Sscan(p.done(t), &g, &u, &key)
			require.NoError(t, err)
			generated, unwrapped, keys = generated+g, unwrapped+u, append(keys, key)
		}
		require.Equal(t, 1, generated)
		require.Equal(t, processes-1, unwrapped)
		require.Len(t, slices.Compact(keys), 1)
		page, err := s.Page(t.Context(), envelope.Filter{}, envelope.KeyName{}, 10)
		require.NoError(t, err)
		require.Len(t, page, 1, "a key was made and lost")
	})
}

// The claim of a process that is killed ends with its lease, by the database's
// clock; then another makes the key.
func TestProcessKilledWithTheClaim(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		const lease = 1500 * time.Millisecond
		file := filepath.Join(t.TempDir(), "root.keys")
		_, err := localkms.Open(file)
		require.NoError(t, err)
		s := d.store(t)
		p := d.start(t, job{Name: "hold", Lease: lease})
		next := d.start(t, job{Name: "seal", Keys: file})
		began := time.Now()
		beginAll(t, []*process{p})
		require.Equal(t, "true", p.line(t))
		require.NoError(t, p.Process.Kill())
		_ = p.Wait()

		won, err := s.Claim(t.Context(), shared, envelope.PurposeData, "another", time.Minute)
		require.NoError(t, err)
		require.False(t, won, "a claim ended with its process: the store can't know that, so it was never there")
		beginAll(t, []*process{next})
		require.Regexp(t, `^1 0 [0-9a-f]{64}\n$`, next.done(t))
		require.Greater(t, time.Since(began), lease-lease/10)
		require.Less(t, time.Since(began), 10*lease)
	})
}

// Processes that are killed while they take messages waste at most a block each;
// no message is granted twice.
func TestProcessesKilledWhileTheyLease(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		const budget, killed = 20_001, 3
		s := d.store(t)
		rec := made("shared", 1)
		rec.Scope, rec.Budget = shared, budget
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		all := d.startMany(t, 6, job{Name: "lease"})
		beginAll(t, all)
		granted := make(chan int)
		for i, p := range all {
			go func() {
				sum, n := 0, 0
				for steps := 0; ; steps++ {
					if i < killed && steps == 10*(i+1) {
						_ = p.Process.Kill()
					}
					if _, err := fmt.Fscanln(p.out, &n); err != nil {
						break
					}
					sum += n
				}
				granted <- sum
			}()
		}
		total := 0
		for range all {
			total += <-granted
		}
		for i, p := range all {
			if err := p.Wait(); i >= killed {
				require.NoError(t, err, p.failed.String())
			} else {
				require.Error(t, err, "it ended before it was killed: the test shows nothing")
			}
		}
		require.LessOrEqual(t, total, budget)
		require.GreaterOrEqual(t, total, budget-killed*leaseBlock)
		n, left, err := s.Lease(t.Context(), shared, envelope.PurposeData, rec.KeyID, 1)
		require.NoError(t, err)
		require.Equal(t, []uint64{0, 0}, []uint64{n, left})
	})
}

// Two processes make keys in turn on one file: all are there, and one is active.
func TestProcessesOnOneFile(t *testing.T) {
	for name, d := range map[string]database{
		"WAL":     databases["sqlite"](t),
		"journal": sqliteFile(t, "busy_timeout(5000)", "synchronous(NORMAL)"),
		"default": sqliteFile(t),
	} {
		t.Run(name, func(t *testing.T) {
			all := d.startMany(t, 2, job{Name: "chain"})
			beginAll(t, all)
			for _, p := range all {
				p.done(t)
			}
			count := map[envelope.State]int{}
			for rec, err := range envelope.List(t.Context(), d.store(t), envelope.Filter{}) {
				require.NoError(t, err)
				count[rec.State]++
			}
			require.Equal(t, map[envelope.State]int{envelope.StateActive: 1, envelope.StateRetired: 2*chained - 1}, count)
		})
	}
}
