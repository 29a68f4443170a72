package envelope

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// An awsRoot is a root key in a fake AWS KMS, which answers to AWS's own client.
type awsRoot struct {
	srv *fakekms.Server
	arn string
}

func newAWSRoot(srv *fakekms.Server) awsRoot {
	return awsRoot{srv, srv.CreateKey(fakekms.KeyOptions{})}
}

func (a awsRoot) provider(t *testing.T, opts *awskms.Options) kmsprovider.Provider {
	t.Helper()
	p, err := awskms.New(a.srv.Config(), opts)
	require.NoError(t, err)
	return p
}

// ring returns a ring on the root key, and what it tells.
func (a awsRoot) ring(t *testing.T, p kmsprovider.Provider, opts Options) (*KeyRing, *eventLog) {
	t.Helper()
	log := &eventLog{}
	opts.OnEvent = log.add
	r, err := NewKeyRing(p, RootKeys{Seal: "aws-kms://" + a.arn}, &opts)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r, log
}
