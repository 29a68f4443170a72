package awskms

import (
	"context"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// sealing returns the canonical URI of a root key to seal with, and the ARN to
// call for it. An alias is resolved.
func (p *Provider) sealing(ctx context.Context, op operation, rootKey string) (uri, arn string, err error) {
	n, err := parse(rootKey)
	if err != nil {
		return "", "", refuse(op, rootKey, kmsprovider.ErrKeyUnusable, err.Error())
	}
	if n.isAlias() {
		if err := p.atHome(n); err != nil {
			return "", "", refuse(op, rootKey, kmsprovider.ErrKeyUnusable, err.Error())
		}
		n, err = p.pins.resolve(ctx, n.arn, func(ctx context.Context) (name, error) { return p.lookUp(ctx, n) })
		if err != nil {
			return "", "", err
		}
	}
	arn, err = p.callFor(n)
	if err != nil {
		return "", "", refuse(op, rootKey, kmsprovider.ErrKeyUnusable, err.Error())
	}
	return scheme + n.arn, arn, nil
}

// opening returns the ARN to call for a root key to open with. An alias isn't
// taken: it names whatever key it was last moved to, which need not be the one
// that wrapped.
func (p *Provider) opening(op operation, rootKey string) (arn string, err error) {
	n, err := parse(rootKey)
	switch {
	case err != nil:
	case n.isAlias():
		err = fmt.Errorf("an alias may name another key by now than the one that wrapped: write the key's own ARN, %sarn:aws:kms:REGION:ACCOUNT:key/KEY-ID, as Resolve and GenerateDataKey return it", scheme)
	default:
		arn, err = p.callFor(n)
	}
	if err != nil {
		return "", refuse(op, rootKey, kmsprovider.ErrKeyUnusable, err.Error())
	}
	return arn, nil
}

// callFor returns the ARN to call for a key: its own, or its replica's.
func (p *Provider) callFor(key name) (string, error) {
	if replica, ok := p.replicas[key.arn]; ok {
		return replica, nil
	}
	return key.arn, p.atHome(key)
}

// atHome reports a key or alias that a client of this region can't reach. KMS
// itself would only say that it doesn't exist.
func (p *Provider) atHome(n name) error {
	if n.region == "" {
		return nil
	}
	if home, ok := inPartition(p.region, n.partition); !ok {
		return fmt.Errorf("the ARN is in the partition %s, but this provider's region %s is in %s: use a provider for that partition", n.partition, p.region, home)
	}
	switch {
	case n.region == p.region:
		return nil
	case n.multiRegion():
		return fmt.Errorf("the key is in %s, but this provider calls %s: name the key's replica there in Options.Replicas, or use a provider for %s", n.region, p.region, n.region)
	}
	return fmt.Errorf("the key is in %s, but this provider calls %s: use a provider for %s", n.region, p.region, n.region)
}

// replicas checks Options.Replicas and copies it.
func replicas(from map[string]string, region string) (map[string]string, error) {
	to := make(map[string]string, len(from))
	for root, replica := range from {
		a, err := parseARN(root)
		if err != nil {
			return nil, fmt.Errorf("Options.Replicas: root key %.600q: %w", root, err)
		}
		b, err := parseARN(replica)
		if err != nil {
			return nil, fmt.Errorf("Options.Replicas: replica %.600q: %w", replica, err)
		}
		switch {
		case !a.multiRegion() || !b.multiRegion():
			err = fmt.Errorf("both must be multi-Region keys, whose IDs begin with mrk-")
		case a.keyID != b.keyID || a.account != b.account || a.partition != b.partition:
			err = fmt.Errorf("they are not the same key: replicas share key ID, account and partition")
		case b.region != region:
			err = fmt.Errorf("the replica is in %s, but this provider calls %s", b.region, region)
		case a.region == b.region:
			err = fmt.Errorf("the root key is in this provider's region itself and needs no replica")
		}
		if err != nil {
			return nil, fmt.Errorf("Options.Replicas: %s -> %s: %w", root, replica, err)
		}
		to[root] = replica
	}
	return to, nil
}
