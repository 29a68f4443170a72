package awskms

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// pins remembers which key each alias named when it was first used. An alias
// that is moved to another key takes effect with a new Provider: else two
// processes, or two calls of one, could disagree about a scope's root key.
// Aliases come from configuration, so that their number is bounded by it.
type pins struct {
	mu      sync.Mutex
	keys    map[string]name
	flights map[string]*flight
}

// A flight is one call under way to resolve an alias.
type flight struct {
	done chan struct{} // closed when key and err are set
	key  name
	err  error
}

// resolve returns the key that alias is pinned to, looking it up if it isn't
// yet. There is one look-up at a time for an alias and no lock is held over it.
func (p *pins) resolve(ctx context.Context, alias string, lookUp func(context.Context) (name, error)) (name, error) {
	for {
		p.mu.Lock()
		if key, ok := p.keys[alias]; ok {
			p.mu.Unlock()
			return key, nil
		}
		f, follow := p.flights[alias]
		if !follow {
			f = &flight{done: make(chan struct{})}
			p.flights[alias] = f
		}
		p.mu.Unlock()
		if !follow {
			p.lead(ctx, alias, f, lookUp)
			return f.key, f.err
		}
		select {
		case <-f.done:
			// If the leader's own context ended, that says nothing about the
			// alias: the next one leads.
			if !isEnd(f.err) {
				return f.key, f.err
			}
		case <-ctx.Done():
			end := failure{}.until(ctx.Err(), 0)
			return name{}, &callError{op: opResolve, rootKey: scheme + alias, failure: end}
		}
	}
}

func (p *pins) lead(ctx context.Context, alias string, f *flight, lookUp func(context.Context) (name, error)) {
	// If lookUp panics, followers must not wait for ever.
	f.err = &callError{op: opResolve, rootKey: scheme + alias, failure: failure{class: kmsprovider.ErrUnavailable, what: "the look-up didn't return"}}
	defer func() {
		p.mu.Lock()
		if f.err == nil {
			p.keys[alias] = f.key
		}
		delete(p.flights, alias)
		p.mu.Unlock()
		close(f.done)
	}()
	f.key, f.err = lookUp(ctx)
}

// Resolve implements kmsprovider.Resolver. An alias is looked up with
// kms:DescribeKey on first use and pinned for the Provider's life; the URI of a
// key comes back as it is, without a call. It is safe for concurrent use.
func (p *Provider) Resolve(ctx context.Context, rootKey string) (string, error) {
	uri, _, err := p.sealing(ctx, opResolve, rootKey)
	return uri, err
}

// lookUp asks KMS which key the alias names now.
func (p *Provider) lookUp(ctx context.Context, alias name) (key name, err error) {
	uri := scheme + alias.arn
	err = p.call(ctx, opResolve, uri, func(ctx context.Context) error {
		out, err := p.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(alias.arn)})
		if err != nil {
			return err
		}
		if out.KeyMetadata == nil {
			return answerError("it describes no key")
		}
		key, err = parse(scheme + aws.ToString(out.KeyMetadata.Arn))
		if err != nil || key.isAlias() {
			return answerError("it doesn't give the ARN of the key that the alias names")
		}
		if key.region != p.region || alias.account != "" && (key.account != alias.account || key.partition != alias.partition) {
			return answerError("it names a key in another region or account than the alias: " + key.arn)
		}
		return nil
	})
	return key, err
}
