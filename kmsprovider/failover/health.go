package failover

import (
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// An endpoint is one of the providers, and how it has done. The Provider's mutex
// guards it.
type endpoint struct {
	provider kmsprovider.Provider
	failures int       // in a row
	since    time.Time // it is asked last; zero if it isn't
	probe    time.Time // not to be asked first before
	probing  bool      // a call that asks it first is under way
}

func (e *endpoint) name() string {
	switch e.provider.(type) {
	case fmt.Formatter, fmt.Stringer:
		return fmt.Sprint(e.provider)
	}
	return fmt.Sprintf("%T", e.provider) // its fields may hold anything
}

// order returns the endpoints as a call is to ask them: those that work, in
// their order, and then the others, in theirs. If one that is preferred to all
// that work is due for a probe, it goes first.
func (p *Provider) order(now time.Time) []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	order := make([]*endpoint, 0, len(p.endpoints))
	var last []*endpoint
	for _, e := range p.endpoints {
		switch {
		case e.since.IsZero():
			order = append(order, e)
		case len(order) == 0 && !e.probing && !now.Before(e.probe):
			// Also if none works: then it is first anyway.
			e.probing = true
			order = append(order, e)
		default:
			last = append(last, e)
		}
	}
	return append(order, last...)
}

// good: the endpoint has answered.
func (p *Provider) good(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.failures, e.since, e.probing = 0, time.Time{}, false
}

// bad: the endpoint was unavailable, or too slow.
func (p *Provider) bad(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	e.failures++
	e.probing = false
	if e.failures < p.opts.Failures {
		return
	}
	if e.since.IsZero() {
		e.since = now
	}
	e.probe = now.Add(p.opts.ProbeAfter)
}

// unknown: the call ended without telling anything of the endpoint.
func (p *Provider) unknown(e *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.probing = false
}

// Health tells how one of the providers has done.
type Health struct {
	Provider kmsprovider.Provider
	Failures int       // in a row, until now
	Last     bool      // it is asked last
	Since    time.Time // since when; zero if it isn't
}

// Format implements fmt.Formatter: providers may have fields that are not to be
// printed.
func (h Health) Format(f fmt.State, _ rune) {
	state := "in its place"
	if h.Last {
		state = "asked last since " + h.Since.UTC().Format(time.RFC3339)
	}
	e := endpoint{provider: h.Provider}
	_, _ = fmt.Fprintf(f, "%s: %s, %d failures in a row", e.name(), state, h.Failures)
}

// Health returns the state of the providers, in the order they were given to
// [New].
func (p *Provider) Health() []Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Health
	for _, e := range p.endpoints {
		all = append(all, Health{e.provider, e.failures, !e.since.IsZero(), e.since})
	}
	return all
}
