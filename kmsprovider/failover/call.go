package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A task is one method of a provider with its arguments.
type task[T any] struct {
	what string // for errors
	do   func(context.Context, kmsprovider.Provider) (T, error)
	drop func(T) // wipes a result that nobody gets; may be nil
	end  func()  // called when no provider is at it any more; may be nil
}

// lastWords is how long a call waits, once its caller's context has ended, for
// the providers to say what they were at.
const lastWords = 100 * time.Millisecond

// A race is a task that is under way at one or more endpoints.
type race[T any] struct {
	p       *Provider
	task    task[T]
	ctx     context.Context // the caller's
	own     context.Context // ends with the race
	order   []*endpoint
	asked   int // of order
	heard   int // of those asked
	running map[*endpoint]turn
	results chan result[T]
	errs    []error // of those that were unavailable or throttled
	lack    error   // of one that hasn't the ability
}

// A turn is how an endpoint is at it.
type turn struct {
	since  time.Time
	enough time.Duration // for so long it may take, if another is asked later and answers first
}

type result[T any] struct {
	from  *endpoint
	value T
	err   error
}

// call runs a task with one endpoint after the other until one answers.
func call[T any](ctx context.Context, p *Provider, t task[T]) (value T, err error) {
	if end := ended(ctx); end != nil {
		return value, endError(t.what, end, nil)
	}
	order := p.order(time.Now())
	r := &race[T]{
		p: p, task: t, ctx: ctx, order: order,
		running: make(map[*endpoint]turn, len(order)), results: make(chan result[T], len(order)),
	}
	own, cancel := context.WithCancel(ctx)
	defer r.leave()
	defer cancel()
	r.own = own
	return r.run()
}

func (r *race[T]) run() (none T, err error) {
	patience := time.NewTimer(time.Hour)
	defer patience.Stop()
	r.ask(patience)
	gone := r.ctx.Done()
	var silence <-chan time.Time
	for {
		select {
		case <-patience.C:
			if gone != nil {
				r.ask(patience)
			}
		case <-gone:
			gone, silence = nil, time.After(lastWords)
		case <-silence:
			return none, endError(r.task.what, ended(r.ctx), r.errs)
		case res := <-r.results:
			r.heard++
			if r.settles(&res) {
				return res.value, res.err
			}
			end := ended(r.ctx)
			if end == nil {
				r.ask(patience)
			}
			switch {
			case len(r.running) > 0:
			case end != nil:
				return none, endError(r.task.what, end, r.errs)
			case len(r.errs) > 0:
				return none, outage(r.task.what, r.errs)
			default:
				return none, r.lack
			}
		}
	}
}

// ask starts the task at the next endpoint, if there is one.
func (r *race[T]) ask(patience *time.Timer) {
	if r.asked == len(r.order) {
		return
	}
	e := r.order[r.asked]
	r.asked++
	wait, enough := r.p.opts.Patience, r.p.opts.Patience
	if deadline, ok := r.ctx.Deadline(); ok {
		// Leave as much for each of the others.
		if share := time.Until(deadline) / time.Duration(len(r.order)-r.asked+1); share < wait {
			wait, enough = share, max(share, enough/2)
		}
	}
	r.running[e] = turn{time.Now(), enough}
	patience.Reset(wait)
	go func() {
		res := result[T]{from: e}
		defer func() {
			// In this goroutine a panic would end the process. Its value may
			// hold a key.
			if p := recover(); p != nil {
				res = result[T]{from: e, err: fmt.Errorf("%w: %s panicked with a %T", kmsprovider.ErrUnavailable, e.name(), p)}
			}
			r.results <- res
		}()
		res.value, res.err = r.task.do(r.own, e.provider)
	}()
}

// settles reports whether a result is that of the call: a value, a refusal or
// the end of the caller's context. It notes what the result says of the
// endpoints.
func (r *race[T]) settles(res *result[T]) bool {
	began := r.running[res.from].since
	delete(r.running, res.from)
	switch err := res.err; {
	case errors.Is(err, errors.ErrUnsupported):
		r.p.unknown(res.from)
		r.lack = err
		return false
	case isEnd(err) && ended(r.ctx) != nil:
		r.p.unknown(res.from)
		return true
	case isEnd(err):
		// Not the end of the caller's context, and not to look like it.
		r.p.bad(res.from)
		r.errs = append(r.errs, fmt.Errorf("%w: %s gave up: %s", kmsprovider.ErrUnavailable, res.from.name(), err.Error()))
		return false
	case errors.Is(err, kmsprovider.ErrThrottled):
		r.p.unknown(res.from)
		r.errs = append(r.errs, err)
		return false
	case errors.Is(err, kmsprovider.ErrUnavailable):
		r.p.bad(res.from)
		r.errs = append(r.errs, err)
		return false
	}
	r.p.good(res.from)
	for e, t := range r.running {
		// It was asked before, had its time, and is still at it.
		if t.since.Before(began) && time.Since(t.since) >= t.enough {
			delete(r.running, e)
			r.p.bad(e)
		}
	}
	return true
}

// leave sees to what is still under way when the call returns.
func (r *race[T]) leave() {
	for e := range r.running {
		r.p.unknown(e)
	}
	rest := func() {
		for range r.asked - r.heard {
			if res := <-r.results; res.err == nil && r.task.drop != nil {
				r.task.drop(res.value)
			}
		}
		if r.task.end != nil {
			r.task.end()
		}
	}
	if r.asked == r.heard {
		rest()
	} else {
		go rest()
	}
}
