package failover_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

var ec = kmsprovider.EncryptionContext{"fieldcrypt:tenant": "acme"}

const answerTime = 10 * time.Millisecond

// A pair is a multi-Region key in two regions of a fake AWS, and a provider that
// fails over from one to the other.
type pair struct {
	primary, replica   *fakekms.Server
	provider           *failover.Provider
	rootKey, other     string // both kept in both regions
	primaryARN         string
	replicaARN         string
	inPrimary, inThere kmsprovider.Provider
}

func newPair(t testing.TB, opts *failover.Options) pair {
	t.Helper()
	p := pair{primary: fakekms.New(fakekms.Options{})}
	t.Cleanup(p.primary.Close)
	p.replica = p.primary.Region("eu-west-1")
	replicas := map[string]string{}
	key := func() string {
		arn := p.primary.CreateKey(fakekms.KeyOptions{MultiRegion: true})
		replicas[arn] = p.primary.ReplicateKey(arn, "eu-west-1")
		return arn
	}
	p.primaryARN = key()
	p.replicaARN = replicas[p.primaryARN]
	p.rootKey, p.other = "aws-kms://"+p.primaryARN, "aws-kms://"+key()
	p.primary.Inject(fakekms.Fault{Delay: answerTime})
	p.replica.Inject(fakekms.Fault{Delay: answerTime})
	var err error
	p.inPrimary, err = awskms.New(p.primary.Config(), nil)
	require.NoError(t, err)
	p.inThere, err = awskms.New(p.replica.Config(), &awskms.Options{Replicas: replicas})
	require.NoError(t, err)
	p.provider, err = failover.New([]kmsprovider.Provider{p.inPrimary, p.inThere}, opts)
	require.NoError(t, err)
	return p
}

// calls forgets and returns how often each region was called.
func (p pair) calls() [2]int {
	n := [2]int{p.primary.Count(), p.replica.Count()}
	p.primary.ResetCalls()
	p.replica.ResetCalls()
	return n
}

func (p pair) close() { p.primary.Close() } // of all regions

// method is one method of a provider with arguments that are in order.
type method struct {
	name string
	do   func(context.Context) error
}

func (p pair) methods(t testing.TB) []method {
	t.Helper()
	dk, err := p.inPrimary.GenerateDataKey(t.Context(), p.rootKey, ec)
	require.NoError(t, err)
	p.calls()
	plain := make([]byte, kmsprovider.DataKeySize)
	return []method{
		{"GenerateDataKey", func(ctx context.Context) error {
			_, err := p.provider.GenerateDataKey(ctx, p.rootKey, ec)
			return err
		}},
		{"Unwrap", func(ctx context.Context) error {
			got, err := p.provider.Unwrap(ctx, p.rootKey, dk.Wrapped, ec)
			if err == nil {
				require.Equal(t, dk.Plaintext, got)
			}
			return err
		}},
		{"Rewrap", func(ctx context.Context) error {
			_, uri, err := p.provider.Rewrap(ctx, p.rootKey, dk.Wrapped, p.other, ec)
			if err == nil {
				require.Equal(t, p.other, uri)
			}
			return err
		}},
		{"Wrap", func(ctx context.Context) error {
			_, uri, err := p.provider.Wrap(ctx, p.rootKey, plain, ec)
			if err == nil {
				require.Equal(t, p.rootKey, uri)
			}
			return err
		}},
		{"Check", func(ctx context.Context) error { return p.provider.Check(ctx, p.rootKey) }},
	}
}
