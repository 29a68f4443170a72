package awskms

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A limiter holds calls back from a service that throttles, for all callers of
// a Provider together: back-off alone makes each of many callers patient, but
// not their sum.
//
// It knows no quota and can't learn one, since the quota is shared with others.
// It goes by what comes back: each answer that isn't a throttling pays for
// perAnswer calls. So no more than that many calls are made for each that KMS
// takes, whatever the quota is, whoever else uses it up, and however many
// processes do the same. It has to be more than two: where half of all calls are
// throttled, however few are made, calls must go on paying for each other. The
// SDK's own limiter, which slows down as long as it is throttled, comes to a
// standstill there.
//
// A root key that was throttled of late has an account of its own beside the
// common one, and those without go first: a root key whose own store throttles
// (an external or a CloudHSM one) uses up its allowance, not that of others.
// Else who began earlier goes first.
type limiter struct {
	mu      sync.Mutex
	all     account
	keys    map[string]*account // by root key; only those that were throttled
	waiting []*waiter           // oldest caller first
	timer   *time.Timer         // for when the next may go without an answer; nil if none waits
}

const (
	perAnswer = 2.1

	// burst is how many calls may be under way before the first answer, and
	// pace is when another one may follow without any. Together they are no
	// limit to a program that isn't throttled, nor to others while the calls
	// of some hang.
	burst, pace = 32, 500 * time.Microsecond

	// burstOfKey is what a root key's answers may save up.
	burstOfKey = 16

	// For throttledFresh after a throttling these take the place of pace, to
	// find out whether it is over. A root key's is slower, so that it leaves
	// some of the common account's to others.
	throttledPace, throttledKeyPace = 100 * time.Millisecond, 300 * time.Millisecond
	throttledFresh                  = 2 * time.Second

	// manyKeys is a number of accounts that makes it worth looking for those
	// that are no longer needed.
	manyKeys = 256
)

// An account counts calls that may be made.
type account struct {
	left, most float64
	slow       time.Duration
	passed     time.Time // the last call
	throttled  time.Time // the last throttling
}

type waiter struct {
	rootKey string
	since   time.Time
	pass    chan struct{} // closed when it may go
}

func newLimiter() *limiter {
	return &limiter{all: account{left: burst, most: burst, slow: throttledPace}, keys: map[string]*account{}}
}

// wait holds back a call, whose caller began at since, until it may be made. It
// reports false if ctx ended before that, or until came, unless that is zero.
func (l *limiter) wait(ctx context.Context, rootKey string, since, until time.Time) bool {
	l.mu.Lock()
	if len(l.waiting) == 0 && l.take(rootKey, time.Now()) {
		l.mu.Unlock()
		return true
	}
	w := &waiter{rootKey: rootKey, since: since, pass: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(l.waiting, w, func(a, b *waiter) int {
		if a.since.After(b.since) {
			return 1
		}
		return -1 // of equals, who came first
	})
	l.waiting = slices.Insert(l.waiting, at, w)
	l.release()
	l.mu.Unlock()

	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-w.pass:
		return true
	case <-ctx.Done():
	case <-over:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at = slices.Index(l.waiting, w)
	if at < 0 {
		return true // both at once
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	return false
}

// take takes a call from the accounts, if they have it.
func (l *limiter) take(rootKey string, now time.Time) bool {
	own := l.keys[rootKey]
	if l.all.due(now).After(now) || own != nil && own.due(now).After(now) {
		return false
	}
	l.all.take(now)
	if own != nil {
		own.take(now)
	}
	return true
}

func (a *account) take(now time.Time) {
	a.left = max(0, a.left-1)
	a.passed = now
}

// due is when the next call may be made, if no answer comes before that.
func (a *account) due(now time.Time) time.Time {
	if a.left >= 1 {
		return a.passed
	}
	if a.fresh(now) {
		return a.passed.Add(a.slow)
	}
	return a.passed.Add(pace)
}

func (a *account) fresh(now time.Time) bool {
	return !a.throttled.IsZero() && now.Sub(a.throttled) < throttledFresh
}

// release lets go who may, and sees to it that the others go on also if no
// answer comes.
func (l *limiter) release() {
	now := time.Now()
	for {
		at, due := l.next(now)
		if at >= 0 && !due.After(now) {
			l.take(l.waiting[at].rootKey, now)
			close(l.waiting[at].pass)
			l.waiting = slices.Delete(l.waiting, at, at+1)
			continue
		}
		switch {
		case l.timer != nil && at < 0:
			l.timer.Stop()
			l.timer = nil
		case l.timer != nil:
			l.timer.Reset(due.Sub(now))
		case at >= 0:
			l.timer = time.AfterFunc(due.Sub(now), func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.release()
			})
		}
		return
	}
}

// next returns who goes next, and when: the first whose root key isn't
// throttled, else the first that may go. It is -1 if nobody waits.
func (l *limiter) next(now time.Time) (at int, due time.Time) {
	at = -1
	common := l.all.due(now)
	for i, w := range l.waiting {
		own := l.keys[w.rootKey]
		if own == nil || !own.fresh(now) && !own.due(now).After(now) {
			return i, common
		}
		if when := own.due(now); at < 0 || when.Before(due) && due.After(now) {
			at, due = i, when
		}
	}
	if due.Before(common) {
		due = common
	}
	return at, due
}

// answered counts an answer of the service that isn't a throttling.
func (l *limiter) answered(rootKey string) { l.pay(rootKey, perAnswer) }

// unanswered takes back a call that says nothing about throttling.
func (l *limiter) unanswered(rootKey string) { l.pay(rootKey, 1) }

func (l *limiter) pay(rootKey string, calls float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.left = min(l.all.most, l.all.left+calls)
	if own := l.keys[rootKey]; own != nil {
		own.left = min(own.most, own.left+calls)
	}
	if len(l.waiting) > 0 {
		l.release()
	}
}

// throttled counts a call that the service throttled.
func (l *limiter) throttled(rootKey string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.all.throttled = now
	own := l.keys[rootKey]
	if own == nil {
		l.forget(now)
		own = &account{most: burstOfKey, slow: throttledKeyPace}
		l.keys[rootKey] = own
	}
	own.throttled = now
}

// forget drops the accounts of root keys that haven't been throttled of late.
func (l *limiter) forget(now time.Time) {
	if len(l.keys) < manyKeys {
		return
	}
	for rootKey, a := range l.keys {
		if !a.fresh(now) {
			delete(l.keys, rootKey)
		}
	}
}
