//go:build postgres || mariadb

package drivertest

import (
	"bytes"
	"context"
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
// others are made. Or it falls silent: then they stay, and nothing gets through.
type gate struct {
	net.Listener
	server  string
	mu      sync.Mutex
	speaks  *sync.Cond
	shut    bool
	silent  bool // for connections that are made
	swallow int  // answers to a COMMIT
	open    map[*line]struct{}
}

// A line is a connection through a gate.
type line struct {
	net.Conn
	silent bool
}

func gateBefore(t testing.TB, server string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{Listener: l, server: server, open: map[*line]struct{}{}}
	g.speaks = sync.NewCond(&g.mu)
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
	l := &line{Conn: c, silent: g.silent}
	g.open[l] = struct{}{}
	g.mu.Unlock()
	go func() {
		g.pass(l, back, c)
		_ = back.Close()
	}()
	g.pass(l, c, back)
	g.mu.Lock()
	delete(g.open, l)
	g.mu.Unlock()
}

// pass forwards what comes, as long as the line isn't silent.
func (g *gate) pass(l *line, to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		g.mu.Lock()
		for l.silent && !g.shut {
			g.speaks.Wait()
		}
		if to != l.Conn && g.swallow > 0 && bytes.Contains(bytes.ToUpper(buf[:n]), []byte("COMMIT")) {
			g.swallow--
			l.silent = true
		}
		_, err = to.Write(buf[:n])
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for l := range g.open {
			_ = l.Close()
			delete(g.open, l)
		}
		g.speaks.Broadcast()
	}
}

// hush has all connections fall silent, and those that are made until speak.
func (g *gate) hush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = true
	for l := range g.open {
		l.silent = true
	}
}

// speak lets new connections through, and with all also those that fell silent.
func (g *gate) speak(all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = false
	for l := range g.open {
		l.silent = l.silent && !all
	}
	g.speaks.Broadcast()
}

// lose has the answer to one more transaction's end get lost.
func (g *gate) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.swallow++
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
		require.Equal(t, [2]int64{600, 600}, [2]int64{report.Rows, report.Changed})
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

// The database, or what is between, falls silent in the middle: no connection ends,
// and nobody answers. Some connections never speak again.
func TestDatabaseSilent(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // it is a file
			return
		}
		t.Parallel()
		s := d.service(t)
		s.fill(1, 600)
		far, g := d.behind(t)
		opts := &sweep.Options{RangeRows: 100, MaxBatch: 20, AnswerTime: 3 * time.Second}
		sweeper, err := sweep.New(far.open(t), d.Dialect, opts)
		require.NoError(t, err)
		for what, at := range map[string]map[string]func(){
			"all, for longer than an answer may take": {"begin": func() {
				g.hush()
				time.AfterFunc(4*time.Second, func() { g.speak(false) })
			}},
			"all, for less than that": {"written": func() {
				g.hush()
				time.AfterFunc(time.Second, func() { g.speak(true) })
			}},
			"what is late arrives": {"read": func() {
				g.hush()
				time.AfterFunc(4*time.Second, func() { g.speak(true) })
			}},
			"the answer to a commit": {"take": g.lose, "saved": g.lose},
		} {
			s.rotate()
			var mu sync.Mutex
			seen := map[string]int{}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			report, err := sweeper.Run(hooks.With(ctx, hooks.Hooks{Step: func(name string) {
				mu.Lock()
				defer mu.Unlock()
				if seen[name]++; seen[name] == 2 && at[name] != nil {
					at[name]()
				}
			}}), s.table(), sweep.Reencrypt, nil)
			cancel()
			require.NoError(t, err, what)
			require.Zero(t, g.swallow, what)
			for name := range at {
				require.Greater(t, seen[name], 1, what)
			}
			require.Equal(t, [3]int64{600, 600, 0}, [3]int64{report.Rows, report.Changed, report.Failed}, what)
			require.Zero(t, s.underOld(), what)
			s.whole(600)
		}

		s.rotate()
		g.hush()
		opts.Patience = time.Second
		impatient, err := sweep.New(far.open(t), d.Dialect, opts)
		require.NoError(t, err)
		_, err = impatient.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrOutage)
		require.ErrorContains(t, err, "the database didn't answer within 3s, which may be too short where it is only slow (Options.AnswerTime)")
	})
}
