package sqlstore

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Limits in bytes: the format's, and those of a change's words.
const (
	maxName    = 255
	maxPurpose = 16
	maxRootKey = 512
	maxWrapped = 6144
	maxBy      = 255
	maxWhy     = 1024
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", envelope.ErrMalformed, fmt.Sprintf(format, args...))
}

// A place is a scope and purpose, in the form that is stored.
type place struct {
	scope   envelope.Scope
	purpose envelope.Purpose
}

func placeOf(scope envelope.Scope, purpose envelope.Purpose) place {
	if scope.Class == "" {
		scope.Class = envelope.DefaultClass
	}
	return place{scope, purpose}
}

func (p place) String() string { return fmt.Sprintf("%s, purpose %.16q", p.scope, string(p.purpose)) }

// args are the columns tenant, class and purpose.
func (p place) args() []any {
	return []any{[]byte(p.scope.Tenant), []byte(p.scope.Class), string(p.purpose)}
}

// key are the columns of the primary key.
func (p place) key(id envelope.KeyID) []any { return append(p.args(), id[:]) }

func (p place) name(id envelope.KeyID) envelope.KeyName {
	return envelope.KeyName{Scope: p.scope, Purpose: p.purpose, ID: id}
}

// check refuses what the columns can't hold. A database that cuts off what is
// too long, as MariaDB may be set to, would take two tenants for one.
func (p place) check() error {
	switch {
	case p.scope.Tenant == "" || len(p.scope.Tenant) > maxName:
		return malformed("the tenant is %d bytes, it must be 1 to %d", len(p.scope.Tenant), maxName)
	case len(p.scope.Class) > maxName:
		return malformed("the class is %d bytes, the limit is %d", len(p.scope.Class), maxName)
	case !word(string(p.purpose)):
		return malformed("the purpose is %.16q: it must be 1 to %d of the characters a-z, 0-9, - and _", string(p.purpose), maxPurpose)
	}
	return nil
}

// word reports whether s can be a purpose or a state.
func word(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxPurpose
}

func knownState(s envelope.State) bool {
	switch s {
	case envelope.StatePending, envelope.StateActive, envelope.StateRetired,
		envelope.StateSuspended, envelope.StateScheduled, envelope.StateDestroyed:
		return true
	}
	return false
}

// checkRecord refuses a record whose changeable parts the columns can't hold.
func checkRecord(rec *envelope.Record) error {
	switch {
	case len(rec.RootKey) > maxRootKey:
		return malformed("the root key's URI is %d bytes, the limit is %d", len(rec.RootKey), maxRootKey)
	case rec.State == envelope.StateDestroyed:
	case len(rec.Wrapped) == 0 || len(rec.Wrapped) > maxWrapped:
		return malformed("the wrapped key is %d bytes, it must be 1 to %d", len(rec.Wrapped), maxWrapped)
	}
	switch {
	case len(rec.Change.By) > maxBy:
		return malformed("Change.By is %d bytes, the limit is %d", len(rec.Change.By), maxBy)
	case len(rec.Change.Why) > maxWhy:
		return malformed("Change.Why is %d bytes, the limit is %d", len(rec.Change.Why), maxWhy)
	case rec.Budget > math.MaxInt64:
		return malformed("the budget is %d messages, the limit is %d", rec.Budget, math.MaxInt64)
	}
	return nil
}

// columns are those of a record, in the order of row.fields and of inserted.
const columns = "tenant, class, purpose, key_id, state, root_key, wrapped, created, not_after, budget, tag, " +
	"destroy_after, changed_at, changed_by, changed_why"

// inserted are the values of columns for a new record.
func inserted(rec *envelope.Record, p place, state envelope.State) []any {
	return append(
		p.key(rec.KeyID), string(state), []byte(rec.RootKey), rec.Wrapped,
		rec.Created.Unix(), seconds(rec.NotAfter), int64(rec.Budget), rec.Tag[:],
		seconds(rec.DestroyAfter), seconds(rec.Change.At), text(rec.Change.By), text(rec.Change.Why),
	)
}

// seconds is NULL for no time.
func seconds(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// text is NULL for no text.
func text(s string) any {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// A row is a record as the database has it.
type row struct {
	tenant, class, id     []byte
	purpose, state        string
	rootKey, wrapped, tag []byte
	created, budget       int64
	notAfter, destroy, at sql.NullInt64
	by, why               []byte
}

func (r *row) fields() []any {
	return []any{
		&r.tenant, &r.class, &r.purpose, &r.id, &r.state, &r.rootKey, &r.wrapped, &r.created, &r.notAfter, &r.budget, &r.tag,
		&r.destroy, &r.at, &r.by, &r.why,
	}
}

// record is the record, or says what is wrong with the row.
func (r *row) record() (envelope.Record, error) {
	state := envelope.State(r.state)
	switch destroyed := state == envelope.StateDestroyed; {
	case len(r.id) != len(envelope.KeyID{}):
		return envelope.Record{}, r.malformed("its key ID is %d bytes, it must be %d", len(r.id), len(envelope.KeyID{}))
	case len(r.tag) != len(envelope.Record{}.Tag):
		return envelope.Record{}, r.malformed("its tag is %d bytes, it must be %d", len(r.tag), len(envelope.Record{}.Tag))
	case !knownState(state):
		return envelope.Record{}, r.malformed("its state is %.20q, which this version doesn't know", r.state)
	case destroyed && len(r.wrapped) > 0:
		return envelope.Record{}, r.malformed("it is destroyed and has a wrapped key")
	case !destroyed && (len(r.wrapped) == 0 || len(r.wrapped) > maxWrapped):
		return envelope.Record{}, r.malformed("its wrapped key is %d bytes, it must be 1 to %d", len(r.wrapped), maxWrapped)
	case r.budget < 0:
		return envelope.Record{}, r.malformed("its budget is %d messages", r.budget)
	}
	rec := envelope.Record{
		KeyID:   envelope.KeyID(r.id),
		Scope:   envelope.Scope{Tenant: string(r.tenant), Class: string(r.class)},
		Purpose: envelope.Purpose(r.purpose), RootKey: string(r.rootKey),
		State: state, Created: time.Unix(r.created, 0).UTC(), NotAfter: moment(r.notAfter),
		Budget: uint64(r.budget), Tag: [32]byte(r.tag), DestroyAfter: moment(r.destroy),
		Change: envelope.Change{At: moment(r.at), By: string(r.by), Why: string(r.why)},
	}
	if len(r.wrapped) > 0 {
		rec.Wrapped = r.wrapped
	}
	return rec, nil
}

func moment(s sql.NullInt64) time.Time {
	if !s.Valid {
		return time.Time{}
	}
	return time.Unix(s.Int64, 0).UTC()
}

// malformed names the key as well as it can be named.
func (r *row) malformed(format string, args ...any) error {
	scope := envelope.Scope{Tenant: string(r.tenant), Class: string(r.class)}
	return fmt.Errorf("%w: the record of key %s (%s, purpose %.16q): %s",
		envelope.ErrMalformed, hex.EncodeToString(r.id[:min(len(r.id), 40)]), scope, r.purpose, fmt.Sprintf(format, args...))
}
