package failover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

const rootKey = "stub://one"

// A stub does what it is told, after a while in which it doesn't listen to its
// context.
type stub struct {
	takes time.Duration
	err   error
	name  string // of the root key, in results

	calls atomic.Int64
	made  []byte // the last result
	same  bool   // what it was given hadn't changed when it was done
}

func (s *stub) work(given []byte, ec kmsprovider.EncryptionContext) ([]byte, string, error) {
	s.calls.Add(1)
	before, beforeEC := bytes.Clone(given), maps.Clone(ec)
	time.Sleep(s.takes)
	s.same = bytes.Equal(before, given) && maps.Equal(beforeEC, ec)
	if s.err != nil {
		return nil, "", s.err
	}
	s.made = bytes.Repeat([]byte{0xA7}, kmsprovider.DataKeySize)
	if s.name == "" {
		return s.made, rootKey, nil
	}
	return s.made, s.name, nil
}

func (s *stub) GenerateDataKey(_ context.Context, _ string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	plain, name, err := s.work(nil, ec)
	return kmsprovider.DataKey{Plaintext: plain, Wrapped: []byte("wrapped"), RootKey: name}, err
}

func (s *stub) Unwrap(_ context.Context, _ string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	plain, _, err := s.work(wrapped, ec)
	return plain, err
}

// able is a stub with the optional abilities.
type able struct{ stub }

func (s *able) Wrap(_ context.Context, _ string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	_, name, err := s.work(plaintext, ec)
	return []byte("wrapped"), name, err
}

func (s *able) Rewrap(_ context.Context, _ string, wrapped []byte, _ string, ec kmsprovider.EncryptionContext) (rewrapped []byte, canonical string, err error) {
	_, name, err := s.work(wrapped, ec)
	return []byte("rewrapped"), name, err
}

func (s *able) Check(context.Context, string) error {
	_, _, err := s.work(nil, nil)
	return err
}

func over(t testing.TB, providers ...kmsprovider.Provider) *failover.Provider {
	t.Helper()
	p, err := failover.New(providers, nil)
	require.NoError(t, err)
	return p
}

// The data key that comes too late is nobody's: it is wiped.
func TestLateResultsAreWiped(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		late, quick := &stub{takes: time.Minute}, &stub{}
		p := over(t, late, quick)
		dk, err := p.GenerateDataKey(t.Context(), rootKey, ec)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{0xA7}, 32), dk.Plaintext)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, make([]byte, 32), late.made)
		require.Equal(t, bytes.Repeat([]byte{0xA7}, 32), dk.Plaintext)

		plain, err := p.Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{0xA7}, 32), plain)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, make([]byte, 32), late.made)
	})
}

// A provider that is still at it when the call is over reads copies: the caller
// does what it likes with what it gave.
func TestArgumentsAreTheCallersAgain(t *testing.T) {
	for _, name := range []string{"GenerateDataKey", "Unwrap", "Rewrap", "Wrap"} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				late, quick := &able{stub{takes: time.Minute}}, &able{}
				p := over(t, late, quick)
				given, ec := bytes.Repeat([]byte{0x11}, 32), maps.Clone(ec)
				var err error
				switch name {
				case "GenerateDataKey":
					_, err = p.GenerateDataKey(t.Context(), rootKey, ec)
				case "Unwrap":
					_, err = p.Unwrap(t.Context(), rootKey, given, ec)
				case "Rewrap":
					_, _, err = p.Rewrap(t.Context(), rootKey, given, rootKey, ec)
				case "Wrap":
					_, _, err = p.Wrap(t.Context(), rootKey, given, ec)
				}
				require.NoError(t, err)
				clear(given)
				ec["fieldcrypt:tenant"] = "globex"
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				require.True(t, late.same)
			})
		})
	}
}

// A provider that doesn't listen to its context holds up nobody.
func TestDeafProvider(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := over(t, &stub{takes: time.Hour}, &stub{takes: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := p.Unwrap(ctx, rootKey, []byte("wrapped"), ec)
		require.Equal(t, context.DeadlineExceeded, providertest.ClassOf(err), "%v", err)
		require.LessOrEqual(t, time.Since(start), 1100*time.Millisecond)
		time.Sleep(time.Hour)
	})
}

// What providers mustn't return is not passed on as if it were the caller's.
func TestTimeoutOfAProviderIsAnOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		bad := &stub{err: fmt.Errorf("my own timeout: %w", context.DeadlineExceeded)}
		_, err := over(t, bad).Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
		require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "my own timeout")
		_, err = over(t, bad, &stub{}).Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
		require.NoError(t, err)
	})
}

func TestOutageHasOneClass(t *testing.T) {
	away, busy := fmt.Errorf("a: %w", kmsprovider.ErrUnavailable), fmt.Errorf("b: %w", kmsprovider.ErrThrottled)
	for _, c := range []struct {
		errs [2]error
		want error
	}{
		{[2]error{away, away}, kmsprovider.ErrUnavailable},
		{[2]error{busy, busy}, kmsprovider.ErrThrottled},
		{[2]error{away, busy}, kmsprovider.ErrThrottled},
		{[2]error{busy, away}, kmsprovider.ErrThrottled},
	} {
		bubble.Test(t, func(t *testing.T) {
			one, two := &stub{err: c.errs[0]}, &stub{err: c.errs[1]}
			_, err := over(t, one, two).Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
			require.Equal(t, c.want, providertest.ClassOf(err), "%v", err)
			require.EqualError(t, err, "failover: unwrap a data key under stub://one: no provider answered: "+c.errs[0].Error()+"; "+c.errs[1].Error())
			require.Equal(t, int64(1), one.calls.Load())
			require.Equal(t, int64(1), two.calls.Load())
		})
	}
}

// What only some providers can do is asked of those.
func TestAbilities(t *testing.T) {
	type call func(*failover.Provider) error
	calls := map[string]call{
		"Rewrap": func(p *failover.Provider) error {
			_, _, err := p.Rewrap(context.Background(), rootKey, []byte("w"), rootKey, ec)
			return err
		},
		"Wrap": func(p *failover.Provider) error {
			_, _, err := p.Wrap(context.Background(), rootKey, make([]byte, 32), ec)
			return err
		},
		"Check": func(p *failover.Provider) error { return p.Check(context.Background(), rootKey) },
	}
	for name, do := range calls {
		t.Run(name, func(t *testing.T) {
			without, with := &stub{}, &able{}
			err := do(over(t, without, without))
			require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, "*failover_test.stub can't ")
			p := over(t, without, with)
			for range 5 {
				require.NoError(t, do(p))
			}
			require.Equal(t, int64(5), with.calls.Load())
			require.Zero(t, p.Health()[0].Failures)

			away := &able{stub{err: kmsprovider.ErrUnavailable}}
			err = do(over(t, without, away))
			require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
			require.NotErrorIs(t, err, errors.ErrUnsupported)
		})
	}
	uri, err := over(t, &stub{}).Resolve(t.Context(), "anything")
	require.NoError(t, err)
	require.Equal(t, "anything", uri, "of one that resolves nothing, every name is canonical")
	require.NoError(t, over(t, &stub{}).CheckEach(t.Context(), rootKey))
}

// What was made under a name that the others don't know is refused, and wiped.
func TestProvidersThatNameTheRootKeyDifferently(t *testing.T) {
	other := &able{stub{name: "stub://two"}}
	p := over(t, other)
	dk, err := p.GenerateDataKey(t.Context(), rootKey, ec)
	require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
	require.ErrorContains(t, err, `"stub://two"`)
	require.Equal(t, kmsprovider.DataKey{}, dk)
	require.Equal(t, make([]byte, 32), other.made)
	wrapped, uri, err := p.Wrap(t.Context(), rootKey, make([]byte, 32), ec)
	require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
	require.Nil(t, wrapped)
	require.Empty(t, uri)
	_, _, err = p.Rewrap(t.Context(), rootKey, []byte("w"), rootKey, ec)
	require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
}

func TestNewRefuses(t *testing.T) {
	one := []kmsprovider.Provider{&stub{}}
	for name, c := range map[string]struct {
		providers []kmsprovider.Provider
		opts      *failover.Options
		says      string
	}{
		"no provider":         {nil, nil, "at least one provider"},
		"a nil provider":      {[]kmsprovider.Provider{&stub{}, nil}, nil, "none that is nil"},
		"negative patience":   {one, &failover.Options{Patience: -1}, "must not be negative"},
		"negative failures":   {one, &failover.Options{Failures: -1}, "must not be negative"},
		"negative probe time": {one, &failover.Options{ProbeAfter: -1}, "must not be negative"},
	} {
		p, err := failover.New(c.providers, c.opts)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, "failover: ", name)
		require.Nil(t, p)
	}
}

// secretive is a provider with a field that is nobody's business.
type secretive struct {
	stub
	password string
}

func TestPrintsNoFields(t *testing.T) {
	hidden := &secretive{password: "hunter2"}
	p := over(t, hidden, &stub{err: kmsprovider.ErrUnavailable})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(verb, p) + fmt.Sprintf(verb, p.Health()) + fmt.Sprintf(verb, p.LogValue())
		require.NotContains(t, text, hidden.password)
		require.Contains(t, text, "*failover_test.secretive")
	}
	require.Equal(t, "failover.Provider(nil)", fmt.Sprint((*failover.Provider)(nil)))
	require.Equal(t, "*failover_test.secretive: in its place, 0 failures in a row", fmt.Sprint(p.Health()[0]))
}

// panicky panics where it is called.
type panicky struct{ kmsprovider.Provider }

func (panicky) Unwrap(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, error) {
	panic("a made-up secret")
}

// A panic in a goroutine of ours would end the process: it is an outage.
func TestPanicOfAProvider(t *testing.T) {
	p := over(t, panicky{}, &stub{})
	for range 3 {
		_, err := p.Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
		require.NoError(t, err)
	}
	require.True(t, p.Health()[0].Last)
	_, err := over(t, panicky{}).Unwrap(t.Context(), rootKey, []byte("wrapped"), ec)
	require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
	require.ErrorContains(t, err, "failover_test.panicky panicked with a string")
	require.NotContains(t, err.Error(), "secret")
}
