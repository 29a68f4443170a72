package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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
	// later. The last count comes after it. Default 30 seconds.
	Settle time.Duration

	// Passes bounds how often the tables are swept, as long as values under old
	// keys are found. Default 5.
	Passes int
}

// A RotateReport tells what became of a scope's keys.
type RotateReport struct {
	Scope   fieldcrypt.Scope
	Key     envelope.KeyID // the active one, which everything is under now
	Resumed bool           // a rotation went on that was begun before
	Sweeps  []*Report      // of all passes and tables

	// Old are the keys that values were under, and how many values still are, by
	// the last count. They are retired: they open, and seal nothing. Keys that
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
// again: it then goes on with the key that it made. The reason is kept with the
// jobs. The tables' record types must be of one Crypt with a key store. Options
// may be nil.
//
// Blind indexes and deterministic fields have keys of their own. Where these may
// be known too, call envelope.KeyRing.CutOver for each purpose, and then run
// [Reindex] and [Reencrypt].
//
// The old keys are left retired: they open, so that a row which was missed, or
// comes out of a backup, isn't lost. The report lists them. An error of the kind
// [ErrStillUsed] says that not all values could be moved; see the report.
func (s *Sweeper) RotateKeys(ctx context.Context, scope fieldcrypt.Scope, reason envelope.Reason, opts *KeyRotation, tables ...Table) (*RotateReport, error) {
	fail := func(err error) error { return fmt.Errorf("sweep: rotate the data keys of %s: %w", scope, err) }
	var o KeyRotation
	if opts != nil {
		o = *opts
	}
	setDefault(&o.Settle, 30*time.Second)
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
	scope.Class = cmp.Or(scope.Class, envelope.DefaultClass)
	job := o.JobOptions
	job.Name, job.Tenant, job.Class, job.Reason = "rotate keys of "+scope.Tenant+"/"+scope.Class, scope.Tenant, scope.Class, reason
	job.Name = shortened(job.Name, 200)
	report := &RotateReport{Scope: scope}
	runs := make([]*run, len(tables))
	for i := range tables { // all tables are known to be in order before there is a new key
		if runs[i], err = s.prepare(ctx, &tables[i], Reencrypt, &job); err != nil {
			return nil, fail(err)
		}
	}
	if report.Resumed, err = s.rotating(ctx, tables, job.Name); err != nil {
		return nil, fail(err)
	}
	err = runs[0].patiently(ctx, "the key service or the key store", func() (err error) {
		if report.Resumed {
			report.Key, err = crypt.KeyRing().ActiveKey(ctx, scope)
		} else {
			report.Key, err = crypt.Rotate(ctx, scope)
		}
		return err
	})
	if err != nil {
		return nil, fail(err)
	}
	began := time.Now()
	if !report.Resumed {
		for i := range runs { // so that a call after a kill knows of the new key, whichever table it came to
			if err := s.anew(ctx, runs[i]); err != nil {
				return report, fail(err)
			}
		}
	}
	if err := s.proof(ctx, report, tables); err != nil { // so that the report knows the old keys
		return report, fail(err)
	}
	return report, s.passes(ctx, report, job, o, began, tables, fail)
}

// passes sweeps and counts until nothing is under an old key.
func (s *Sweeper) passes(ctx context.Context, report *RotateReport, job JobOptions, o KeyRotation, began time.Time, tables []Table, fail func(error) error) error {
	for pass := 1; ; pass++ {
		for i := range tables {
			swept, err := s.Run(ctx, tables[i], Reencrypt, &job)
			if swept != nil {
				report.Sweeps = append(report.Sweeps, swept)
			}
			if err != nil && !errors.Is(err, ErrRows) { // rows that failed show in the count
				return fail(err)
			}
		}
		if rest := o.Settle - time.Since(began); rest > 0 && !sleep(ctx, rest) {
			return fail(context.Cause(ctx))
		}
		if err := s.proof(ctx, report, tables); err != nil {
			return fail(err)
		}
		switch {
		case report.Proved():
			return nil
		case report.left() == 0:
			return fail(fmt.Errorf("%w, as far as can be known: %s", ErrStillUsed, report.Unproved))
		case pass >= o.Passes:
			return fail(fmt.Errorf("%w: %d values after %d passes: look at the report's failures, and at what still seals with old keys", ErrStillUsed, report.left(), pass))
		}
		for i := range tables { // a job that is done isn't done again under its name
			if err := s.forgetDone(ctx, &tables[i], job.Name); err != nil {
				return fail(err)
			}
		}
	}
}

// proof counts what every value of the scope is under.
func (s *Sweeper) proof(ctx context.Context, report *RotateReport, tables []Table) error {
	for i := range report.Old {
		report.Old[i].Values = 0
	}
	report.Unproved, report.Deterministic = "", 0
	found := false
	for i := range tables {
		c, err := s.Coverage(ctx, tables[i], &CoverageOptions{Tenant: report.Scope.Tenant, Class: report.Scope.Class})
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
			case group.Key != report.Key || group.Mode != envelope.ModeReference:
				report.old(group.Key).Values += group.Values
			}
		}
	}
	if !found {
		report.Unproved = "these tables have no value of this scope: is its tenant or class misspelt?"
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

// rotating reports whether a rotation of that name is under way on some table.
func (s *Sweeper) rotating(ctx context.Context, tables []Table, name string) (bool, error) {
	if !s.made(ctx) {
		return false, nil
	}
	for i := range tables {
		j, err := s.state.find(ctx, s.db, tables[i].label(), false)
		if err != nil {
			return false, told(err)
		}
		if j != nil && j.name == name && j.state != jobDone {
			return true, nil
		}
	}
	return false, nil
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
