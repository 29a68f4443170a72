package sweep

import (
	"context"
	"database/sql"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// transact runs work in a transaction of its own. No key service and no key
// store is called in one.
func (w *writer) transact(ctx context.Context, work func(q sqlconn.Querier) error) error {
	return transact(ctx, w.db, w.dialect, work)
}

func transact(ctx context.Context, db *sql.DB, d Dialect, work func(q sqlconn.Querier) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return sqlconn.Transact(ctx, c, sqlconn.Dialect(d), work)
}
