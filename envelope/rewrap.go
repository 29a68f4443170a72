package envelope

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// RewrapOptions tune [KeyRing.Rewrap].
type RewrapOptions struct {
	// DryRun counts and changes nothing.
	DryRun bool

	// AtOnce is how many keys are worked on at a time. Default 8.
	AtOnce int

	// Unverified gives up the old wrapping of a key without having unwrapped
	// the new one, and takes on trust that a key whose record names the new
	// root key is wrapped under it. It saves half of the calls, and the right
	// to unwrap under the new root key; a provider that wraps wrongly then
	// costs the data.
	Unverified bool

	// Progress is told how many keys are done, and how many there are, one
	// call at a time.
	Progress func(done, all int)
}

// A RewrapReport tells what [KeyRing.Rewrap] did.
type RewrapReport struct {
	DryRun    bool
	To        string    // the URI of the root key; of the key itself where an alias was given
	Rewrapped int       // in a dry run: to be rewrapped
	Already   int       // were under it before, and opened; in a dry run or Unverified: by the word of the key store
	Failed    []Failure // the keys that were left as they were

	// Left is how many records of the whole key store, whatever the filter, need
	// another root key than To at the end, by its URI: one that isn't in it is
	// needed by none, by the word of the key store. It is nil if they were not
	// counted, which is an error of Rewrap.
	Left map[string]int
}

// String prints the report as an operator reads it.
func (r RewrapReport) String() string {
	var b strings.Builder
	verb := "were rewrapped"
	if r.DryRun {
		verb = "would be rewrapped"
	}
	fmt.Fprintf(&b, "root key %s: %d keys %s, %d were under it before, %d failed\n", r.To, r.Rewrapped, verb, r.Already, len(r.Failed))
	for i, f := range r.Failed {
		if i == 10 {
			fmt.Fprintf(&b, "  and %d more\n", len(r.Failed)-i)
			break
		}
		fmt.Fprintf(&b, "  %v\n", f)
	}
	if r.Rewrapped+r.Already+len(r.Failed) == 0 {
		b.WriteString("the filter chooses no key that is not destroyed\n") // it may be mistyped
	}
	switch {
	case r.Left == nil:
		b.WriteString("what is left was not counted: run it again\n")
	case len(r.Left) == 0:
		b.WriteString("no record of the whole key store needs another root key\n")
	}
	for _, uri := range slices.Sorted(maps.Keys(r.Left)) {
		fmt.Fprintf(&b, "%d records of the whole key store need %s\n", r.Left[uri], uri)
	}
	b.WriteString("not seen: inline envelopes, exports, other key stores, and backups of this one that are older\n")
	return b.String()
}

// Rewrap wraps the data keys of the key store that the filter chooses anew,
// under the root key to: this is how a root key is changed. No row is touched,
// and the data keys stay the same. Where the provider can, it happens inside the
// key service; else a data key is unwrapped and wrapped again. All but destroyed
// keys are rewrapped, also suspended and scheduled ones.
//
// The configuration of all processes must list both root keys before Rewrap
// begins, with the new one to seal with, and until the report's Left has no record
// that needs the old one: a root key must stay for as long as any record needs it,
// also one that the filter doesn't choose. So all records are counted at the end;
// a store made of several must be able to list them all, and each must answer.
//
// Run it again to go on where it ended, for whatever reason; what is
// done is not done again. Unless Unverified, a key that is under the new root key
// already is unwrapped, since the old root key isn't to be given up by the word of
// the key store alone. Every key is exchanged by compare-and-swap, so runs may
// meet each other and all other changes.
//
// Keys that fail keep their wrapping and are in the report, and in the error.
// When the key service refuses or fails for giveUpAfter keys in a row, Rewrap
// ends.
func (r *KeyRing) Rewrap(ctx context.Context, f Filter, to string, opts *RewrapOptions) (RewrapReport, error) {
	var o RewrapOptions
	if opts != nil {
		o = *opts
	}
	setDefault(&o.AtOnce, 8)
	fail := func(err error) (RewrapReport, error) {
		return RewrapReport{}, fmt.Errorf("envelope: rewrap under %q: %w", shown(to, maxURI), err)
	}
	switch {
	case r.opts.Store == nil:
		return fail(errNoStore)
	case r.closed.Err() != nil:
		return fail(ErrClosed)
	case o.AtOnce < 0:
		return fail(malformed("RewrapOptions.AtOnce is %d", o.AtOnce))
	case to == "" || len(to) > maxURI:
		return fail(malformed("the URI of the root key is %d bytes, it must be 1 to %d", len(to), maxURI))
	}
	resolved, err := r.resolve(ctx, to)
	if err != nil {
		return fail(err)
	}
	before, err := Count(ctx, r.store, f)
	if err != nil {
		return fail(err)
	}
	w := &rewrapping{KeyRing: r, options: o, report: RewrapReport{DryRun: o.DryRun, To: resolved}}
	for _, n := range before.RootKey {
		w.all += n
	}
	var listing error
	if o.DryRun {
		w.report.Already = before.RootKey[resolved]
		w.report.Rewrapped = w.all - w.report.Already
	} else {
		listing = w.run(ctx, f)
	}
	after, err := Count(ctx, r.store, Filter{})
	if err != nil {
		return w.report, fmt.Errorf("envelope: rewrap under %q: counting what is left: %w", resolved, errors.Join(err, listing))
	}
	w.report.Left = after.others(resolved)
	return w.report, summary(fmt.Sprintf("rewrap under %q", resolved), listing, w.report.Failed)
}

// others are the root keys but for one that keys need.
func (c Counts) others(uri string) map[string]int {
	left := maps.Clone(c.RootKey)
	delete(left, uri)
	return left
}

// giveUpAfter is after how many refusals or failures in a row a call over many
// keys ends: each key would cost another call.
const giveUpAfter = 20

// A rewrapping is one call of Rewrap.
type rewrapping struct {
	*KeyRing
	options RewrapOptions

	mu     sync.Mutex
	report RewrapReport
	all    int
	inARow int // failures of the key service
}

var errRewrapGivesUp = fmt.Errorf("the key service failed for %d keys in a row, and the rest wasn't tried", giveUpAfter)

// run rewraps what the filter chooses. Until one key is rewrapped they go one
// by one, so that a root key that can't be used costs few calls.
func (w *rewrapping) run(ctx context.Context, f Filter) error {
	var g errgroup.Group
	g.SetLimit(w.options.AtOnce)
	defer func() { _ = g.Wait() }() // failures are in the report
	for rec, err := range List(ctx, w.store, f) {
		if err == nil {
			err = w.ends(ctx)
		}
		if err != nil {
			return err
		}
		already := rec.RootKey == w.report.To
		switch {
		case rec.State == StateDestroyed:
		case already && w.options.Unverified:
			w.done(func(r *RewrapReport) { r.Already++ })
		case w.proven(already):
			g.Go(func() error { w.one(ctx, rec, already); return nil })
		default:
			w.one(ctx, rec, already)
		}
	}
	return nil
}

// proven reports whether the new root key was seen to unwrap or, for a key that
// isn't under it, to wrap.
func (w *rewrapping) proven(already bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report.Rewrapped > 0 || already && w.report.Already > 0
}

// ends says why no further key is to be tried.
func (w *rewrapping) ends(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.closed.Err() != nil:
		return ErrClosed
	case w.inARow >= giveUpAfter:
		return errRewrapGivesUp
	}
	return nil
}

func (w *rewrapping) one(ctx context.Context, rec Record, already bool) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.LoadTimeout)
	defer cancel()
	err := caught(kmsprovider.ErrUnavailable, "the provider or the source of root keys", func() error {
		if already {
			return w.verify(ctx, &rec)
		}
		return w.rewrap(ctx, rec)
	})
	w.done(func(r *RewrapReport) {
		switch {
		case err == nil && already:
			r.Already++
			w.inARow = 0
			return
		case err == nil:
			r.Rewrapped++
			w.inARow = 0
			return
		case ofService(err):
			w.inARow++
		}
		r.Failed = append(r.Failed, Failure{rec.Name(), err})
	})
}

// done counts a key, and tells how many there are.
func (w *rewrapping) done(count func(*RewrapReport)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count(&w.report)
	if w.options.Progress != nil {
		n := w.report.Rewrapped + w.report.Already + len(w.report.Failed)
		w.all = max(w.all, n) // some may have been made meanwhile
		w.options.Progress(n, w.all)
	}
}

// ofService reports failures that the next key would meet too.
func ofService(err error) bool {
	for _, class := range []error{kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied, kmsprovider.ErrKeyUnusable, context.DeadlineExceeded} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// rewrap gives one key its new wrapping. What the key store says of it is
// believed no more than where it is opened.
func (w *rewrapping) rewrap(ctx context.Context, rec Record) error {
	for range moveAttempts {
		scope := rec.Scope.withDefault()
		next := rec
		var err error
		if next.Wrapped, next.RootKey, err = w.wrapAnew(ctx, scope, &rec); err != nil {
			return err
		}
		err = w.store.Update(ctx, rec, next)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ErrConflict):
			return storeError(err)
		}
		// Somebody moved the key to another state, or rewrapped it too.
		if rec, err = w.store.Get(ctx, scope, rec.Purpose, rec.KeyID); err != nil {
			return storeError(err)
		}
		switch {
		case rec.State == StateDestroyed:
			return nil
		case rec.RootKey == w.report.To:
			return w.verify(ctx, &rec)
		}
	}
	return fmt.Errorf("%w: others change it all the time", ErrConflict)
}

// verify sees that a key which the store says is under the new root key is.
func (w *rewrapping) verify(ctx context.Context, rec *Record) error {
	if w.options.Unverified {
		return nil
	}
	scope := rec.Scope.withDefault()
	if err := scope.validate(); err != nil {
		return err
	}
	secret, err := w.unwrap(ctx, scope, rec.Purpose, rec.RootKey, rec.Wrapped)
	if err == nil {
		defer clear(secret)
		err = rec.verify(secret)
	}
	if err != nil {
		return fmt.Errorf("the key store says that it is under that root key, and it doesn't open: %w", err)
	}
	return nil
}

func (w *rewrapping) wrapAnew(ctx context.Context, scope Scope, rec *Record) (wrapped []byte, rootKey string, err error) {
	if err := scope.validate(); err != nil {
		return nil, "", err
	}
	for _, uri := range []string{rec.RootKey, w.report.To} {
		if err := w.checkRootKey(ctx, scope, uri); err != nil {
			return nil, "", err
		}
	}
	if err := checkWrapped(rec.Wrapped); err != nil {
		return nil, "", err
	}
	wrapped, rootKey, err = kmsprovider.Rewrap(ctx, w.provider, rec.RootKey, rec.Wrapped, w.report.To, encryptionContext(scope, rec.Purpose))
	switch {
	case err != nil:
		return nil, "", notAuthentic(err)
	case rootKey != w.report.To:
		return nil, "", fmt.Errorf("%w: the provider wrapped under %q", kmsprovider.ErrUnavailable, shown(rootKey, maxURI))
	case w.options.Unverified:
		return wrapped, rootKey, nil
	}
	secret, err := w.unwrap(ctx, scope, rec.Purpose, rootKey, wrapped)
	if err != nil {
		return nil, "", fmt.Errorf("unwrapping the new wrapping: %w", err)
	}
	defer clear(secret)
	return wrapped, rootKey, rec.verify(secret)
}
