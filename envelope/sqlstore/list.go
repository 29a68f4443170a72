package sqlstore

import (
	"context"
	"database/sql"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// statesAtOnce is how many keys one query asks for. SQLite takes a thousand
// conditions, and once took only 999 values.
const statesAtOnce = 100

// unknownState is the answer for a row whose state this version doesn't know: a key
// ring stops using that key, and goes on with the others.
const unknownState envelope.State = "unknown"

// States implements [envelope.KeyStore].
func (s *Store) States(ctx context.Context, keys []envelope.KeyName) ([]envelope.State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := make(map[envelope.KeyName]envelope.State, len(keys))
	ask := make([]envelope.KeyName, 0, min(len(keys), statesAtOnce))
	for i, k := range keys {
		if placeOf(k.Scope, k.Purpose).check() == nil {
			ask = append(ask, k)
		}
		if len(ask) == statesAtOnce || i == len(keys)-1 && len(ask) > 0 {
			if err := s.someStates(ctx, ask, found); err != nil {
				return nil, err
			}
			ask = ask[:0]
		}
	}
	states := make([]envelope.State, len(keys))
	for i, k := range keys {
		states[i] = found[placeOf(k.Scope, k.Purpose).name(k.ID)]
	}
	return states, nil
}

func (s *Store) someStates(ctx context.Context, keys []envelope.KeyName, found map[envelope.KeyName]envelope.State) error {
	query, args := s.states(keys)
	return s.run(ctx, s.db, operation{"States", nil}, func(c *sql.Conn) error {
		return sqlconn.Each(ctx, c, query, args, func(scan func(...any) error) error {
			var r row
			if err := scan(&r.tenant, &r.class, &r.purpose, &r.id, &r.state); err != nil {
				return r.malformed("%v", err)
			}
			if len(r.id) != len(envelope.KeyID{}) {
				return nil // nobody asked for it
			}
			state := envelope.State(r.state)
			if !knownState(state) {
				state = unknownState
			}
			p := place{envelope.Scope{Tenant: string(r.tenant), Class: string(r.class)}, envelope.Purpose(r.purpose)}
			found[p.name(envelope.KeyID(r.id))] = state
			return nil
		})
	})
}

// Page implements [envelope.KeyStore].
func (s *Store) Page(ctx context.Context, f envelope.Filter, after envelope.KeyName, limit int) ([]envelope.Record, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, err
	}
	query, args := s.page(&f, after, limit)
	var page []envelope.Record
	err := s.run(ctx, s.db, operation{"Page", nil}, func(c *sql.Conn) (err error) {
		page, err = records(ctx, c, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}
