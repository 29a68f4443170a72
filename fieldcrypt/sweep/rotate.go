package sweep

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// A KeyRotation is what [Sweeper.RotateKeys] is asked for, beside what it needs.
// The zero value of each field means its default.
type KeyRotation struct {
	// JobOptions are those of the jobs. Leave Name, Tenant, Class, DryRun and
	// Reason zero: RotateKeys sets them.
	JobOptions

	// Settle is how long after the new key was made values under an old one may
	// still be written: by processes that haven't noticed, within
	// envelope.Options.StorePoll, and by those that sealed before and write
	// later. The last count comes after it. Default: two StorePoll of the tables'
	// Crypt and a second. Set more where other processes have a longer StorePoll,
	// or write later than that what they sealed. Less is right only where they
	// have a shorter one, or there are none: nothing can check that.
	Settle time.Duration

	// Passes bounds how often the tables are swept, as long as values under old
	// keys are found. Default 5.
	Passes int
}

// A RotateReport tells what became of a scope's keys.
type RotateReport struct {
	Scope   fieldcrypt.Scope
	Key     envelope.KeyID // the active one, by the last count
	Resumed bool           // a rotation went on that was begun before
	Sweeps  []*Report      // of all passes and tables

	// Newer are keys that were active after the old ones and before Key: the one
	// that RotateKeys made, and those that followed it, where the key was
	// replaced while tables were swept. Values may be under them as well.
	Newer []envelope.KeyID

	// Old are the other keys that values were under, and how many values still
	// are, by the last count. They are retired: they open, and seal nothing. Keys that
	// are left with none can be suspended, and destroyed when no backup needs
	// them.
	Old []OldKey

	// Deterministic is how many values are in deterministic envelopes. They are
	// under keys of their own, which RotateKeys leaves alone: see
	// envelope.KeyRing.CutOver.
	Deterministic int64

	// Unproved is why the count doesn't show that nothing needs the old keys:
	// plaintext, or what can't be read. Empty if it does.
	Unproved string
}

// An OldKey is a key that values were under.
type OldKey struct {
	Key    envelope.KeyID
	Values int64 // that still are
}

// Proved reports whether no value in the tables is under an old key.
func (r *RotateReport) Proved() bool { return r != nil && r.Unproved == "" && r.left() == 0 }

func (r *RotateReport) left() (values int64) {
	for _, old := range r.Old {
		values += old.Values
	}
	return values
}

// String is for a log.
func (r *RotateReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: everything that is sealed from now on is under %s\n", r.Scope, r.Key)
	for _, id := range r.Newer {
		fmt.Fprintf(&b, "  key %s was active between the old keys and this one\n", id)
	}
	for _, sweep := range r.Sweeps {
		fmt.Fprintf(&b, "  %s\n", sweep)
	}
	for _, old := range r.Old {
		fmt.Fprintf(&b, "  key %s, retired: %d values left\n", old.Key, old.Values)
	}
	if r.Deterministic > 0 {
		fmt.Fprintf(&b, "  %d deterministic values are under keys of their own, which CutOver changes\n", r.Deterministic)
	}
	switch {
	case r.Proved():
		b.WriteString("  counted: no value in these tables needs an old key\n")
	case r.Unproved != "":
		fmt.Fprintf(&b, "  not proved: %s\n", r.Unproved)
	}
	return b.String()
}

// RotateKeys makes a new data key for the scope, re-encrypts the tables' rows
// under it, and counts what every value is under until nothing is under an old
// key. It is what to call after a data key was compromised. Killed, it is called
// again: if it was sweeping, it goes on with the key that it made. If it was
// making the key, waiting or counting, it makes another key and sweeps again,
// which costs time and harms nothing. The reason is kept with the jobs. The
// tables' record types must be of one Crypt with a key store. Table.Plain isn't
// looked at: what is there is under no key. Options may be nil.
//
// Blind indexes and deterministic fields have keys of their own. Where these may
// be known too, call envelope.KeyRing.CutOver for each purpose, and then run
// [Reindex] and [Reencrypt].
//
// The old keys are left retired: they open, so that a row which was missed, or
// comes out of a backup, isn't lost. The report lists them. An error of the kind
// [ErrStillUsed] says that not all values could be moved; see the report. Where
// another job on a table isn't done it is [ErrOtherJob], and no key is made.
func (s *Sweeper) RotateKeys(ctx context.Context, scope fieldcrypt.Scope, reason envelope.Reason, opts *KeyRotation, tables ...Table) (*RotateReport, error) {
	fail := func(err error) error { return fmt.Errorf("sweep: rotate the data keys of %s: %w", scope, err) }
	var o KeyRotation
	if opts != nil {
		o = *opts
	}
	setDefault(&o.Passes, 5)
	crypt, err := oneCrypt(tables)
	switch {
	case err != nil:
		return nil, fail(err)
	case reason.By == "":
		return nil, fail(errors.New("Reason.By is empty: say who does it"))
	case o.Passes < 1 || o.Settle < 0:
		return nil, fail(errors.New("KeyRotation.Passes must be at least 1, and Settle not negative"))
	case o.Name != "" || o.DryRun || o.Tenant != "" || o.Class != "":
		return nil, fail(errors.New("KeyRotation: Name, Tenant, Class and DryRun aren't chosen by the caller: the scope says what is swept"))
	}
	setDefault(&o.Settle, 2*crypt.KeyRing().StorePoll()+time.Second)
	scope.Class = cmp.Or(scope.Class, envelope.DefaultClass)
	o.Name, o.Tenant, o.Class, o.Reason = "rotate keys of "+scope.Tenant+"/"+scope.Class, scope.Tenant, scope.Class, reason
	o.Name = shortened(o.Name, 200)
	r := &rotation{Sweeper: s, KeyRotation: o, crypt: crypt, tables: tables, report: &RotateReport{Scope: scope}, runs: make([]*run, len(tables))}
	for i := range tables { // all tables are known to be in order before there is a new key
		if r.runs[i], err = s.prepare(ctx, &tables[i], Reencrypt, &r.JobOptions); err != nil {
			return nil, fail(err)
		}
	}
	if err := r.look(ctx); err != nil {
		return nil, fail(err)
	}
	if err := r.makeKey(ctx); err != nil {
		return nil, fail(err)
	}
	end := r.follow(ctx)
	defer end()
	if err := r.all(ctx); err != nil {
		return r.report, fail(err)
	}
	return r.report, nil
}

// A rotation is a call of RotateKeys.
type rotation struct {
	*Sweeper
	KeyRotation
	crypt  *fieldcrypt.Crypt
	tables []Table
	runs   []*run
	report *RotateReport
	began  time.Time // when the new key was there

	mu    sync.Mutex
	since []envelope.KeyID // that were seen active from then on, in that order
}

// look makes the sweeper's tables, and finds out whether this rotation is under
// way, or another job on one of the tables is, while there is no new key yet: a
// call that ends here may be repeated at will.
func (r *rotation) look(ctx context.Context) error {
	return r.runs[0].asking(ctx, func(ctx context.Context) error {
		if err := r.makeTables(ctx); err != nil {
			return err
		}
		for _, run := range r.runs {
			found, err := r.state.find(ctx, r.db, shortened(run.reader.label, 255), false)
			if err != nil {
				return told(err)
			}
			if found == nil || found.state == jobDone {
				continue
			}
			want := job{name: r.Name, op: run.op.name, what: run.what(), shape: run.reader.shape}
			if err := want.joins(found); err != nil {
				return fmt.Errorf("table %s: %w", run.reader.label, err)
			}
			r.report.Resumed = true
		}
		return nil
	})
}

// makeKey makes the new key, or finds the one of a rotation that is under way.
func (r *rotation) makeKey(ctx context.Context) error {
	err := r.runs[0].patiently(ctx, "the key service or the key store", func() (err error) {
		if r.report.Resumed {
			r.report.Key, err = r.crypt.KeyRing().ActiveKey(ctx, r.report.Scope)
		} else {
			r.report.Key, err = r.crypt.Rotate(ctx, r.report.Scope)
		}
		return err
	})
	r.began, r.since = time.Now(), []envelope.KeyID{r.report.Key}
	return err
}

// lookEvery is how often the active key is asked for: far more often than a key
// is too old to seal, so that one which is replaced has been seen.
const lookEvery = 5 * time.Second

// follow keeps note of the keys that become active, until its end is called.
func (r *rotation) follow(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for sleep(ctx, lookEvery) {
			_, _ = r.active(ctx) // proof meets an outage itself
		}
	})
	return func() { cancel(); looking.Wait() }
}

// active returns the active key, and notes it. No key becomes active twice, so
// what is active now is none of the old ones.
func (r *rotation) active(ctx context.Context) (envelope.KeyID, error) {
	id, err := r.crypt.KeyRing().ActiveKey(ctx, r.report.Scope)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && !slices.Contains(r.since, id) {
		r.since = append(r.since, id)
	}
	return id, err
}

// all sweeps and counts until nothing is under an old key.
func (r *rotation) all(ctx context.Context) error {
	if !r.report.Resumed {
		for _, run := range r.runs { // so that a call after a kill knows of the new key, whichever table it came to
			if err := r.anew(ctx, run); err != nil {
				return err
			}
		}
	}
	if err := r.proof(ctx); err != nil { // so that the report knows the old keys
		return err
	}
	for pass := 1; ; pass++ {
		for i := range r.tables {
			swept, err := r.Run(ctx, r.tables[i], Reencrypt, &r.JobOptions)
			if swept != nil {
				r.report.Sweeps = append(r.report.Sweeps, swept)
			}
			if err != nil && !errors.Is(err, ErrRows) { // rows that failed show in the count
				return err
			}
		}
		if rest := r.Settle - time.Since(r.began); rest > 0 && !sleep(ctx, rest) {
			return context.Cause(ctx)
		}
		if err := r.proof(ctx); err != nil {
			return err
		}
		switch left := r.report.left(); {
		case r.report.Proved():
			return nil
		case left == 0:
			return fmt.Errorf("%w, as far as can be known: %s", ErrStillUsed, r.report.Unproved)
		case pass >= r.Passes:
			return fmt.Errorf("%w: %d values after %d passes: look at the report's failures, and at what still seals with old keys", ErrStillUsed, left, pass)
		}
		for i := range r.tables { // a job that is done isn't done again under its name
			if err := r.forgetDone(ctx, &r.tables[i], r.Name); err != nil {
				return err
			}
		}
	}
}

// proof counts what every value of the scope is under.
func (r *rotation) proof(ctx context.Context) error {
	report := r.report
	report.Unproved, report.Deterministic = "", 0
	under, found := map[envelope.KeyID]int64{}, false
	inline := map[envelope.KeyID]int64{} // beside the reference to a key in the store
	for _, table := range r.tables {
		table.Plain = nil
		c, err := r.Coverage(ctx, table, &CoverageOptions{Tenant: report.Scope.Tenant, Class: report.Scope.Class})
		switch {
		case err != nil:
			return err
		case c.Plaintext+c.Unreadable > 0:
			report.Unproved = fmt.Sprintf("table %s has %d values in plaintext and %d that can't be read", c.Table, c.Plaintext, c.Unreadable)
		case c.Cut:
			report.Unproved = fmt.Sprintf("table %s has values under more keys than were told apart", c.Table)
		}
		for g := range c.Groups {
			group := &c.Groups[g]
			found = true
			switch {
			case group.State != fieldcrypt.RowSealed:
			case group.Mode == envelope.ModeDeterministic:
				report.Deterministic += group.Values
			case group.Mode != envelope.ModeReference:
				inline[group.Key] += group.Values
			default:
				under[group.Key] += group.Values
			}
		}
	}
	if !found {
		report.Unproved = "these tables have no value of this scope: is its tenant or class misspelt?"
	}
	// After the count, so that a key which values were written under meanwhile is
	// known for a new one.
	err := r.runs[0].patiently(ctx, "the key service or the key store", func() (err error) {
		report.Key, err = r.active(ctx)
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	since := slices.Clone(r.since)
	r.mu.Unlock()
	report.Newer = slices.DeleteFunc(slices.Clone(since), func(id envelope.KeyID) bool { return id == report.Key })
	for _, id := range since {
		delete(under, id)
	}
	for i := range report.Old {
		report.Old[i].Values = 0
	}
	for _, values := range []map[envelope.KeyID]int64{under, inline} {
		for _, id := range slices.SortedFunc(maps.Keys(values), func(a, b envelope.KeyID) int { return bytes.Compare(a[:], b[:]) }) {
			report.old(id).Values += values[id]
		}
	}
	return nil
}

func (r *RotateReport) old(id envelope.KeyID) *OldKey {
	for i := range r.Old {
		if r.Old[i].Key == id {
			return &r.Old[i]
		}
	}
	r.Old = append(r.Old, OldKey{Key: id})
	return &r.Old[len(r.Old)-1]
}

// oneCrypt returns the Crypt of all tables.
func oneCrypt(tables []Table) (*fieldcrypt.Crypt, error) {
	if len(tables) == 0 {
		return nil, errors.New("there are no tables: name all that have values of the scope")
	}
	for i := range tables {
		if err := tables[i].Rows.Err(); err != nil {
			return nil, err
		}
	}
	crypt := tables[0].Rows.Crypt()
	for i := range tables {
		if tables[i].Rows.Crypt() != crypt {
			return nil, fmt.Errorf("table %s is encrypted with another Crypt than table %s: use one", tables[i].label(), tables[0].label())
		}
	}
	if crypt.KeyRing().Mode() != envelope.ModeReference {
		return nil, fmt.Errorf("%w: without a key store each process has data keys of its own, and none of them is the scope's: set Options.Envelope.Store", envelope.ErrModeNotAllowed)
	}
	return crypt, nil
}

// anew makes the job of a run, in place of one of that name that is done.
func (s *Sweeper) anew(ctx context.Context, r *run) error {
	if s.made(ctx) {
		if err := s.forgetDone(ctx, r.reader.Table, r.opts.Name); err != nil {
			return err
		}
	}
	return r.open(ctx)
}

// forgetDone removes a job of that name if it is done.
func (s *Sweeper) forgetDone(ctx context.Context, table *Table, name string) error {
	err := transact(ctx, s.db, s.dialect, func(q sqlconn.Querier) error {
		j, err := s.state.find(ctx, q, table.label(), true)
		if err != nil || j == nil || j.state != jobDone || j.name != name {
			return err
		}
		return s.state.remove(ctx, q, j)
	})
	if err != nil {
		return told(err)
	}
	return nil
}
