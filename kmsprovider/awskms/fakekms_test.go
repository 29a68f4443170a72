package awskms_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// A bench is a fake KMS with two root keys and a provider in front of it.
type bench struct {
	*fakekms.Server
	p          *awskms.Provider
	arn, other string
}

func newBench(t testing.TB, opts *awskms.Options) bench {
	t.Helper()
	srv := fakekms.New(fakekms.Options{})
	t.Cleanup(srv.Close)
	p, err := awskms.New(srv.Config(), opts)
	require.NoError(t, err)
	return bench{srv, p, srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})}
}

func (b bench) generate(t testing.TB) kmsprovider.DataKey {
	t.Helper()
	dk, err := b.p.GenerateDataKey(t.Context(), "aws-kms://"+b.arn, ec)
	require.NoError(t, err)
	return dk
}

func (b bench) calls(wrapped []byte) []call {
	rootKey, other := "aws-kms://"+b.arn, "aws-kms://"+b.other
	return []call{
		{"GenerateDataKey", func(ctx context.Context, p *awskms.Provider) error {
			_, err := p.GenerateDataKey(ctx, rootKey, ec)
			return err
		}},
		{"Unwrap", func(ctx context.Context, p *awskms.Provider) error {
			_, err := p.Unwrap(ctx, rootKey, wrapped, ec)
			return err
		}},
		{"Rewrap", func(ctx context.Context, p *awskms.Provider) error {
			_, _, err := p.Rewrap(ctx, rootKey, wrapped, other, ec)
			return err
		}},
		{"Check", func(ctx context.Context, p *awskms.Provider) error { return p.Check(ctx, rootKey) }},
		{"Wrap", func(ctx context.Context, p *awskms.Provider) error {
			_, _, err := p.Wrap(ctx, rootKey, plainKey, ec)
			return err
		}},
	}
}

// What is sent: the root key always, both of them for a rewrap, and the
// encryption context.
func TestWhatIsSent(t *testing.T) {
	b := newBench(t, nil)
	dk := b.generate(t)
	_, err := b.p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.NoError(t, err)
	_, uri, err := b.p.Rewrap(t.Context(), dk.RootKey, dk.Wrapped, "aws-kms://"+b.other, ec)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+b.other, uri)

	wrapped, uri, err := b.p.Wrap(t.Context(), dk.RootKey, plainKey, ec)
	require.NoError(t, err)
	require.Equal(t, dk.RootKey, uri)

	sent := b.Calls()
	require.Len(t, sent, 4)
	for i, op := range []string{"GenerateDataKey", "Decrypt", "ReEncrypt", "Encrypt"} {
		require.Equal(t, op, sent[i].Op)
		require.Equal(t, b.arn, sent[i].KeyID)
		require.Equal(t, ec, sent[i].EncryptionContext)
	}
	require.Equal(t, b.other, sent[2].DestinationKeyARN)

	plain, err := b.p.Unwrap(t.Context(), uri, wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, plainKey, plain, "what was sent to be wrapped")
}

// Answers that a broken or hostile KMS could give, over a real connection.
func TestSpoiledAnswers(t *testing.T) {
	data, both, all := []string{"GenerateDataKey"}, []string{"GenerateDataKey", "Decrypt"}, []string(nil)
	for _, c := range []struct {
		spoil fakekms.Break
		ops   []string
	}{
		{fakekms.Hang, all},
		{fakekms.Drop, all},
		{fakekms.Truncate, all},
		{fakekms.BadJSON, all},
		{fakekms.EmptyBody, all},
		{fakekms.NoFields, all},
		{fakekms.WrongTypes, all},
		{fakekms.BadBase64, []string{"GenerateDataKey", "Decrypt", "ReEncrypt", "Encrypt"}},
		{fakekms.Oversized, []string{"Decrypt"}},
		{fakekms.ShortKey, data},
		{fakekms.LongKey, data},
		{fakekms.NoKey, both},
		{fakekms.NoCiphertext, []string{"GenerateDataKey", "ReEncrypt", "Encrypt"}},
		{fakekms.LongCiphertext, []string{"GenerateDataKey", "ReEncrypt", "Encrypt"}},
		{fakekms.OtherKeyID, all},
		{fakekms.NoKeyID, all},
	} {
		t.Run(string(c.spoil), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				defer b.Close()
				dk := b.generate(t)
				ops := []string{"GenerateDataKey", "Decrypt", "ReEncrypt", "DescribeKey", "Encrypt"}
				remove := b.Inject(fakekms.Fault{Ops: c.ops, Break: c.spoil})
				for i, call := range b.calls(dk.Wrapped) {
					b.ResetCalls()
					start := time.Now()
					err := call.do(t.Context(), b.p)
					if c.ops != nil && !slices.Contains(c.ops, ops[i]) {
						require.NoError(t, err, call.name)
						continue
					}
					require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%s: %v", call.name, err)
					require.LessOrEqual(t, time.Since(start), 2*time.Second, call.name)
					require.GreaterOrEqual(t, b.Count(ops[i]), 2, call.name)
					noSecrets(t, everythingIn(err))
				}
				remove()
				for _, call := range b.calls(dk.Wrapped) {
					require.NoError(t, call.do(t.Context(), b.p), call.name)
				}
			})
		})
	}
}

// S11 at the level of one call: minutes of outage, then recovery at once.
func TestOutageAndRecovery(t *testing.T) {
	for name, fault := range map[string]fakekms.Fault{
		"hang": {Break: fakekms.Hang},
		"drop": {Break: fakekms.Drop},
		"500":  {Error: "KMSInternalException"},
		"503":  {Status: http.StatusServiceUnavailable},
		"slow": {Delay: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				defer b.Close()
				dk := b.generate(t)
				end := b.Inject(fault)
				for start := time.Now(); time.Since(start) < 30*time.Minute; time.Sleep(time.Minute) {
					for _, call := range b.calls(dk.Wrapped) {
						began := time.Now()
						err := call.do(t.Context(), b.p)
						require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%s: %v", call.name, err)
						require.LessOrEqual(t, time.Since(began), 2*time.Second)
					}
				}
				end()
				began := time.Now()
				for _, call := range b.calls(dk.Wrapped) {
					require.NoError(t, call.do(t.Context(), b.p), call.name)
				}
				require.Less(t, time.Since(began), time.Second)
			})
		})
	}
}

func TestHalfThrottledOverConnections(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.Close()
		b.Inject(fakekms.Fault{Error: "ThrottlingException", Rate: 0.5})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if _, err := b.p.GenerateDataKey(t.Context(), "aws-kms://"+b.arn, ec); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.GreaterOrEqual(t, b.Count(), 200)
		require.LessOrEqual(t, b.Count(), 500)
	})
}

// The same in real time and over a real socket, with nobody listening.
func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	endpoint := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	cfg := configFor(nil)
	cfg.HTTPClient = nil
	p, err := awskms.New(cfg, &awskms.Options{Endpoint: endpoint})
	require.NoError(t, err)
	start := time.Now()
	_, err = p.GenerateDataKey(t.Context(), keyA, ec)
	require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
	require.ErrorContains(t, err, "connection refused")
	require.Less(t, time.Since(start), 3*time.Second)
	_, ok := errors.AsType[*net.OpError](err)
	require.True(t, ok, "the cause is in the chain")
}

func TestKeyStates(t *testing.T) {
	b := newBench(t, nil)
	dk := b.generate(t)
	all := b.calls(dk.Wrapped)

	refusedAll := func(says string) {
		t.Helper()
		for _, call := range all {
			b.ResetCalls()
			err := call.do(t.Context(), b.p)
			require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%s: %v", call.name, err)
			require.ErrorContains(t, err, says, call.name)
			require.Equal(t, 1, b.Count(), call.name)
		}
	}
	b.Disable(b.arn)
	refusedAll("disabled")
	b.Enable(b.arn)
	b.ScheduleDeletion(b.arn, 7)
	refusedAll("pending deletion")
	b.CancelDeletion(b.arn)
	b.Enable(b.arn)
	for _, call := range all {
		require.NoError(t, call.do(t.Context(), b.p), call.name)
	}
}

func TestKeysOfTheWrongKind(t *testing.T) {
	b := newBench(t, nil)
	for _, opts := range []fakekms.KeyOptions{
		{Spec: "RSA_2048"}, {Spec: "RSA_4096", Usage: "SIGN_VERIFY"}, {Spec: "ECC_NIST_P256"}, {Spec: "HMAC_256"},
	} {
		t.Run(opts.Spec+opts.Usage, func(t *testing.T) {
			rootKey := "aws-kms://" + b.CreateKey(opts)
			require.ErrorIs(t, b.p.Check(t.Context(), rootKey), kmsprovider.ErrKeyUnusable)
			_, err := b.p.GenerateDataKey(t.Context(), rootKey, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorContains(t, err, "SYMMETRIC_DEFAULT")
			dk := b.generate(t)
			_, _, err = b.p.Rewrap(t.Context(), dk.RootKey, dk.Wrapped, rootKey, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		})
	}
}

func TestDeniedAndWrongCredentials(t *testing.T) {
	b := newBench(t, nil)
	dk := b.generate(t)
	t.Run("one operation", func(t *testing.T) {
		allow := b.Deny(b.arn, "Decrypt")
		defer allow()
		_, err := b.p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "grant kms:Decrypt")
		b.generate(t)
	})
	t.Run("request ID", func(t *testing.T) {
		allow := b.Deny(b.arn)
		defer allow()
		b.ResetCalls()
		_, err := b.p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.NotEmpty(t, awskms.RequestID(err))
		require.Equal(t, b.Calls()[0].RequestID, awskms.RequestID(err))
		require.ErrorContains(t, err, awskms.RequestID(err))
	})
	t.Run("wrong credentials", func(t *testing.T) {
		b.Inject(fakekms.Fault{AccessKeyID: accessKeyID, Error: "UnrecognizedClientException"})
		cfg := b.Config()
		cfg.Credentials = credentials.NewStaticCredentialsProvider(accessKeyID, secretKey, "")
		stranger, err := awskms.New(cfg, nil)
		require.NoError(t, err)
		_, err = stranger.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "credentials")
		noSecrets(t, everythingIn(err))
		b.generate(t)
	})
}

func TestAliasesOnFakeKMS(t *testing.T) {
	b := newBench(t, nil)
	b.CreateAlias("alias/crm", b.arn)
	for _, alias := range []string{"aws-kms://alias/crm", "aws-kms://arn:aws:kms:eu-central-1:111122223333:alias/crm"} {
		dk, err := b.p.GenerateDataKey(t.Context(), alias, ec)
		require.NoError(t, err)
		require.Equal(t, "aws-kms://"+b.arn, dk.RootKey)
		require.NoError(t, b.p.Check(t.Context(), alias))
		plain, err := b.p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.NoError(t, err)
		require.Equal(t, dk.Plaintext, plain)
	}
	b.UpdateAlias("alias/crm", b.other)
	dk, err := b.p.GenerateDataKey(t.Context(), "aws-kms://alias/crm", ec)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+b.arn, dk.RootKey)

	rewrapped, uri, err := b.p.Rewrap(t.Context(), dk.RootKey, dk.Wrapped, "aws-kms://alias/crm", ec)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+b.arn, uri, "pinned for the provider's life")
	_, err = b.p.Unwrap(t.Context(), uri, rewrapped, ec)
	require.NoError(t, err)

	for _, op := range []func() error{
		func() error { _, err := b.p.GenerateDataKey(t.Context(), "aws-kms://alias/none", ec); return err },
		func() error { return b.p.Check(t.Context(), "aws-kms://alias/none") },
		func() error { _, err := b.p.Resolve(t.Context(), "aws-kms://alias/none"); return err },
		func() error {
			_, _, err := b.p.Rewrap(t.Context(), dk.RootKey, dk.Wrapped, "aws-kms://alias/none", ec)
			return err
		},
	} {
		err := op()
		require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "alias/none")
	}
}

// A key of another account works by its full ARN, if that account allows it.
func TestKeyOfAnotherAccount(t *testing.T) {
	b := newBench(t, nil)
	foreign := "aws-kms://" + b.CreateKey(fakekms.KeyOptions{Account: "999988887777"})
	require.Contains(t, foreign, ":999988887777:")
	dk, err := b.p.GenerateDataKey(t.Context(), foreign, ec)
	require.NoError(t, err)
	require.Equal(t, foreign, dk.RootKey)
	plain, err := b.p.Unwrap(t.Context(), foreign, dk.Wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)
	require.NoError(t, b.p.Check(t.Context(), foreign))
}

// Replicas serve when the root key's own region is away, both ways and across
// a rotation.
func TestReplicaServesForRootKey(t *testing.T) {
	b := newBench(t, &awskms.Options{UnreachableAfter: 50 * time.Millisecond})
	abroad := b.Region("us-east-1")
	primary := b.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	replica := b.ReplicateKey(primary, "us-east-1")
	rootKey := "aws-kms://" + primary
	require.Contains(t, replica, "us-east-1")
	there, err := awskms.New(abroad.Config(), &awskms.Options{Replicas: map[string]string{primary: replica}})
	require.NoError(t, err)

	before, err := b.p.GenerateDataKey(t.Context(), rootKey, ec)
	require.NoError(t, err)
	b.RotateKey(primary)
	after, err := b.p.GenerateDataKey(t.Context(), rootKey, ec)
	require.NoError(t, err)

	b.Inject(fakekms.Fault{Break: fakekms.Drop})
	_, err = b.p.Unwrap(t.Context(), rootKey, before.Wrapped, ec)
	require.ErrorIs(t, err, kmsprovider.ErrUnavailable, "the control: the root key's region is away")
	for _, dk := range []kmsprovider.DataKey{before, after} {
		plain, err := there.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.NoError(t, err)
		require.Equal(t, dk.Plaintext, plain)
	}
	made, err := there.GenerateDataKey(t.Context(), rootKey, ec)
	require.NoError(t, err)
	require.Equal(t, rootKey, made.RootKey)
	rewrapped, uri, err := there.Rewrap(t.Context(), rootKey, before.Wrapped, rootKey, ec)
	require.NoError(t, err)
	require.Equal(t, rootKey, uri)
	plain, err := there.Unwrap(t.Context(), uri, rewrapped, ec)
	require.NoError(t, err)
	require.Equal(t, before.Plaintext, plain)
	require.NoError(t, there.Check(t.Context(), rootKey))

	abroad.Disable(replica)
	require.ErrorIs(t, there.Check(t.Context(), rootKey), kmsprovider.ErrKeyUnusable)
}

func TestConcurrentUse(t *testing.T) {
	b := newBench(t, nil)
	b.CreateAlias("alias/crm", b.arn)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			ec := kmsprovider.EncryptionContext{"worker": fmt.Sprint(i)}
			dk, err := b.p.GenerateDataKey(t.Context(), "aws-kms://alias/crm", ec)
			if err != nil {
				t.Error(err)
				return
			}
			plain, err := b.p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
			if err != nil || string(plain) != string(dk.Plaintext) {
				t.Errorf("got another key, or %v", err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, b.Count("DescribeKey"))
	require.Equal(t, aws.ToString(b.Config().BaseEndpoint), b.URL())
}
