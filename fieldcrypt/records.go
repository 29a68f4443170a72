package fieldcrypt

import (
	"context"
	"fmt"
	"unsafe"
)

// Records encrypts and decrypts the marked fields of records of type T. Make
// one with [For] at start-up and keep it. It is safe for concurrent use, on
// different records: copies that share a map (see [Fields]) or what a pointer
// leads to aren't that. Calls of Records that For didn't make return an error.
type Records[T any] struct{ handle handle }

// handle is the part of Records that is the same for every T.
type handle struct {
	crypt  *Crypt
	plan   *plan
	tenant *string // of ForTenant

	normalisers [][]Normaliser              // of plan.indexes, one for each of their fields
	migrating   map[*marked]*migrationCount // nil where no field is in migrating mode
}

// For checks the tags of T, which is a struct type, and compiles them. The
// package comment lists them. An error names the type and the field, and means
// that the program has to be changed.
func For[T any](c *Crypt) (*Records[T], error) {
	if !c.made() {
		return nil, errNoCrypt
	}
	p, err := planFor[T]()
	if err != nil {
		return nil, err
	}
	h := handle{crypt: c, plan: p, migrating: c.counting(p)}
	if err := h.resolve(); err != nil {
		return nil, err
	}
	return &Records[T]{h}, nil
}

// ForTenant returns a handle for the records of one tenant, which shares all
// else with r. A type without a tenant field needs it. Where a record has a
// tenant field, it must hold the same tenant.
func (r *Records[T]) ForTenant(tenant string) *Records[T] {
	return &Records[T]{*r.of().forTenant(tenant)}
}

func (h *handle) forTenant(tenant string) *handle {
	of := *h
	of.tenant = &tenant
	return &of
}

// of returns the handle; of nil Records, one that For didn't make.
func (r *Records[T]) of() *handle {
	if r == nil {
		return &handle{}
	}
	return &r.handle
}

// Encrypt gives every marked value that the program set an envelope, so that
// the records can be written. Call it before the transaction begins: it may
// call the key service.
//
// It is all or nothing: on an error no record was changed. In particular, what
// was encrypted or read before still has its envelope, and Value returns it,
// also for a record whose ID was changed since: a program that goes on after
// the error writes envelopes that can't be opened there. A value that has
// its envelope already keeps it, if it is the envelope of this very tenant,
// class, field and record, and this Crypt sealed or opened it: what another one
// did is encrypted anew. One that was scanned and not decrypted is opened to
// make sure. A value that couldn't be decrypted keeps its envelope too, at the
// place where that was tried. Null stays null.
//
// A record needs its ID before it is encrypted, unless its type is unbound.
func (r *Records[T]) Encrypt(ctx context.Context, records ...*T) error {
	h := r.of()
	w, err := h.beginValues(ctx, "Encrypt")
	if err != nil {
		return err
	}
	defer w.end()
	for i, record := range records {
		if record == nil {
			return h.isNil("Encrypt", i)
		}
		if err := h.gatherPlain(w, i, unsafe.Pointer(record)); err != nil {
			return err
		}
	}
	return h.seal(ctx, w)
}

// EncryptAll is Encrypt for all elements of a slice.
func (r *Records[T]) EncryptAll(ctx context.Context, records []T) error {
	h := r.of()
	w, err := h.beginValues(ctx, "EncryptAll")
	if err != nil {
		return err
	}
	defer w.end()
	for i := range records {
		if err := h.gatherPlain(w, i, unsafe.Pointer(&records[i])); err != nil {
			return err
		}
	}
	return h.seal(ctx, w)
}

// Decrypt opens the marked values of records that were read. The records may
// belong to many tenants; each data key is fetched once.
//
// Values that can't be opened become unavailable and keep their envelopes; the
// others are opened. The error is then a [*DecryptError] that lists them. A
// later Decrypt tries unavailable values again. Values that are null, set by
// the program, or opened already stay as they are.
func (r *Records[T]) Decrypt(ctx context.Context, records ...*T) error {
	h := r.of()
	w, err := gatherSealed(ctx, h, "Decrypt", records)
	if err != nil {
		return err
	}
	defer w.end()
	return h.open(ctx, w)
}

// DecryptAll is Decrypt for all elements of a slice.
func (r *Records[T]) DecryptAll(ctx context.Context, records []T) error {
	h := r.of()
	w, err := h.beginValues(ctx, "DecryptAll")
	if err != nil {
		return err
	}
	defer w.end()
	for i := range records {
		h.gatherEnvelopes(w, i, unsafe.Pointer(&records[i]))
	}
	return h.open(ctx, w)
}

// DecryptStrict is Decrypt for callers to whom a part is of no use: it returns
// the first failure, as a [*DecryptError] with one entry, and then no record
// was changed.
func (r *Records[T]) DecryptStrict(ctx context.Context, records ...*T) error {
	h := r.of()
	w, err := gatherSealed(ctx, h, "DecryptStrict", records)
	if err != nil {
		return err
	}
	defer w.end()
	return h.openStrict(ctx, w)
}

func gatherSealed[T any](ctx context.Context, h *handle, call string, records []*T) (*work, error) {
	w, err := h.beginValues(ctx, call)
	if err != nil {
		return nil, err
	}
	for i, record := range records {
		if record == nil {
			w.end()
			return nil, h.isNil(call, i)
		}
		h.gatherEnvelopes(w, i, unsafe.Pointer(record))
	}
	return w, nil
}

func (h *handle) beginValues(ctx context.Context, call string) (*work, error) {
	if h.crypt != nil && h.plan.plains {
		return nil, fmt.Errorf("fieldcrypt: %s of %s: its marked fields are of plain Go types, which can't hold an envelope: use EncryptColumns and DecryptColumns, or give the fields types such as fieldcrypt.String", call, h.plan.typ)
	}
	return h.begin(ctx, call)
}

// begin checks what doesn't depend on the records.
func (h *handle) begin(ctx context.Context, call string) (*work, error) {
	if h.crypt == nil {
		return nil, fmt.Errorf("fieldcrypt: %s: Records are made with For", call)
	}
	return h.beginWith(ctx, call, h.plan.tenant != nil, "Mark a field `fieldcrypt:\"tenant\"`")
}

// beginWith is begin for records that name their tenant, or not, which name says
// how to do.
func (h *handle) beginWith(ctx context.Context, call string, named bool, name string) (*work, error) {
	switch {
	case h.crypt.closed.Load():
		return nil, fmt.Errorf("fieldcrypt: %s of %s: %w", call, h.plan.typ, errClosed)
	case !named && h.tenant == nil:
		return nil, fmt.Errorf("fieldcrypt: %s of %s: whose records are they? %s, or use ForTenant", call, h.plan.typ, name)
	case ctx == nil:
		return nil, fmt.Errorf("fieldcrypt: %s of %s: %w", call, h.plan.typ, errNoContext)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("fieldcrypt: %s of %s: %w", call, h.plan.typ, err)
	}
	return newWork(len(h.plan.classes)), nil
}

func (h *handle) isNil(call string, row int) error {
	return fmt.Errorf("fieldcrypt: %s of %s: record %d is a nil pointer", call, h.plan.typ, row)
}
