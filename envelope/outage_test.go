package envelope

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// outages are ways for a key service to be away.
var outages = []struct {
	name  string
	fault fakekms.Fault
}{
	{"drop", fakekms.Fault{Break: fakekms.Drop}},
	{"hang", fakekms.Fault{Break: fakekms.Hang}},
	{"503", fakekms.Fault{Status: 503}},
}

// An outageRun is what became of reads and writes while the service was away.
type outageRun struct {
	served, reads int           // of values whose keys are in memory
	waited        int           // reads among these that took any time
	cold, untyped int           // reads of other values, and new keys; those without ErrUnavailable
	slowest       time.Duration // of the cold ones
	recovery      time.Duration // from the service's return to a cold read and a new key
}

func (o outageRun) holds() bool {
	return o.reads > 0 && o.served == o.reads && o.waited == 0 &&
		o.cold > 0 && o.untyped == 0 && o.slowest <= 2*time.Second && o.recovery <= 5*time.Second
}

// throughOutage takes a ring through half an hour of simulated time without its
// key service. Every second all warm values are read.
func throughOutage(t *testing.T, fault fakekms.Fault, opts Options) (run outageRun) {
	t.Helper()
	const length = 30 * time.Minute
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		root := newAWSRoot(srv)
		opts.Store = NewMemoryStore()
		r, _ := root.ring(t, root.provider(t, nil), opts)
		other, _ := root.ring(t, root.provider(t, nil), opts)
		defer r.Close()
		defer other.Close()
		warm := make([][]byte, scoreboard.Count(50, 1000))
		warmPlace := func(i int) *Binding { return place(fmt.Sprint("warm-", i)) }
		for i := range warm {
			warm[i], _ = sealFor(t, r, warmPlace(i))
		}
		cold, _ := sealFor(t, other, place("cold")) // its key is in the store, and not in r's memory
		coldRead := func() error {
			_, err := r.Open(t.Context(), place("cold"), cold)
			return err
		}
		newKey := func() error {
			_, err := r.Seal(t.Context(), place("new"), AppendString(nil, "x"))
			return err
		}
		time.Sleep(10*time.Hour + 7*time.Minute)

		end := srv.Inject(fault)
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			for ; time.Since(began) < length; time.Sleep(time.Second) {
				for i, env := range warm {
					asked := time.Now()
					if _, err := r.Open(t.Context(), warmPlace(i), env); err == nil {
						run.served++
					}
					run.reads++
					if time.Since(asked) > 0 {
						run.waited++
					}
				}
			}
		})
		for time.Since(began) < length-5*time.Second {
			for _, do := range []func() error{coldRead, newKey} {
				asked := time.Now()
				if err := do(); !errors.Is(err, kmsprovider.ErrUnavailable) {
					run.untyped++
				}
				run.cold++
				run.slowest = max(run.slowest, time.Since(asked))
			}
			time.Sleep(17 * time.Second)
		}
		time.Sleep(length - time.Millisecond - time.Since(began))
		wg.Go(func() { _ = coldRead() }) // under way when the service comes back
		time.Sleep(time.Millisecond)
		end()
		back := time.Now()
		for coldRead() != nil || newKey() != nil {
			time.Sleep(100 * time.Millisecond)
		}
		run.recovery = time.Since(back)
		wg.Wait()
	})
	return run
}

// TestScoreboardS11: the key service is away, in half an hour of simulated time.
// The control's keys serve no longer without an answer than with one.
func TestScoreboardS11(t *testing.T) {
	for _, o := range outages {
		got := throughOutage(t, o.fault, Options{})
		control := throughOutage(t, o.fault, Options{OutageGrace: time.Minute})
		scoreboard.Row(t, "S11", got.holds() && control.served < control.reads,
			fmt.Sprintf("%s for 30 min: %d of %d warm reads served, %d waited; %d of %d cold reads and new keys failed typed, slowest %v; recovery %v",
				o.name, got.served, got.reads, got.waited, got.cold-got.untyped, got.cold, got.slowest.Round(time.Millisecond), got.recovery.Round(time.Millisecond)),
			"100 %; typed error <= 2 s; <= 5 s",
			fmt.Sprintf("without a grace: %d of %d served", control.served, control.reads))
	}
}

// TestScoreboardS11InRealTime measures warm reads with and without the service,
// in turns. Whatever else the machine does adds to either, so the best round
// counts. The control loads its key for each read.
func TestScoreboardS11InRealTime(t *testing.T) {
	const turn = 1500 * time.Millisecond // more than CacheTTL: the service is asked in each
	const mostRounds, mostRatio = 15, 1.1
	srv := fakekms.Start(t)
	root := newAWSRoot(srv)
	p := root.provider(t, &awskms.Options{UnreachableAfter: 500 * time.Millisecond})
	store := NewMemoryStore()
	r, log := root.ring(t, p, Options{Store: store, CacheTTL: time.Second})
	other, _ := root.ring(t, p, Options{Store: store})
	warm, _ := sealFor(t, r, place("warm"))
	cold, _ := sealFor(t, other, place("cold"))
	read := func(tenant string, env []byte) func() error {
		at := place(tenant)
		return func() error {
			_, err := r.Open(t.Context(), at, env)
			return err
		}
	}
	loadAndRead := func() error {
		r.opening.InvalidateAll()
		return read("warm", warm)()
	}

	for _, o := range outages {
		var ratios []float64
		served, reads := 0, 0
		var slowest, recovery time.Duration
		for round := 0; round < scoreboard.Count(3, mostRounds) || round < mostRounds && slices.Min(ratios) > mostRatio; round++ {
			normal := readFor(turn, read("warm", warm))
			require.Zero(t, normal.failed)
			seen := log.count(RootKeyAway)
			end := srv.Inject(o.fault)
			away := readFor(turn, read("warm", warm))
			require.Greater(t, log.count(RootKeyAway), seen, "the service wasn't asked: the round shows nothing")
			served, reads = served+len(away.took)-away.failed, reads+len(away.took)
			ratios = append(ratios, float64(away.p99())/float64(normal.p99()))

			for _, do := range []func() error{read("cold", cold), func() error {
				_, err := r.Seal(t.Context(), place(fmt.Sprint("new ", o.name, round)), AppendString(nil, "x"))
				return err
			}} {
				asked := time.Now()
				require.ErrorIs(t, do(), kmsprovider.ErrUnavailable)
				slowest = max(slowest, time.Since(asked))
			}
			end()
			back := time.Now()
			for read("cold", cold)() != nil {
				time.Sleep(10 * time.Millisecond)
			}
			recovery = max(recovery, time.Since(back))
			r.opening.InvalidateAll() // the cold key is cold again
			require.NoError(t, read("warm", warm)())
		}
		var loads readings
		for range 100 {
			loads.time(loadAndRead)
		}
		end := srv.Inject(o.fault)
		var without readings
		without.time(loadAndRead)
		end()
		control := float64(without.p99()) / float64(loads.p99())
		require.Eventually(t, func() bool { return read("warm", warm)() == nil }, 30*time.Second, 10*time.Millisecond)

		best := slices.Min(ratios)
		ok := served == reads && best <= mostRatio && slowest <= 2*time.Second && recovery <= 5*time.Second && control > mostRatio && without.failed > 0
		scoreboard.Row(t, "S11", ok,
			fmt.Sprintf("%s in real time: %d of %d warm reads served, p99 %.2fx (best of %d rounds, worst %.2fx); errors typed, slowest %v; recovery %v",
				o.name, served, reads, best, len(ratios), slices.Max(ratios), slowest.Round(time.Millisecond), recovery.Round(time.Millisecond)),
			"100 %, <= 1.1x; typed error <= 2 s; <= 5 s", fmt.Sprintf("a load for each read: p99 %.1fx, 0 of 1 served", control))
	}
}

// readings are the times that reads took, and how many of them failed.
type readings struct {
	took   []time.Duration
	failed int
}

func (r *readings) time(read func() error) {
	asked := time.Now()
	err := read()
	r.took = append(r.took, time.Since(asked))
	if err != nil {
		r.failed++
	}
}

// readFor reads for a while, with pauses in which the ring's own work is done.
func readFor(d time.Duration, read func() error) *readings {
	r := &readings{took: make([]time.Duration, 0, 1<<19)}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(4 * time.Millisecond) {
		for range 1000 {
			r.time(read)
		}
	}
	return r
}

func (r *readings) p99() time.Duration {
	took := slices.Sorted(slices.Values(r.took))
	return took[len(took)*99/100]
}
