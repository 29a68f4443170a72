package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// An Operation is what a job does with each row: one of [Reencrypt], [Encrypt],
// [Reindex], [Verify], [DecryptToPlaintext], and what [Rebind] makes.
type Operation struct{ op *operation }

// operation is all that the engine knows of an Operation: which columns it reads
// and writes, and what becomes of a batch of rows.
type operation struct {
	name            string
	what            string // tells two of the same name apart
	writesCells     bool
	usesPlain       bool // reads Table.Plain
	writesPlain     bool
	writesIndexes   bool // the columns of blind indexes
	leavesEnvelopes bool // the columns needn't be able to hold new ones
	sets            map[string]any
	until           time.Time
	extra           []string
	apply           func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, extra [][]any, opts fieldcrypt.RowOptions) error
}

// over refuses an operation whose end has come.
func (o *operation) over() error {
	if o.until.IsZero() || !time.Now().After(o.until) {
		return nil
	}
	return fmt.Errorf("the rebinding was to be over by %s: what still isn't rebound needs a new decision", o.until.Format(time.DateOnly))
}

// String names the operation.
func (o Operation) String() string {
	if o.op == nil {
		return "no operation"
	}
	return o.op.name
}

// What a job can do.
var (
	// Reencrypt writes each envelope again that isn't under the active data key
	// of its scope.
	Reencrypt = Operation{&operation{name: "reencrypt", writesCells: true, apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, opts fieldcrypt.RowOptions) error {
		return rows.Reencrypt(ctx, batch, opts)
	}}}

	// Encrypt turns plaintext into envelopes, in its own column or out of those
	// of Table.Plain, and makes the tags of blind indexes. It is the only operation that takes what isn't an
	// envelope for a value.
	Encrypt = Operation{&operation{name: "encrypt", writesCells: true, usesPlain: true, writesIndexes: true, apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, opts fieldcrypt.RowOptions) error {
		return rows.Encrypt(ctx, batch, opts)
	}}}

	// Reindex writes the tags of all blind indexes that aren't as they should be:
	// of an index that is new, of another version, or under another index key. A
	// dry run that would write none proves that every row is found.
	Reindex = Operation{&operation{name: "reindex", writesIndexes: true, leavesEnvelopes: true, apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, opts fieldcrypt.RowOptions) error {
		return rows.Reindex(ctx, batch, opts)
	}}}

	// Verify opens every envelope and changes nothing.
	Verify = Operation{&operation{name: "verify", leavesEnvelopes: true, apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, opts fieldcrypt.RowOptions) error {
		return rows.Verify(ctx, batch, opts)
	}}}

	// DecryptToPlaintext writes values in the clear, to the columns of
	// Table.Plain, or where there are none in the place of their envelopes. It
	// takes the protection of all that it reaches away.
	DecryptToPlaintext = Operation{&operation{name: "decrypt to plaintext", writesCells: true, usesPlain: true, writesPlain: true, leavesEnvelopes: true, apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, _ [][]any, opts fieldcrypt.RowOptions) error {
		return rows.DecryptToPlaintext(ctx, batch, opts)
	}}}
)

// A Rebinding says where envelopes were bound that now belong to another place:
// rows that went to another tenant, got another ID, or whose module or field has
// another permanent name.
type Rebinding struct {
	// Name tells this rebinding from others: a job that is run again goes on
	// with the one of the same name. 1 to 100 bytes.
	Name string

	// Was returns where the envelope that now belongs to a place was bound. It
	// is called from several goroutines. Row has what is in Columns, in their
	// order. An error is the row's. Deterministic fields are bound to no record,
	// whichever it tells.
	Was func(now envelope.Binding, row []any) (envelope.Binding, error)

	// Columns are further columns that Was needs to know, such as one with the
	// record's old ID.
	Columns []string

	// Set are columns that get these values together with the envelopes, in one
	// statement for each row: so a row goes to its new tenant. They are what the
	// place now is made of. Columns of the primary key can't be set.
	Set map[string]any

	// Until ends the rebinding: after it no job runs any more. For as long as
	// one does, envelopes of two places are accepted, at which whoever can write
	// to the database could have moved some. At most 90 days away.
	Until time.Time
}

const maxRebinding = 90 * 24 * time.Hour

// Rebind returns the operation that gives envelopes of other places one for
// theirs. What opens at its place already stays.
func Rebind(r Rebinding) (Operation, error) {
	switch {
	case r.Name == "" || len(r.Name) > 100:
		return Operation{}, errors.New("sweep: Rebind: Rebinding.Name must have 1 to 100 bytes: it tells which rebinding a job goes on with")
	case r.Was == nil:
		return Operation{}, errors.New("sweep: Rebind: Rebinding.Was is nil: it says where envelopes were bound")
	case r.Until.IsZero():
		return Operation{}, errors.New("sweep: Rebind: Rebinding.Until is zero: say when it has to be over")
	case time.Until(r.Until) > maxRebinding:
		return Operation{}, fmt.Errorf("sweep: Rebind: Rebinding.Until is more than %d days away: while it runs, envelopes of two places are accepted", maxRebinding/(24*time.Hour))
	}
	names := make([]string, 0, len(r.Set))
	for name := range r.Set {
		names = append(names, name)
	}
	slices.Sort(names)
	sets := make(map[string]any, len(r.Set))
	for name, v := range r.Set {
		sets[name] = v
	}
	return Operation{&operation{
		name: "rebind", what: r.Name + " sets " + strings.Join(names, ","), writesCells: true, writesIndexes: true, sets: sets, until: r.Until, extra: slices.Clone(r.Columns),
		apply: func(ctx context.Context, rows *fieldcrypt.Rows, batch []fieldcrypt.Row, extra [][]any, opts fieldcrypt.RowOptions) error {
			return rows.Rebind(ctx, batch, func(row int, now envelope.Binding) (envelope.Binding, error) {
				return r.Was(now, extra[row])
			}, opts)
		},
	}}, nil
}
