package sqlstore

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A shelf holds a bounded number of open stores. No lock is held while one is
// opened, used or closed. An idle one is closed for another only when that is
// open, so that databases that don't answer push no store out.
type shelf struct {
	open    func(ctx context.Context, name string) (envelope.KeyStore, error)
	max     int
	timeout time.Duration

	mu       sync.Mutex
	books    map[string]*book
	refused  map[string]*refusal // stores that could not be opened when that was tried last
	idle     list.List           // of books nobody uses; the front was used last
	opened   int                 // stores that are open
	opening  int                 // stores that are being opened, for no longer than openPatience
	late     int                 // stores that are being opened for longer
	waited   list.List           // books of the late ones that were not given up; the front's has taken longest
	retrying int                 // of opening, the ones that could not be opened last time
	closing  int                 // stores that are being closed
	changed  chan struct{}       // closed when a book becomes idle or a place free
	closed   bool
	failure  error // the first of closing
}

// A refusal keeps a store from being opened again at once.
type refusal struct {
	err   error
	pause time.Duration
	until time.Time
}

const (
	firstPause   = time.Second // after a failed opening; doubled by each one that follows
	longestPause = 30 * time.Second
	forgetAfter  = 10 * time.Minute // a refusal that nobody asked about

	// openPatience is how long a store that is being opened keeps others from
	// being opened. Most are open by then, and one that hangs must not have the
	// others wait for its timeout.
	openPatience = time.Second
)

// atOnce is how many stores are opened at once within openPatience, and how many of
// them may be ones that could not be opened last time.
func (s *shelf) atOnce() (all, again int) { return max(1, s.max/2), max(1, s.max/8) }

// A book is a store on the shelf.
type book struct {
	name  string
	ready chan struct{} // closed once the store, or the error, is there
	store envelope.KeyStore
	err   error
	users int
	again bool          // it could not be opened last time
	late  *list.Element // its opening takes longer than openPatience: where it was among the waited for
	place *list.Element // among the idle

	giveUp context.CancelCauseFunc // ends its opening
}

var errRouterClosed = errors.New("sqlstore: the router is closed")

func (s *shelf) init(open func(context.Context, string) (envelope.KeyStore, error), most int, timeout time.Duration) {
	s.open, s.max, s.timeout = open, most, timeout
	s.books, s.refused, s.changed = map[string]*book{}, map[string]*refusal{}, make(chan struct{})
}

// with runs do with the store of that name, which stays open meanwhile.
func (s *shelf) with(ctx context.Context, name string, do func(store envelope.KeyStore) error) error {
	b, err := s.take(ctx, name)
	if err != nil {
		return err
	}
	defer s.giveBack(b)
	select {
	case <-b.ready:
	case <-ctx.Done():
		return fmt.Errorf("sqlstore: waiting for the store %.80q to be opened: %w", name, ctx.Err())
	}
	if b.err != nil {
		return fmt.Errorf("sqlstore: opening the store %.80q: %w", name, b.err)
	}
	return do(b.store)
}

// take returns the book of that name with this caller among its users. It may
// not be ready.
func (s *shelf) take(ctx context.Context, name string) (*book, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, errRouterClosed
		}
		if b, ok := s.books[name]; ok {
			b.users++
			if b.place != nil {
				s.idle.Remove(b.place)
				b.place = nil
			}
			return b, nil
		}
		refused := s.refused[name]
		if refused != nil {
			if wait := time.Until(refused.until); wait > 0 {
				return nil, fmt.Errorf("sqlstore: opening the store %.80q: %w (it is tried again in %v)", name, refused.err, wait.Round(time.Millisecond))
			}
		}
		waitsFor := s.full(refused != nil)
		if waitsFor == "" {
			b := &book{name: name, ready: make(chan struct{}), users: 1, again: refused != nil}
			s.books[name] = b
			s.opening++
			if b.again {
				s.retrying++
			}
			// Not under the first caller's deadline: its impatience isn't the
			// others' failure.
			go s.fetch(context.WithoutCancel(ctx), b)
			return b, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, fmt.Errorf("sqlstore: waiting for the store %.80q: %s: %w", name, waitsFor, ctx.Err())
		}
	}
}

// full says why no store can be opened now, or nothing. Those that are late take no
// place: they may never be open.
func (s *shelf) full(again bool) string {
	all, retries := s.atOnce()
	switch {
	case s.opened > s.max || s.opened-s.idle.Len()+s.opening+s.closing >= s.max:
		return fmt.Sprintf("all %d open stores are in use (RouterOptions.MaxOpen)", s.max)
	case s.opening >= all:
		return fmt.Sprintf("%d others are being opened, and no more are at once (half of RouterOptions.MaxOpen)", s.opening)
	case again && s.retrying >= retries:
		return fmt.Sprintf("%d others are being opened that failed before, and no more of those are at once", s.retrying)
	}
	return ""
}

// errHangs is why an opening is given up before its timeout.
var errHangs = fmt.Errorf("no answer within %v, and as many others as may be open (RouterOptions.MaxOpen) are waited for: %w", openPatience, context.DeadlineExceeded)

// hangs has an opening that takes long go on beside the others. Of too many such
// the one that has taken longest is given up, to be tried again: what hangs gives
// its place to what is slow.
func (s *shelf) hangs(b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.store != nil || b.err != nil {
		return
	}
	s.begun(b)
	b.late = s.waited.PushBack(b)
	s.late++
	if s.waited.Len() > s.max {
		s.waited.Remove(s.waited.Front()).(*book).giveUp(errHangs)
	}
	s.notify()
}

// begun gives a book's turn to be opened to another.
func (s *shelf) begun(b *book) {
	s.opening--
	if b.again {
		s.retrying--
	}
}

// fetch opens a book's store.
func (s *shelf) fetch(ctx context.Context, b *book) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx, b.giveUp = context.WithCancelCause(ctx)
	defer b.giveUp(nil)
	defer time.AfterFunc(openPatience, func() { s.hangs(b) }).Stop()
	var store envelope.KeyStore
	err := caught(func() (err error) {
		store, err = s.open(ctx, b.name)
		return err
	})
	switch {
	case err == nil && store == nil:
		err = errors.New("the function opened none")
	case err != nil && context.Cause(ctx) == errHangs: //nolint:errorlint // the very one
		err = errHangs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.store, b.err = store, err
	if b.late != nil {
		s.late--
		s.waited.Remove(b.late)
	} else {
		s.begun(b)
	}
	if err != nil {
		delete(s.books, b.name)
		s.refuse(b.name, err)
	} else {
		delete(s.refused, b.name)
		s.opened++
	}
	s.notify()
	close(b.ready)
	s.settle(b)
	s.shrink()
}

// refuse keeps a store that could not be opened from being tried for a while.
func (s *shelf) refuse(name string, err error) {
	pause := firstPause
	if last := s.refused[name]; last != nil {
		pause = min(2*last.pause, longestPause)
	}
	now := time.Now()
	for other, r := range s.refused {
		if now.Sub(r.until) > forgetAfter {
			delete(s.refused, other)
		}
	}
	s.refused[name] = &refusal{err: err, pause: pause, until: now.Add(pause)}
}

// caught makes a panic of do an error: in a goroutine of the shelf, and where it
// has let go of its lock, it would end the process. Its value may hold a
// password, and only its type is told.
func caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked with a %T", p)
		}
	}()
	return do()
}

func (s *shelf) giveBack(b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.users--
	s.settle(b)
	if s.opened > s.max && s.idle.Len() > 0 {
		go func() { // the caller has its answer
			s.mu.Lock()
			defer s.mu.Unlock()
			s.shrink()
		}()
	}
}

// shrink closes the stores that were not used for the longest time until no more
// are open than should be.
func (s *shelf) shrink() {
	for s.opened > s.max && s.idle.Len() > 0 {
		s.discard(s.idle.Back().Value.(*book))
	}
}

// settle makes an open book that nobody uses an idle one.
func (s *shelf) settle(b *book) {
	if b.users == 0 && b.store != nil && b.err == nil && b.place == nil {
		b.place = s.idle.PushFront(b)
		s.notify()
	}
}

func (s *shelf) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// discard closes an idle book's store. It lets go of s.mu meanwhile.
func (s *shelf) discard(b *book) {
	s.idle.Remove(b.place)
	delete(s.books, b.name)
	s.opened--
	s.closing++
	s.mu.Unlock()
	var err error
	if c, ok := b.store.(io.Closer); ok {
		err = caught(c.Close)
	}
	s.mu.Lock()
	if err != nil && s.failure == nil { // one is enough to tell of, however many there are
		s.failure = fmt.Errorf("sqlstore: closing the store %.80q: %w", b.name, err)
	}
	s.closing--
	s.notify()
}

func (s *shelf) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.opened+s.opening+s.late+s.closing > 0 {
		if b := s.idle.Back(); b != nil {
			s.discard(b.Value.(*book))
			continue
		}
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
	failure := s.failure
	s.failure = nil
	return failure
}
