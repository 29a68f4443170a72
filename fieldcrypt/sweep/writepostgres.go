package sweep

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// batchPostgres writes all rows with one statement, whose text doesn't depend on
// how many they are: keys, old and new values come as arrays in their text form,
// which every driver can send.
func (w *writer) batchPostgres(ctx context.Context, q sqlconn.Querier, changes []*change, outcomes []outcome) error {
	query, args := w.statementPostgres(changes)
	w.hooks.Statement(query, args)
	at := make(map[string]int, len(changes))
	for i, c := range changes {
		at[c.key.name()] = i
		outcomes[i] = outcomeLost
	}
	altered := false
	err := sqlconn.Each(ctx, q, query, args, func(scan func(...any) error) error {
		texts := make([]string, len(w.key))
		targets := make([]any, len(w.key)+1)
		for i := range texts {
			targets[i] = &texts[i]
		}
		var holds bool
		targets[len(w.key)] = &holds
		if err := scan(targets...); err != nil {
			return err
		}
		k := make(key, len(texts))
		for i, text := range texts {
			k[i] = text
		}
		i, ok := at[k.name()]
		if !ok {
			return fmt.Errorf("sweep: the database wrote a row with the key %s, which wasn't asked for", k)
		}
		outcomes[i] = outcomeWritten
		altered = altered || !holds
		return nil
	})
	if err != nil {
		return err
	}
	if altered {
		return errAltered
	}
	if !w.checks() {
		return nil
	}
	now, err := w.many(ctx, q, keysOf(changes)) // RETURNING comes before triggers that run after the statement
	if err != nil {
		return err
	}
	for i, c := range changes {
		if rec := now[c.key.name()]; outcomes[i] == outcomeWritten && (rec == nil || !w.holds(rec, c)) {
			return errAltered
		}
	}
	return nil
}

func keysOf(changes []*change) []key {
	keys := make([]key, len(changes))
	for i, c := range changes {
		keys[i] = c.key
	}
	return keys
}

func (w *writer) statementPostgres(changes []*change) (string, []any) {
	var arrays, names, sets, wheres, returns, holds []string
	var args []any
	array := func(name, typ string, value func(*change) any) {
		args = append(args, arrayOf(changes, typ == "bytea", value))
		arrays = append(arrays, fmt.Sprintf("CAST(CAST($%d AS text) AS %s[])", len(args), typ))
		names = append(names, name)
	}
	for i := range w.key {
		c, name := &w.key[i], fmt.Sprintf("k%d", i)
		array(name, c.typ, func(ch *change) any { return ch.key[i] })
		wheres = append(wheres, "t."+quote(Postgres, c.name)+" = v."+name)
		returns = append(returns, "CAST(t."+quote(Postgres, c.name)+" AS text)")
	}
	for i := range w.swapped {
		c := &w.swapped[i]
		if w.hooks.NoSwap {
			continue
		}
		typ := c.sentAs()
		array(fmt.Sprintf("o%d", i), typ, func(ch *change) any { return ch.old[i] })
		wheres = append(wheres, c.comparedPostgres()+fmt.Sprintf(" IS NOT DISTINCT FROM v.o%d", i))
	}
	for _, i := range w.writes {
		c, name := &w.touched[i], fmt.Sprintf("n%d", i)
		array(name, c.sentAs(), func(ch *change) any { return w.sent(ch, i) })
		sets = append(sets, quote(Postgres, c.name)+" = CAST(v."+name+" AS "+c.typ+")")
		if c.form == formOther { // it is read again
			holds = append(holds, "(t."+quote(Postgres, c.name)+" IS NULL) = (v."+name+" IS NULL)")
			continue
		}
		holds = append(holds, c.comparedPostgres()+" IS NOT DISTINCT FROM v."+name)
	}
	for i := range w.target.sets {
		c := &w.target.sets[i]
		args = append(args, w.argument(c, w.reader.sets[c.name]))
		sets = append(sets, quote(Postgres, c.name)+fmt.Sprintf(" = CAST(CAST($%d AS text) AS %s)", len(args), c.typ))
	}
	return "UPDATE " + w.from + " AS t SET " + strings.Join(sets, ", ") +
		" FROM unnest(" + strings.Join(arrays, ", ") + ") AS v(" + strings.Join(names, ", ") + ")" +
		" WHERE " + strings.Join(wheres, " AND ") +
		" RETURNING " + strings.Join(returns, ", ") + ", " + strings.Join(holds, " AND "), args
}

// sentAs is the type that a column's values are sent as.
func (c *column) sentAs() string {
	switch c.form {
	case formBytes:
		return "bytea"
	case formJSON:
		return "jsonb"
	case formInt:
		return c.typ
	}
	return "text"
}

// comparedPostgres is a column as its bytes compare, whatever its collation takes
// for equal.
func (c *column) comparedPostgres() string {
	name := "t." + quote(Postgres, c.name)
	if c.form == formText || c.form == formOther {
		return "CAST(" + name + ` AS text) COLLATE "C"`
	}
	return name
}

// arrayOf writes a column of the changes as PostgreSQL reads arrays (section
// 8.15.2 of its manual).
func arrayOf(changes []*change, binary bool, value func(*change) any) string {
	out := make([]byte, 0, 64*len(changes))
	for i, c := range changes {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		out = append(out, separator)
		v := value(c)
		if v == nil {
			out = append(out, "NULL"...)
			continue
		}
		out = append(out, '"')
		if raw, ok := v.([]byte); ok && binary {
			out = hex.AppendEncode(append(out, `\\x`...), raw)
		} else if text := textOf(v); strings.ContainsAny(text, `"\`) {
			for _, c := range []byte(text) {
				if c == '"' || c == '\\' {
					out = append(out, '\\')
				}
				out = append(out, c)
			}
		} else {
			out = append(out, text...)
		}
		out = append(out, '"')
	}
	return string(append(out, '}'))
}
