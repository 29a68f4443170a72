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
// opened, used or closed.
type shelf struct {
	open    func(ctx context.Context, name string) (envelope.KeyStore, error)
	max     int
	timeout time.Duration

	mu      sync.Mutex
	books   map[string]*book
	idle    list.List     // of books nobody uses; the front was used last
	count   int           // stores that are being opened, are open, or are being closed
	changed chan struct{} // closed when a book becomes idle or a place free
	closed  bool
	failure error // the first of closing
}

// A book is a store on the shelf.
type book struct {
	name  string
	ready chan struct{} // closed once the store, or the error, is there
	store envelope.KeyStore
	err   error
	users int
	place *list.Element // among the idle
}

var errRouterClosed = errors.New("sqlstore: the router is closed")

func (s *shelf) init(open func(context.Context, string) (envelope.KeyStore, error), most int, timeout time.Duration) {
	s.open, s.max, s.timeout = open, most, timeout
	s.books, s.changed = map[string]*book{}, make(chan struct{})
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
		if s.count < s.max {
			b := &book{name: name, ready: make(chan struct{}), users: 1}
			s.books[name] = b
			s.count++
			// Not under the first caller's deadline: its impatience isn't the
			// others' failure.
			go s.fetch(context.WithoutCancel(ctx), b)
			return b, nil
		}
		if oldest := s.idle.Back(); oldest != nil {
			s.discard(oldest.Value.(*book))
			continue
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, fmt.Errorf("sqlstore: waiting for the store %.80q: all %d open stores are in use (RouterOptions.MaxOpen): %w", name, s.max, ctx.Err())
		}
	}
}

// fetch opens a book's store.
func (s *shelf) fetch(ctx context.Context, b *book) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var store envelope.KeyStore
	err := caught(func() (err error) {
		store, err = s.open(ctx, b.name)
		return err
	})
	if err == nil && store == nil {
		err = errors.New("the function opened none")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.store, b.err = store, err
	if err != nil { // the next caller tries again
		delete(s.books, b.name)
		s.count--
		s.notify()
	}
	close(b.ready)
	s.settle(b)
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

// discard closes an idle book's store. It lets go of s.mu meanwhile; the place
// is free when the store is closed.
func (s *shelf) discard(b *book) {
	s.idle.Remove(b.place)
	delete(s.books, b.name)
	s.mu.Unlock()
	var err error
	if c, ok := b.store.(io.Closer); ok {
		err = caught(c.Close)
	}
	s.mu.Lock()
	if err != nil && s.failure == nil { // one is enough to tell of, however many there are
		s.failure = fmt.Errorf("sqlstore: closing the store %.80q: %w", b.name, err)
	}
	s.count--
	s.notify()
}

func (s *shelf) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.count > 0 {
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
