//go:build postgres || mariadb

package drivertest

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// hanging returns the database as it is reached through a proxy that forwards
// nothing any more while stuck is set, and leaves its connections open.
func (d database) hanging(t *testing.T) (far database, stuck *atomic.Bool) {
	t.Helper()
	stuck = &atomic.Bool{}
	far = d
	if d.dialect == sqlstore.Postgres {
		u, err := url.Parse(d.dsn)
		require.NoError(t, err)
		u.Host = stuckBefore(t, u.Host, stuck)
		far.dsn = u.String()
		return far, stuck
	}
	before, rest, ok := strings.Cut(d.dsn, "tcp(")
	require.True(t, ok)
	server, after, ok := strings.Cut(rest, ")")
	require.True(t, ok)
	far.dsn = before + "tcp(" + stuckBefore(t, server, stuck) + ")" + after
	return far, stuck
}

func stuckBefore(t *testing.T, server string, stuck *atomic.Bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	forward := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			if stuck.Load() {
				_, _ = io.Copy(io.Discard, from) // until the other side gives up
				return
			}
			if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", server)
			if err != nil {
				_ = c.Close()
				continue
			}
			go forward(back, c)
			go forward(c, back)
		}
	}()
	return l.Addr().String()
}

// A replica that takes queries and never answers costs one read a second, and those
// after it nothing, until it is asked again.
func TestReplicaThatHangs(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite { // it is a file
			return
		}
		far, stuck := another(t, d).hanging(t)
		behind := far.store(t)
		opts := d.opts
		opts.Replica = far.pool(t)
		s, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, &opts)
		require.NoError(t, err)
		rec := made("acme", 1)
		require.NoError(t, s.Insert(t.Context(), rec))
		rec.RootKey = "example-kms://as-on-the-replica"
		require.NoError(t, behind.Insert(t.Context(), rec))
		get := func() string {
			ctx, cancel := context.WithTimeout(t.Context(), eventually)
			defer cancel()
			got, err := s.GetForOpening(ctx, rec.Scope, rec.Purpose, rec.KeyID)
			require.NoError(t, err)
			return got.RootKey
		}
		require.Equal(t, rec.RootKey, get(), "the control: the replica answers")
		stuck.Store(true)
		for range 2 { // with a connection, and without
			began := time.Now()
			require.Equal(t, made("acme", 1).RootKey, get())
			require.InDelta(t, 3, time.Since(began).Seconds(), 2.5)
			for began = time.Now(); time.Since(began) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
				asked := time.Now()
				require.Equal(t, made("acme", 1).RootKey, get())
				require.Less(t, time.Since(asked), time.Second, "it waited for the replica")
			}
			time.Sleep(time.Until(began.Add(6 * time.Second)))
		}
		stuck.Store(false)
		require.Eventually(t, func() bool { return get() == rec.RootKey }, time.Minute, time.Second, "it is back")
	})
}
