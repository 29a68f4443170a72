package sweep

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// A change is a row that is to be written.
type change struct {
	*record
	new []any // of target.touched; what stays is as in record.value
}

// stays reports whether a column gets what was read of it.
func (c *change) stays(at int) bool { return reflect.DeepEqual(c.new[at], c.value[at]) }

// An outcome is what became of a change.
type outcome uint8

const (
	outcomeUnknown outcome = iota
	outcomeWritten
	outcomeLost    // the row isn't any more as it was read
	outcomeAltered // the database holds something else than was written; taken back
	outcomeRefused // the database refused the row
	outcomeLocked  // another transaction held a lock on the row for too long
	outcomeEnded   // the server ended the statement
)

// A writer writes changes into a table, each only where its row is as it was
// read.
type writer struct {
	*Sweeper
	*reader
	hooks hooks.Hooks
	wait  time.Duration // of the transaction's statements, for a lock

	// unanswered says that the database didn't answer before. What it was asked may
	// run on there, and hold locks: that is the same outage.
	unanswered bool
}

// locked reports that others hold a lock.
func (w *writer) locked(err error) bool { return sqlerr.LockTimeout(err) && !w.unanswered }

// A result is what became of a batch.
type result struct {
	outcomes []outcome
	codes    map[int]string // of those refused
	saved    bool           // whether save ran in the transaction that wrote them all
}

// ended reports that the server ended the statement of a row.
func (r *result) ended() bool { return slices.Contains(r.outcomes, outcomeEnded) }

// errAltered ends a transaction in which a row isn't what was written.
var errAltered = errors.New("a row isn't what was written")

// write writes the changes in one transaction. If all of them were written, save
// runs in it too, before it commits. Rows that the database refuses or alters, or
// that others hold a lock on, or on which a statement takes longer than the server
// lets one, are found out one by one, each in a transaction of its own: nobody waits
// for the locks of a batch that itself waits for one.
func (w *writer) write(ctx context.Context, changes []*change, save func(ctx context.Context, q sqlconn.Querier) error) (result, error) {
	out := result{outcomes: make([]outcome, len(changes))}
	w.hooks.Step("begin")
	err := w.transact(ctx, lockWait, func(ctx context.Context, q sqlconn.Querier) error {
		if err := w.batch(ctx, q, changes, out.outcomes); err != nil {
			return err
		}
		w.hooks.Step("written")
		for _, o := range out.outcomes {
			if o != outcomeWritten {
				return nil
			}
		}
		if err := save(ctx, q); err != nil {
			return err
		}
		out.saved = true
		w.hooks.Step("saved")
		return nil
	})
	if err == nil {
		w.hooks.Step("committed")
		return out, nil
	}
	out.saved = false
	if !errors.Is(err, errAltered) && !w.locked(err) && !sqlerr.Ended(err) && (ctx.Err() != nil || errors.Is(err, errLost) || passes(err) || sqlerr.Of(err) == sqlerr.ReadOnly || sqlerr.Hopeless(err)) {
		return out, err
	}
	if sqlerr.Ended(err) && len(changes) == 1 { // no statement is smaller
		out.outcomes[0] = outcomeEnded
		return out, nil
	}
	out.codes = map[int]string{}
	for i := range changes {
		out.outcomes[i] = outcomeUnknown
		err := w.transact(ctx, rowLockWait, func(ctx context.Context, q sqlconn.Querier) error {
			return w.single(ctx, q, changes[i], &out.outcomes[i])
		})
		switch {
		case err == nil:
		case errors.Is(err, errAltered):
			out.outcomes[i] = outcomeAltered
		case ctx.Err() == nil && w.locked(err):
			out.outcomes[i] = outcomeLocked
		case ctx.Err() == nil && sqlerr.Ended(err):
			out.outcomes[i] = outcomeEnded
		case ctx.Err() != nil || passes(err) || sqlerr.Of(err) == sqlerr.ReadOnly || sqlerr.Hopeless(err):
			return out, err
		default:
			out.outcomes[i], out.codes[i] = outcomeRefused, sqlerr.Code(err)
		}
	}
	return out, nil
}

// batch writes changes by the dialect's best means.
func (w *writer) batch(ctx context.Context, q sqlconn.Querier, changes []*change, outcomes []outcome) error {
	switch {
	case len(changes) == 0:
		return nil
	case len(w.writes)+len(w.target.sets) == 0:
		return errors.New("sweep: an operation that writes nothing was about to write")
	case w.dialect == Postgres:
		return w.batchPostgres(ctx, q, changes, outcomes)
	case w.dialect == MariaDB && len(changes) > 1 && !w.bindsTimes(changes):
		return w.batchMariaDB(ctx, q, changes, outcomes)
	}
	for i, c := range changes {
		if err := w.single(ctx, q, c, &outcomes[i]); err != nil {
			return err
		}
	}
	return nil
}

// single writes one row.
func (w *writer) single(ctx context.Context, q sqlconn.Querier, c *change, o *outcome) error {
	if w.dialect == Postgres { // the statement for many also tells whether each holds what was written
		outcomes := make([]outcome, 1)
		err := w.batchPostgres(ctx, q, []*change{c}, outcomes)
		*o = outcomes[0]
		return err
	}
	var sets, wheres []string
	var args []any
	for _, at := range w.writes {
		sets = append(sets, quote(w.dialect, w.touched[at].name)+" = "+w.parameter(&w.touched[at]))
		args = append(args, w.sent(c, at))
	}
	for i := range w.target.sets {
		sets = append(sets, quote(w.dialect, w.target.sets[i].name)+" = "+w.parameter(&w.target.sets[i]))
		args = append(args, w.argument(&w.target.sets[i], w.reader.sets[w.target.sets[i].name]))
	}
	for i := range w.key {
		wheres = append(wheres, quote(w.dialect, w.key[i].name)+" = "+w.keyParameter(&w.key[i]))
		args = append(args, c.key[i])
	}
	if !w.hooks.NoSwap {
		for i := range w.swapped {
			wheres = append(wheres, w.unchanged(&w.swapped[i]))
			args = append(args, c.old[i])
		}
	}
	answer, err := q.ExecContext(ctx, bind(w.dialect, w.waiting()+"UPDATE "+w.from+" SET "+strings.Join(sets, ", ")+" WHERE "+strings.Join(wheres, " AND ")), args...)
	if err != nil {
		return err
	}
	n, err := answer.RowsAffected()
	switch {
	case err != nil:
		return err
	case n == 0 && w.dialect == MariaDB: // it doesn't count a row that held the same before
		now, err := w.one(ctx, q, c.key)
		if *o = outcomeLost; w.written(now, c) {
			*o = outcomeWritten
		}
		return err
	case n == 0:
		*o = outcomeLost
		return nil
	}
	*o = outcomeWritten
	if w.checks() {
		return w.check(ctx, q, c)
	}
	return nil
}

// checks reports whether what was written is read again before the transaction
// commits: where a trigger may have changed it, in MariaDB, which without its
// strict mode cuts off what a column is too narrow for, and for values in the
// clear, which columns of all types take and may round.
func (w *writer) checks() bool { return w.triggers || w.plainly || w.dialect == MariaDB }

// check fails if a row isn't what was written.
func (w *writer) check(ctx context.Context, q sqlconn.Querier, c *change) error {
	now, err := w.one(ctx, q, c.key)
	if err != nil {
		return err
	}
	if now == nil || !w.holds(now, c) {
		return errAltered
	}
	return nil
}

// holds reports whether a row that was read again holds what a change wrote.
func (w *writer) holds(now *record, c *change) bool {
	for _, at := range w.writes {
		if !w.same(now, c, at) {
			return false
		}
	}
	return w.isSet(now, true)
}

// written reports whether a row that was read again, if it is there, is as a change
// makes it of what it was made from.
func (w *writer) written(now *record, c *change) bool {
	return now != nil && w.holds(now, c) && w.based(now, c)
}

// based reports whether a row still has what a change was made from: what was read of
// the columns that it doesn't write. A row that merely looks as if it had been written
// may have got another value meanwhile.
func (w *writer) based(now *record, c *change) bool {
	for i := range w.swapped {
		_, set := w.reader.sets[w.swapped[i].name]
		if slices.Contains(w.writes, i) || i >= len(w.touched) && set {
			continue
		}
		if was, is := c.old[i], now.old[i]; (was == nil) != (is == nil) || was != nil && textOf(was) != textOf(is) {
			return false
		}
	}
	return true
}

// isSet reports whether a row holds what the operation sets beside the cells.
// Unsure is the answer for values that the database may give back in another way
// of writing.
func (r *reader) isSet(rec *record, unsure bool) bool {
	for i := len(r.touched); i < len(r.swapped); i++ {
		c := &r.swapped[i]
		to, ok := r.sets[c.name]
		if !ok {
			continue
		}
		holds := rec.old[i]
		plain := false
		switch to.(type) {
		case string, []byte, int, int64:
			plain = c.form == formText || c.form == formBytes || r.dialect == SQLite
		}
		switch {
		case holds == nil && to == nil, holds != nil && to != nil && textOf(holds) == textOf(to):
		case holds != nil && to != nil && !plain && unsure:
		default:
			return false
		}
	}
	return true
}

// same compares what a column holds with what was written to it. A value in the
// clear has to come back as Encrypt would take it. JSON that the database parses
// may come back in another way of writing.
func (w *writer) same(now *record, c *change, at int) bool {
	holds, wrote := now.value[at], c.new[at]
	switch {
	case holds == nil || wrote == nil:
		return holds == nil && wrote == nil
	case c.stays(at) && textOf(now.old[at]) == textOf(c.old[at]):
		return true
	case w.touched[at].form == formJSON:
		return sameJSON(holds, wrote)
	case (!w.plainly || isText(holds) && isText(wrote)) && textOf(holds) == textOf(wrote):
		return true
	case !w.plainly:
		return false
	}
	for i, apart := range w.plainAt {
		if i == at || apart == at {
			return w.Rows.SamePlaintext(i, holds, wrote)
		}
	}
	return false
}

func isText(v any) bool {
	switch v.(type) {
	case string, []byte:
		return true
	}
	return false
}

// unchanged is the condition that a column holds what was read of it.
func (w *writer) unchanged(c *column) string {
	name := quote(w.dialect, c.name)
	switch w.dialect {
	case Postgres:
		switch c.form {
		case formText, formOther:
			return "CAST(" + name + ` AS text) COLLATE "C" IS NOT DISTINCT FROM CAST(? AS text)`
		case formJSON:
			return name + " IS NOT DISTINCT FROM CAST(CAST(? AS text) AS jsonb)"
		}
		return name + " IS NOT DISTINCT FROM CAST(? AS " + c.typ + ")"
	case MariaDB:
		switch c.form {
		case formText:
			return "CAST(CONVERT(" + name + " USING utf8mb4) AS BINARY) <=> CAST(? AS BINARY)"
		case formOther:
			return w.compared(c) + " <=> CAST(? AS BINARY)"
		case formBytes:
			return "CAST(" + name + " AS BINARY) <=> CAST(? AS BINARY)"
		}
		return name + " <=> ?"
	}
	return name + " COLLATE BINARY IS ?" // whatever the column's own collation takes for equal
}

// parameter is a placeholder for a column's new value.
func (w *writer) parameter(c *column) string {
	if w.dialect == Postgres {
		if c.form == formBytes {
			return "CAST(? AS bytea)"
		}
		return "CAST(CAST(? AS text) AS " + c.typ + ")"
	}
	return "?"
}

// argument is a column's new value as its placeholder takes it.
func (w *writer) argument(c *column, v any) any {
	if v == nil || w.dialect != Postgres || c.form == formBytes {
		return v
	}
	return textOf(v)
}

// sent is what a column gets of a change. In columns of text and bytes each value
// has the text that Encrypt reads.
func (w *writer) sent(c *change, at int) any {
	column, v := &w.touched[at], c.new[at]
	t, isTime := v.(time.Time)
	b, isBool := v.(bool)
	switch {
	case v == nil:
		return nil
	case isTime && w.asText(column) && c.stays(at):
		return c.old[at]
	case isTime && (!w.asText(column) || w.dialect == SQLite):
		v = rfc3339(t)
	case isBool && (column.form == formInt || column.form == formOther && w.dialect == MariaDB):
		v = int64(0)
		if b {
			v = int64(1)
		}
	}
	if w.dialect == SQLite {
		return v
	}
	switch column.form {
	case formBytes:
		if raw, is := v.([]byte); is {
			return raw
		}
		return []byte(textOf(v))
	case formText:
		return textOf(v)
	}
	return w.argument(column, v)
}

// rfc3339 writes a time in its own zone, where RFC 3339 has one for it.
func rfc3339(t time.Time) string {
	if _, offset := t.Zone(); offset%60 != 0 {
		t = t.UTC()
	}
	return t.Format(time.RFC3339Nano)
}

// bindsTimes reports whether a time goes to a column of another form in MariaDB:
// the driver writes it, in the zone in which it also reads such columns.
func (w *writer) bindsTimes(changes []*change) bool {
	for _, c := range changes {
		for _, at := range w.writes {
			if _, is := c.new[at].(time.Time); is && w.asText(&w.touched[at]) && !c.stays(at) {
				return true
			}
		}
	}
	return false
}

// textOf writes a value as databases read it.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999999Z07:00") // a column without a zone drops it
	}
	return fmt.Sprint(v)
}
