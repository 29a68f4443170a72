package sweep

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// A Coverage counts the values of a table by what protects them.
type Coverage struct {
	Table string
	Rows  int64

	// Groups are in the order of tenant, class, field, state and key. NULL is
	// in none.
	Groups []Group

	Sealed    int64 // values in envelopes; whether they open, Verify tells
	Plaintext int64 // values in the clear: in the place of an envelope, or in the column of Table.Plain where the envelope is NULL

	// Unreadable is what is neither. A column that can't be read counts once for
	// each class that it has fields of.
	Unreadable int64

	// Copies are values in the columns of Table.Plain beside an envelope. They
	// are in the clear. Whether they are the same isn't looked at: a dry run of
	// DecryptToPlaintext tells. A document counts once for each class too.
	Copies int64

	// Examples are rows with plaintext or what can't be read, up to 100.
	Examples []Failure

	// Cut says that there were more groups than CoverageOptions.MaxGroups. The
	// sums are right all the same.
	Cut bool
}

// A Group is the values of one field in one scope under one key.
type Group struct {
	Scope  fieldcrypt.Scope
	Field  string // as in "Contacts.email"
	State  fieldcrypt.RowState
	Key    envelope.KeyID // of what is sealed
	Mode   envelope.Mode  // of what is sealed
	Values int64
}

// CoverageOptions narrow what is counted. The zero value of each field means its
// default.
type CoverageOptions struct {
	Tenant string // of these rows only
	Class  string // of these fields only

	// MaxGroups bounds how many groups are told apart. Default 100,000.
	MaxGroups int

	// Progress is told how far it is, about once a second.
	Progress func(Progress)
}

// Under returns how many values are under a key of a scope.
func (c *Coverage) Under(scope fieldcrypt.Scope, key envelope.KeyID) (values int64) {
	for i := range c.Groups {
		if g := &c.Groups[i]; g.State == fieldcrypt.RowSealed && g.Key == key && sameScope(g.Scope, scope) {
			values += g.Values
		}
	}
	return values
}

func sameScope(a, b fieldcrypt.Scope) bool {
	return a.Tenant == b.Tenant && cmp.Or(a.Class, envelope.DefaultClass) == cmp.Or(b.Class, envelope.DefaultClass)
}

// String is a table for people.
func (c *Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d rows; %d values sealed, %d in plaintext, %d unreadable", c.Table, c.Rows, c.Sealed, c.Plaintext, c.Unreadable)
	if c.Copies > 0 {
		fmt.Fprintf(&b, "; %d copies in plaintext", c.Copies)
	}
	b.WriteByte('\n')
	for i := range c.Groups {
		g := &c.Groups[i]
		under := ""
		if g.State == fieldcrypt.RowSealed {
			under = " under " + g.Key.String()[:8] + "…"
		}
		fmt.Fprintf(&b, "  %s/%s  %s  %s%s  %d\n", g.Scope.Tenant, g.Scope.Class, g.Field, g.State, under, g.Values)
	}
	return b.String()
}

// counting is what Coverage does with each row, but for its apply.
var counting = Operation{&operation{name: "count", usesPlain: true, leavesEnvelopes: true}}

// Coverage counts what protects the values of a table: by tenant, class, field
// and key, and what is in plaintext or can't be read. It reads every row, with
// the columns of Table.Plain, needs no key, writes nothing, and works on a
// replica. What is written while it reads may or may not be counted.
func (s *Sweeper) Coverage(ctx context.Context, table Table, opts *CoverageOptions) (*Coverage, error) {
	var o CoverageOptions
	if opts != nil {
		o = *opts
	}
	setDefault(&o.MaxGroups, 100_000)
	if o.MaxGroups < 1 {
		return nil, fmt.Errorf("sweep: CoverageOptions.MaxGroups is %d, it must be at least 1", o.MaxGroups)
	}
	r, err := s.prepare(ctx, &table, counting, &JobOptions{Tenant: o.Tenant, Class: o.Class, Progress: o.Progress})
	if err != nil {
		return nil, err
	}
	c := &Coverage{Table: r.reader.label}
	groups := map[Group]int64{}
	op := *counting.op
	r.op = &op
	op.apply = func(_ context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, _ fieldcrypt.RowOptions) error {
		for i := range batch {
			err := rows.Inspect(&batch[i], func(f fieldcrypt.RowFinding) {
				if o.Class != "" && f.Scope.Class != o.Class {
					return
				}
				c.add(groups, o.MaxGroups, &f)
				if f.State == fieldcrypt.RowPlaintext || f.State == fieldcrypt.RowUnreadable {
					batch[i].Cells[0].Err = errors.New(f.Field + ": " + f.State.String()) // told below, with the row's key
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	for at := (bound{}); ; {
		b, more, err := r.read(ctx, at, 1000)
		if err != nil {
			return nil, r.fail(err)
		}
		c.Rows += int64(len(b.records))
		for _, f := range b.reasons {
			field, reason, _ := strings.Cut(f.Reason, ": ")
			c.Examples = fail(c.Examples, failuresOfRange, Failure{Key: f.Key, Column: field, Reason: reason})
		}
		r.count(step{seen: int64(len(b.records))})
		if !more {
			break
		}
		at.after = b.last
	}
	for g, n := range groups {
		g.Values = n
		c.Groups = append(c.Groups, g)
	}
	slices.SortFunc(c.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Scope.Tenant, b.Scope.Tenant), cmp.Compare(a.Scope.Class, b.Scope.Class), cmp.Compare(a.Field, b.Field),
			cmp.Compare(a.State, b.State), bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.Mode, b.Mode))
	})
	return c, nil
}

func (c *Coverage) add(groups map[Group]int64, most int, f *fieldcrypt.RowFinding) {
	switch f.State {
	case fieldcrypt.RowSealed:
		c.Sealed++
	case fieldcrypt.RowPlaintext:
		c.Plaintext++
	case fieldcrypt.RowCopy:
		c.Copies++
	default:
		c.Unreadable++
	}
	g := Group{Scope: f.Scope, Field: f.Field, State: f.State, Key: f.Key, Mode: f.Mode}
	if _, known := groups[g]; !known && len(groups) >= most {
		c.Cut = true
		return
	}
	groups[g]++
}
