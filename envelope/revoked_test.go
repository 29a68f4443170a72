package envelope

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// revocations are ways for a key service that can be reached to say no.
var revocations = []struct {
	name   string
	revoke func(a awsRoot)
}{
	{"disabled", func(a awsRoot) { a.srv.Disable(a.arn) }},
	{"access denied", func(a awsRoot) { a.srv.Deny(a.arn) }},
	{"pending deletion", func(a awsRoot) { a.srv.ScheduleDeletion(a.arn, 7) }},
}

// A softProvider takes a refusal for an outage.
type softProvider struct{ kmsprovider.Provider }

func (p softProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	secret, err := p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", kmsprovider.ErrUnavailable, err)
	}
	return secret, nil
}

// A revokedRun is how long values could be read and written after their root
// key was revoked.
type revokedRun struct {
	read, written time.Duration // the last success after it
	untyped       int           // failures that don't say that it is a refusal
}

// afterRevocation reads and writes for some tenants until the time is over:
// every so often, and less often once nothing succeeds, since each failure then
// is a call.
func afterRevocation(t *testing.T, r *KeyRing, envs [][]byte, revoke func(), every, until time.Duration) (run revokedRun) {
	t.Helper()
	revoke()
	revoked := time.Now()
	for ; time.Since(revoked) < until; time.Sleep(every) {
		if since := time.Since(revoked); since > max(run.read, run.written)+every {
			time.Sleep(19 * every)
		}
		for i, env := range envs {
			_, err := r.Open(t.Context(), tenantAt(i), env)
			if err == nil {
				run.read = max(run.read, time.Since(revoked))
			} else if !isNo(err) {
				run.untyped++
			}
			_, err = r.Seal(t.Context(), tenantAt(i), AppendString(nil, "x"))
			if err == nil {
				run.written = max(run.written, time.Since(revoked))
			} else if !isNo(err) {
				run.untyped++
			}
		}
	}
	return run
}

func tenantAt(i int) *Binding { return place(fmt.Sprint("tenant-", i)) }

func sealForTenants(t *testing.T, r *KeyRing, n int) (envs [][]byte) {
	t.Helper()
	for i := range n {
		env, _ := sealFor(t, r, tenantAt(i))
		envs = append(envs, env)
	}
	return envs
}

func (run *revokedRun) join(other revokedRun) {
	run.read, run.written = max(run.read, other.read), max(run.written, other.written)
	run.untyped += other.untyped
}

// TestScoreboardS14: a root key is revoked while its data keys are in use, at
// many moments between two checks. The control takes the refusal for an outage.
func TestScoreboardS14(t *testing.T) {
	const ttl = 15 * time.Minute
	moments := scoreboard.Count(20, 1000)
	for _, c := range revocations {
		var got, control revokedRun
		for i := range moments {
			bubble.Test(t, func(t *testing.T) {
				for _, soft := range []bool{false, true} {
					if soft && i > 0 {
						continue
					}
					srv := fakekms.New(fakekms.Options{})
					root := newAWSRoot(srv)
					p := root.provider(t, nil)
					if soft {
						p = softProvider{p}
					}
					var opts Options
					opts.CacheTTL = ttl
					if i%2 == 0 {
						opts.Store = NewMemoryStore()
					}
					r, _ := root.ring(t, p, opts)
					envs := sealForTenants(t, r, 3)
					// From the first check on, and so at every moment between two.
					time.Sleep(time.Hour + ttl*time.Duration(i)/time.Duration(moments))
					run := afterRevocation(t, r, envs, func() { c.revoke(root) }, time.Second, ttl+time.Minute)
					if soft {
						control.join(run)
					} else {
						got.join(run)
					}
					require.NoError(t, r.Close())
					srv.Close()
				}
			})
		}
		row14(t, fmt.Sprintf("%s, at %d moments", c.name, moments), ttl, got, control)
	}
}

func row14(t *testing.T, what string, ttl time.Duration, got, control revokedRun) {
	t.Helper()
	most := ttl + time.Second
	scoreboard.Row(t, "S14", got.read <= most && got.written <= most && got.untyped == 0 && control.read > most,
		fmt.Sprintf("%s: last read after %v, last write after %v, TTL %v; %d errors of another class",
			what, got.read.Round(time.Millisecond), got.written.Round(time.Millisecond), ttl, got.untyped),
		"<= TTL + 1 s", fmt.Sprintf("refusals taken for outages: last read after %v or more", control.read.Round(time.Millisecond)))
}

// TestScoreboardS14InRealTime: as above over a socket, all at the same time.
func TestScoreboardS14InRealTime(t *testing.T) {
	const ttl = 2 * time.Second
	got, control := make([]revokedRun, len(revocations)), make([]revokedRun, len(revocations))
	var wg sync.WaitGroup
	for i, c := range revocations {
		for soft, run := range map[bool]*revokedRun{false: &got[i], true: &control[i]} {
			root := newAWSRoot(fakekms.Start(t))
			p := root.provider(t, nil)
			if soft {
				p = softProvider{p}
			}
			r, _ := root.ring(t, p, Options{Store: NewMemoryStore(), CacheTTL: ttl})
			envs := sealForTenants(t, r, 3)
			wg.Go(func() {
				time.Sleep(ttl + ttl*time.Duration(i)/4)
				*run = afterRevocation(t, r, envs, func() { c.revoke(root) }, 10*time.Millisecond, 2*ttl+time.Second)
			})
		}
	}
	wg.Wait()
	for i, c := range revocations {
		row14(t, c.name+", in real time", ttl, got[i], control[i])
	}
}
