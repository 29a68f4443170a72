package fieldcrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Reencrypt gives each envelope that isn't under the active data key of its
// scope another one that is. Text stays text. The returned error concerns the
// call; what concerns a cell is in its Err, and may match the errors of packages
// envelope and kmsprovider.
func (r *Rows) Reencrypt(ctx context.Context, batch []Row, opts RowOptions) error {
	if err := r.begin(ctx, "Reencrypt", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantEnvelopes)
	defer w.wipe()
	active := r.activeKeys(ctx, w, opts.Class)
	due := r.chosen(w, func(p *rowPart) bool {
		if p.field.deterministic { // whether it is under the active key shows when it is sealed
			return true
		}
		key := active[p.at.Scope]
		if key.err != nil {
			p.fail(key.err)
			return false
		}
		return !under(p.env, r.crypt.ring.Mode(), key.id)
	}, opts.Class)
	r.openParts(ctx, due)
	r.sealParts(ctx, due, opts.Dry)
	w.finish(opts.Dry)
	return ctx.Err()
}

// under reports whether an envelope is of the mode and under the key.
func under(env []byte, mode envelope.Mode, key envelope.KeyID) bool {
	info, err := envelope.Inspect(env)
	return err == nil && info.Mode == mode && info.KeyID == key
}

// Verify opens each envelope, and changes nothing.
func (r *Rows) Verify(ctx context.Context, batch []Row, opts RowOptions) error {
	if err := r.begin(ctx, "Verify", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantEnvelopes)
	defer w.wipe()
	r.openParts(ctx, r.chosen(w, nil, opts.Class))
	return ctx.Err()
}

// Encrypt gives each plaintext an envelope. It is for tables that were filled
// before there was one: nowhere else does this package take what isn't an
// envelope for a value. What begins as an envelope does is never sealed: it has
// to open, and then stays as it is. Nulls stay null. A document that lacks what the
// schema requires stays as it is, with an error. Where [Row.Plain] has a cell,
// plaintext is taken from there, into a cell that is NULL, and so is an envelope
// that opens.
func (r *Rows) Encrypt(ctx context.Context, batch []Row, opts RowOptions) error {
	if err := r.begin(ctx, "Encrypt", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantSource)
	defer w.wipe()
	r.require(w, opts.Class)
	there := r.chosen(w, func(p *rowPart) bool { return p.env != nil }, opts.Class)
	r.openParts(ctx, there)
	due := r.chosen(w, func(p *rowPart) bool { return p.env == nil }, opts.Class)
	for _, p := range due {
		frame, err := r.frameOf(p.field, p.content, p.box != nil)
		if err != nil {
			p.fail(err)
			continue
		}
		p.frame = frame
	}
	r.sealParts(ctx, due, opts.Dry)
	for _, p := range there {
		if p.err == nil && p.box == nil && p.cell.Old == nil { // it came out of the plaintext's column
			p.bring(opts.Dry)
		}
	}
	w.finish(opts.Dry)
	r.index(ctx, w, batch, opts)
	return ctx.Err()
}

// require refuses documents in which a required path leads to nothing, as Encrypt of
// their records does: one that is misspelt would leave the value in the clear. What
// is NULL has nothing in the clear.
func (r *Rows) require(w *rowWork, class string) {
	for _, b := range w.boxes {
		for _, at := range b.lacks {
			if m := b.column.fields[at]; class == "" || r.plan.classes[m.class] == class {
				where := append(path{step(b.column.Name)}, b.column.paths[at]...)
				b.fail(fmt.Errorf("field %s: "+nothingThere+": set it in the document, also to null, or correct the path", m.label, where))
			}
		}
	}
}

// Rebind gives each envelope that was bound to another place one for its row's.
// Was is asked where the cell's envelope was bound, with the index of the row in
// the batch and the place where it belongs now; the scope of what it returns may
// be another tenant's. Deterministic fields are bound to no record, whichever it
// tells. What opens at its place already stays as it is.
func (r *Rows) Rebind(ctx context.Context, batch []Row, was func(row int, now envelope.Binding) (envelope.Binding, error), opts RowOptions) error {
	if err := r.begin(ctx, "Rebind", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantEnvelopes)
	defer w.wipe()
	due := r.chosen(w, nil, opts.Class)
	places := make([]envelope.Binding, len(due))
	for i, p := range due {
		var err error
		if places[i], err = was(p.row, p.at); err != nil {
			p.fail(err)
		}
		if p.field.deterministic {
			places[i].Record, places[i].Unbound = "", true
		}
	}
	moved := r.openAt(ctx, due, places)
	r.sealParts(ctx, moved, opts.Dry)
	w.finish(opts.Dry)
	r.index(ctx, w, batch, opts)
	return ctx.Err()
}

// openAt opens parts at the places where they were, and returns those that have
// to be sealed anew; what opens where it belongs now needs nothing.
func (r *Rows) openAt(ctx context.Context, parts []*rowPart, places []envelope.Binding) (moved []*rowPart) {
	cells := make([]envelope.Cell, 0, len(parts))
	var asked []*rowPart
	for i, p := range parts {
		if p.err == nil {
			cells = append(cells, envelope.Cell{Binding: places[i], Envelope: p.env, Deterministic: p.field.deterministic})
			asked = append(asked, p)
		}
	}
	r.crypt.ring.OpenAll(ctx, cells)
	var rest []*rowPart
	causes := map[*rowPart]error{}
	for i, p := range asked {
		frame, err := r.checked(p, cells[i].Frame, cells[i].Err)
		switch {
		case err != nil && elsewhere(err):
			causes[p] = err
			rest = append(rest, p)
		case err != nil:
			p.fail(err)
		case cells[i].Binding == p.at: // nothing moved
			p.frame = frame
		default:
			p.frame = frame
			moved = append(moved, p)
		}
	}
	cells = cells[:0]
	for _, p := range rest {
		cells = append(cells, envelope.Cell{Binding: p.at, Envelope: p.env, Deterministic: p.field.deterministic})
	}
	r.crypt.ring.OpenAll(ctx, cells)
	for i, p := range rest {
		frame, err := r.checked(p, cells[i].Frame, cells[i].Err)
		switch {
		case err == nil:
			p.frame = frame
		case elsewhere(err):
			p.fail(errors.Join(causes[p], err)) // it opens at neither place
		default:
			p.fail(err)
		}
	}
	return moved
}

// elsewhere reports an error that an envelope of another place gives.
func elsewhere(err error) bool {
	return errors.Is(err, envelope.ErrNotAuthentic) || errors.Is(err, envelope.ErrKeyNotFound)
}

// chosen returns the parts that have no error and that pick takes.
func (r *Rows) chosen(w *rowWork, pick func(*rowPart) bool, class string) []*rowPart {
	all := make([]*rowPart, 0, len(w.parts))
	for i := range w.parts {
		p := &w.parts[i]
		if p.err == nil && (class == "" || p.at.Scope.Class == class) && (pick == nil || pick(p)) {
			all = append(all, p)
		}
	}
	return all
}

// openParts gives each part its frame, or an error.
func (r *Rows) openParts(ctx context.Context, parts []*rowPart) {
	cells := make([]envelope.Cell, len(parts))
	for i, p := range parts {
		cells[i] = envelope.Cell{Binding: p.at, Envelope: p.env, Deterministic: p.field.deterministic}
	}
	r.crypt.ring.OpenAll(ctx, cells)
	for i, p := range parts {
		frame, err := r.checked(p, cells[i].Frame, cells[i].Err)
		if err != nil {
			p.fail(err)
			continue
		}
		p.frame = frame
	}
}

// checked holds an opened frame to the type of its field.
func (r *Rows) checked(p *rowPart, frame []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if _, err := p.field.payload(frame); err != nil {
		clear(frame)
		return nil, err
	}
	return frame, nil
}

// sealParts writes an envelope of its frame to each part's place.
func (r *Rows) sealParts(ctx context.Context, parts []*rowPart, dry bool) {
	failed := map[envelope.Scope]error{}
	for _, p := range parts {
		if p.err != nil {
			continue
		}
		if dry && !p.field.deterministic {
			p.mark()
			continue
		}
		if err := failed[p.at.Scope]; err != nil {
			p.fail(err)
			continue
		}
		seal := r.crypt.ring.Seal
		if p.field.deterministic {
			seal = r.crypt.ring.SealDeterministic
		}
		env, err := seal(ctx, &p.at, p.frame)
		if err != nil {
			if !errors.Is(err, envelope.ErrMalformed) { // the scope's, and not the value's
				failed[p.at.Scope] = err
			}
			p.fail(err)
			continue
		}
		switch {
		case bytes.Equal(env, p.env): // deterministic, and as it is
		case dry:
			p.mark()
		default:
			p.put(env)
		}
	}
}

// An activeKey is the key that a scope is sealed with, or why there is none.
type activeKey struct {
	id  envelope.KeyID
	err error
}

// activeKeys finds the active key of each scope of the parts, once.
func (r *Rows) activeKeys(ctx context.Context, w *rowWork, class string) map[envelope.Scope]activeKey {
	keys := map[envelope.Scope]activeKey{}
	for i := range w.parts {
		if p := &w.parts[i]; !p.field.deterministic && (class == "" || p.at.Scope.Class == class) {
			keys[p.at.Scope] = activeKey{}
		}
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(loadsAtOnce)
	scopes := make([]envelope.Scope, 0, len(keys))
	for scope := range keys {
		scopes = append(scopes, scope)
	}
	for _, scope := range scopes {
		g.Go(func() error {
			id, err := r.crypt.ring.ActiveKey(ctx, scope)
			mu.Lock()
			defer mu.Unlock()
			keys[scope] = activeKey{id, err}
			return nil
		})
	}
	_ = g.Wait() // each scope keeps its own error
	return keys
}
