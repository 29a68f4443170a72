package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// operate rotates the key of one scope of the sample, and brings its rows through
// the operations of Rows.
func (t *trial) operate(ctx context.Context) error {
	r := rand.New(rand.NewPCG(t.s.seed, 3))
	scope := fieldcrypt.Scope{Tenant: pick(r, t.s.records...).tenant, Class: t.s.class(&t.s.fields[r.IntN(len(t.s.fields))])}
	if err := t.unmoved(ctx, "verify", t.rows.Verify); err != nil {
		return err
	}
	if err := t.unmoved(ctx, "re-index", t.rows.Reindex); err != nil {
		return err
	}
	key, err := t.crypt.Rotate(ctx, scope)
	if err != nil {
		return err
	}
	batch, err := t.batch(ctx)
	if err != nil {
		return err
	}
	if err := t.rows.Reencrypt(ctx, batch, fieldcrypt.RowOptions{}); err != nil {
		return fmt.Errorf("re-encrypt: %w", err)
	}
	lost := t.wrong.is(wrongLost)
	for row := range batch {
		for c, column := range t.rows.Columns() {
			cell := &batch[row].Cells[c]
			if cell.Err != nil {
				return fmt.Errorf("re-encrypt row %d, column %s: %w", row, column.Name, cell.Err)
			}
			if due := t.due(row, column.Name, scope); cell.Changed != due {
				return fmt.Errorf("re-encrypt row %d, column %s: changed is %t, and %t is due", row, column.Name, cell.Changed, due)
			}
			if !cell.Changed {
				continue
			}
			if lost {
				lost, t.wrong.applied = false, true
				continue
			}
			update := "UPDATE " + t.table + " SET " + t.quoted(column.Name) + " = ? WHERE " + t.quoted("no") + " = ?"
			if _, err := t.db.ExecContext(ctx, t.bind(update), cell.New, row); err != nil {
				return fmt.Errorf("re-encrypt row %d, column %s: %w", row, column.Name, err)
			}
		}
	}
	if err := t.under(ctx, scope, key); err != nil {
		return err
	}
	for name, call := range map[string]func(context.Context, []fieldcrypt.Row, fieldcrypt.RowOptions) error{
		"verify": t.rows.Verify, "re-encrypt again": t.rows.Reencrypt, "re-index": t.rows.Reindex, "encrypt": t.rows.Encrypt,
	} {
		if err := t.unmoved(ctx, name, call); err != nil {
			return err
		}
	}
	return nil
}

// batch is the table as rows.
func (t *trial) batch(ctx context.Context) ([]fieldcrypt.Row, error) {
	raw, err := t.scan(ctx, "")
	if err != nil {
		return nil, err
	}
	batch := make([]fieldcrypt.Row, len(raw))
	for i := range raw {
		row := &batch[i]
		for _, name := range t.rows.IDColumns() {
			row.ID = append(row.ID, raw[i][name])
		}
		if name := t.rows.TenantColumn(); name != "" {
			row.Tenant = raw[i][name]
		}
		for _, c := range t.rows.Columns() {
			row.Cells = append(row.Cells, fieldcrypt.RowCell{Old: raw[i][c.Name]})
		}
		for _, c := range t.rows.IndexColumns() {
			row.Index = append(row.Index, fieldcrypt.RowCell{Old: raw[i][c.Name]})
		}
	}
	return batch, nil
}

// due reports whether a cell has an envelope of the scope that a new data key
// concerns.
func (t *trial) due(row int, column string, scope fieldcrypt.Scope) bool {
	rec := &t.s.records[row]
	for i := range t.s.fields {
		f := &t.s.fields[i]
		if f.column() != column || f.Deterministic || rec.tenant != scope.Tenant || t.s.class(f) != scope.Class {
			continue
		}
		if slices.ContainsFunc(contents(rec.members, f), func(content any) bool { return content != nil }) {
			return true
		}
	}
	return false
}

// unmoved is a call that has to change nothing.
func (t *trial) unmoved(ctx context.Context, name string, call func(context.Context, []fieldcrypt.Row, fieldcrypt.RowOptions) error) error {
	batch, err := t.batch(ctx)
	if err != nil {
		return err
	}
	if err := call(ctx, batch, fieldcrypt.RowOptions{}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for row := range batch {
		for i, cell := range slices.Concat(batch[row].Cells, batch[row].Index) {
			column := slices.Concat(t.rows.Columns(), t.rows.IndexColumns())[i].Name
			switch {
			case cell.Err != nil:
				return fmt.Errorf("%s row %d, column %s: %w", name, row, column, cell.Err)
			case cell.Changed:
				return fmt.Errorf("%s row %d, column %s: it would be written anew", name, row, column)
			}
		}
	}
	return nil
}

// under checks the keys of all envelopes of a scope.
func (t *trial) under(ctx context.Context, scope fieldcrypt.Scope, key envelope.KeyID) error {
	batch, err := t.batch(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	for row := range batch {
		err := t.rows.Inspect(&batch[row], func(f fieldcrypt.RowFinding) {
			if f.State != fieldcrypt.RowSealed {
				wrong = append(wrong, fmt.Sprintf("row %d: %s is %s", row, f.Field, f.State))
			}
			if of := f.Scope == scope && f.Mode == envelope.ModeReference; of != (f.Key == key) {
				wrong = append(wrong, fmt.Sprintf("row %d: %s is under %s", row, f.Field, f.Key))
			}
		})
		if err != nil {
			return err
		}
	}
	if wrong != nil {
		return fmt.Errorf("the key of %s is %s: %s", scope, key, strings.Join(wrong, ", "))
	}
	return nil
}
