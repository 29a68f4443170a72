//go:build postgres || mariadb

package drivertest

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A gate stands before a server and can be shut: then connections end and no
// others are made.
type gate struct {
	net.Listener
	server string
	mu     sync.Mutex
	shut   bool
	open   map[net.Conn]struct{}
}

func gateBefore(t testing.TB, server string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{Listener: l, server: server, open: map[net.Conn]struct{}{}}
	t.Cleanup(func() { g.set(true); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.serve(c)
		}
	}()
	return g
}

func (g *gate) serve(c net.Conn) {
	defer c.Close()
	back, err := net.Dial("tcp", g.server)
	if err != nil {
		return
	}
	defer back.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	g.open[c] = struct{}{}
	g.mu.Unlock()
	go func() {
		_, _ = io.Copy(back, c)
		_ = back.Close()
	}()
	_, _ = io.Copy(c, back)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.open {
			_ = c.Close()
			delete(g.open, c)
		}
	}
}

// behind returns the database as it is reached through a gate.
func (d database) behind(t testing.TB) (database, *gate) {
	t.Helper()
	if d.Dialect == sweep.Postgres {
		u, err := url.Parse(d.DSN)
		require.NoError(t, err)
		g := gateBefore(t, u.Host)
		u.Host = g.Addr().String()
		d.DSN = u.String()
		return d, g
	}
	before, rest, ok := strings.Cut(d.DSN, "tcp(")
	require.True(t, ok)
	server, after, ok := strings.Cut(rest, ")")
	require.True(t, ok)
	g := gateBefore(t, server)
	d.DSN = before + "tcp(" + g.Addr().String() + ")" + after
	return d, g
}

// The database goes away in the middle, more than once, and comes back.
func TestDatabaseAway(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // it is a file
			return
		}
		s := d.service(t)
		s.fill(1, 600)
		s.rotate()
		far, g := d.behind(t)
		sweeper, err := sweep.New(far.open(t), d.Dialect, &sweep.Options{RangeRows: 100, MaxBatch: 20})
		require.NoError(t, err)
		var mu sync.Mutex
		seen, cuts := map[string]int{}, 0
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			mu.Lock()
			defer mu.Unlock()
			if seen[name]++; seen[name] == 2 { // at the second time of each step
				cuts++
				g.set(true)
				time.AfterFunc(200*time.Millisecond, func() { g.set(false) })
			}
		}})
		report, err := sweeper.Run(ctx, s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.Greater(t, cuts, 4)
		require.Zero(t, report.Failed)
		require.GreaterOrEqual(t, report.Rows, int64(600))
		require.Zero(t, s.underOld())
		s.whole(600)

		// For a minute, under FULL=1.
		s.rotate()
		var once sync.Once
		ctx = hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name != "seal" {
				return
			}
			once.Do(func() {
				g.set(true)
				time.AfterFunc(time.Duration(scoreboard.Count(1, 60))*time.Second, func() { g.set(false) })
			})
		}})
		report, err = sweeper.Run(ctx, s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.Zero(t, report.Failed)
		require.Zero(t, s.underOld())
		s.whole(600)

		s.rotate()
		g.set(true)
		impatient, err := sweep.New(far.open(t), d.Dialect, &sweep.Options{Patience: 200 * time.Millisecond})
		require.NoError(t, err)
		_, err = impatient.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrOutage)
		require.ErrorContains(t, err, "the database was away for")
	})
}
