package sweep

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// batchMariaDB writes all rows with one statement. Keys, old and new values come
// as one JSON document, in which all but whole numbers are hexadecimal: so no
// character set has a say in them.
func (w *writer) batchMariaDB(ctx context.Context, q sqlconn.Querier, changes []*change, outcomes []outcome) error {
	document := make([]map[string]any, len(changes))
	for i, c := range changes {
		m := map[string]any{"i": i}
		for at := range w.key {
			m[fmt.Sprintf("k%d", at)] = hexOf(c.key[at])
		}
		for at := range w.swapped {
			m[fmt.Sprintf("o%d", at)] = hexOf(c.old[at])
		}
		for _, at := range w.writes {
			m[fmt.Sprintf("n%d", at)] = hexOf(w.sent(c, at))
		}
		document[i] = m
	}
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	query, args := w.statementMariaDB(string(text))
	w.hooks.Statement(query, args)
	answer, err := q.ExecContext(ctx, w.waiting()+query, args...)
	if err != nil {
		return err
	}
	affected, err := answer.RowsAffected()
	if err != nil {
		return err
	}
	now, err := w.many(ctx, q, keysOf(changes))
	if err != nil {
		return err
	}
	written, ours, lost := int64(0), true, false
	for i, c := range changes {
		if !w.written(now[c.key.name()], c) {
			outcomes[i], lost = outcomeLost, true
			continue
		}
		outcomes[i] = outcomeWritten
		written++
		ours = ours && w.random(c)
	}
	// A row that was written and holds something else is counted, and looks like
	// one that others changed. So does, the other way round, a row to which
	// somebody wrote the same value: it isn't counted. Nobody else writes the same
	// random envelope.
	if affected > written || lost && !ours && affected > 0 {
		return errAltered
	}
	return nil
}

// random reports whether a change writes an envelope that nobody else could have
// written.
func (w *writer) random(c *change) bool {
	for _, at := range w.writes {
		if c.stays(at) {
			continue
		}
		var env []byte
		switch v := c.new[at].(type) {
		case string:
			env, _ = envelope.DecodeText(v)
		case []byte:
			env = v
		}
		if info, err := envelope.Inspect(env); err == nil && info.Mode != envelope.ModeDeterministic {
			return true
		}
	}
	return false
}

// hexOf is a value in the document; NULL stays null.
func hexOf(v any) any {
	if v == nil {
		return nil
	}
	return hex.EncodeToString([]byte(textOf(v)))
}

func (w *writer) statementMariaDB(document string) (string, []any) {
	var fields, joins, sets []string
	args := []any{document}
	field := func(name string) {
		fields = append(fields, name+" LONGTEXT CHARACTER SET ascii COLLATE ascii_bin PATH '$."+name+"'")
	}
	for i := range w.key {
		c, name := &w.key[i], fmt.Sprintf("k%d", i)
		field(name)
		joins = append(joins, "t."+quote(MariaDB, c.name)+" = "+unhexed(c, "v."+name))
	}
	for i := range w.swapped {
		if w.hooks.NoSwap {
			continue
		}
		c, name := &w.swapped[i], fmt.Sprintf("o%d", i)
		field(name)
		column := "t." + quote(MariaDB, c.name)
		switch c.form {
		case formText:
			column = "CAST(CONVERT(" + column + " USING utf8mb4) AS BINARY)"
		case formBytes:
			column = "CAST(" + column + " AS BINARY)"
		default:
			column = "CAST(CAST(" + column + " AS CHAR CHARACTER SET utf8mb4) AS BINARY)"
		}
		joins = append(joins, column+" <=> UNHEX(v."+name+")")
	}
	for _, i := range w.writes {
		c, name := &w.touched[i], fmt.Sprintf("n%d", i)
		field(name)
		sets = append(sets, "t."+quote(MariaDB, c.name)+" = "+unhexed(c, "v."+name))
	}
	for i := range w.target.sets {
		c := &w.target.sets[i]
		sets = append(sets, "t."+quote(MariaDB, c.name)+" = ?")
		args = append(args, w.reader.sets[c.name])
	}
	return "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (" + strings.Join(fields, ", ") + ")) AS v STRAIGHT_JOIN " + w.from + " AS t ON " +
		strings.Join(joins, " AND ") + " SET " + strings.Join(sets, ", "), args
}

// unhexed is a value of the document as a column takes it.
func unhexed(c *column, field string) string {
	kind := strings.ToLower(c.typ)
	switch {
	case c.form == formBytes:
		return "UNHEX(" + field + ")"
	case c.form == formInt && strings.Contains(kind, "unsigned"):
		return "CAST(CONVERT(UNHEX(" + field + ") USING utf8mb4) AS UNSIGNED)"
	case c.form == formInt:
		return "CAST(CONVERT(UNHEX(" + field + ") USING utf8mb4) AS SIGNED)"
	case strings.HasPrefix(kind, "decimal"):
		return "CAST(CONVERT(UNHEX(" + field + ") USING utf8mb4) AS DECIMAL(65,30))"
	}
	return "CONVERT(UNHEX(" + field + ") USING utf8mb4)"
}
