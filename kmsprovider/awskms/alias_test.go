package awskms_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

const aliasURI = "aws-kms://alias/crm"

// An aliasKMS answers for keys by whatever ARN is asked for, and for one alias.
type aliasKMS struct {
	target                      atomic.Value // ARN that the alias names
	delay                       time.Duration
	describes, describing, most atomic.Int32
	mu                          sync.Mutex
	called                      []string
	describe                    wire // instead of the answer
}

func (k *aliasKMS) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeKey") {
		k.describes.Add(1)
		k.most.Store(max(k.most.Load(), k.describing.Add(1)))
		defer k.describing.Add(-1)
		select {
		case <-time.After(k.delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		if k.describe != nil {
			return k.describe(r)
		}
		return answer(r, 200, fmt.Sprintf(`{"KeyMetadata":{"Arn":%q}}`, k.target.Load())), nil
	}
	_, arn, _ := strings.Cut(string(body), `"KeyId":"`)
	arn, _, _ = strings.Cut(arn, `"`)
	k.mu.Lock()
	k.called = append(k.called, arn)
	k.mu.Unlock()
	return answer(r, 200, dataKey(arn, plainKey, []byte("wrapped"))), nil
}

func newAliasKMS() *aliasKMS {
	k := &aliasKMS{}
	k.target.Store(arnA)
	return k
}

func TestAliasIsPinned(t *testing.T) {
	k := newAliasKMS()
	p := newOn(t, k.Do, nil)
	for range 3 {
		dk, err := p.GenerateDataKey(t.Context(), aliasURI, ec)
		require.NoError(t, err)
		require.Equal(t, keyA, dk.RootKey)
		k.target.Store(arnB) // moved: takes effect with a new provider
	}
	uri, err := p.Resolve(t.Context(), aliasURI)
	require.NoError(t, err)
	require.Equal(t, keyA, uri)
	require.Equal(t, []string{arnA, arnA, arnA}, k.called, "the pinned ARN is called, not the alias")
	require.EqualValues(t, 1, k.describes.Load())

	uri, err = newOn(t, k.Do, nil).Resolve(t.Context(), aliasURI)
	require.NoError(t, err)
	require.Equal(t, keyB, uri)

	uri, err = p.Resolve(t.Context(), keyB)
	require.NoError(t, err)
	require.Equal(t, keyB, uri)
	require.EqualValues(t, 2, k.describes.Load(), "a canonical URI makes no call")
}

func TestAliasFailureIsNotPinned(t *testing.T) {
	k := newAliasKMS()
	k.describe = always(400, apiError("NotFoundException", "Alias is not found"))
	p := newOn(t, k.Do, nil)
	_, err := p.GenerateDataKey(t.Context(), aliasURI, ec)
	require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
	require.ErrorContains(t, err, "alias/crm")
	require.ErrorIs(t, p.Check(t.Context(), aliasURI), kmsprovider.ErrKeyUnusable)
	k.describe = nil
	_, err = p.GenerateDataKey(t.Context(), aliasURI, ec)
	require.NoError(t, err)
}

func TestAliasLookedUpOnceByMany(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := newAliasKMS()
		k.delay = 500 * time.Millisecond
		p := newOn(t, k.Do, nil)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				uri, err := p.Resolve(t.Context(), aliasURI)
				if err != nil || uri != keyA {
					t.Errorf("got %q, %v", uri, err)
				}
			})
		}
		// No lock is held meanwhile: other keys go on.
		synctest.Wait()
		start := time.Now()
		require.NoError(t, generate(t.Context(), p))
		require.Zero(t, time.Since(start))
		wg.Wait()
		require.EqualValues(t, 1, k.describes.Load())
	})
}

// The one who looks up may give up; the others must not fail with it.
func TestAliasLeaderGivesUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := newAliasKMS()
		k.delay = 800 * time.Millisecond
		p := newOn(t, k.Do, nil)
		impatient, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Resolve(impatient, aliasURI)
			if !errors.Is(providertest.ClassOf(err), context.Canceled) {
				t.Errorf("the impatient one got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if _, err := p.Resolve(t.Context(), aliasURI); err != nil {
					t.Errorf("a patient one got %v", err)
				}
			})
		}
		short, cancelShort := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelShort()
		wg.Go(func() {
			_, err := p.Resolve(short, aliasURI)
			if !errors.Is(providertest.ClassOf(err), context.DeadlineExceeded) {
				t.Errorf("the follower with a deadline got %v", err)
			}
		})
		synctest.Wait()
		time.Sleep(200 * time.Millisecond)
		cancel()
		wg.Wait()
		require.EqualValues(t, 2, k.describes.Load())
		require.EqualValues(t, 1, k.most.Load(), "one call in flight")
	})
}

// A replica is called in the root key's place, and the root key keeps its name.
func TestReplicas(t *testing.T) {
	k := newAliasKMS()
	opts := &awskms.Options{Replicas: map[string]string{arnMulti: arnLocal}}
	p := newOn(t, k.Do, opts)
	opts.Replicas[arnMulti] = "changed later"
	opts.Replicas[arnA] = arnB
	dk, err := p.GenerateDataKey(t.Context(), "aws-kms://"+arnMulti, ec)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+arnMulti, dk.RootKey)
	_, err = p.Unwrap(t.Context(), "aws-kms://"+arnMulti, dk.Wrapped, ec)
	require.NoError(t, err)
	_, err = p.Unwrap(t.Context(), keyA, dk.Wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, []string{arnLocal, arnLocal, arnA}, k.called)

	// An answer that names the primary didn't come from the replica.
	bubble.Test(t, func(t *testing.T) { // it is tried again for a while
		p := newOn(t, always(200, dataKey(arnMulti, plainKey, []byte("wrapped"))), &awskms.Options{Replicas: map[string]string{arnMulti: arnLocal}})
		_, err := p.Unwrap(t.Context(), "aws-kms://"+arnMulti, dk.Wrapped, ec)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.ErrorContains(t, err, "another key")
	})
}
