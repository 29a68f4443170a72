package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

const unreachableAfter = 600 * time.Millisecond

type config struct {
	length, report  time.Duration
	tenants, places int
	out             io.Writer

	// leak is called for each write. Tests let it leave something behind.
	leak func(*service)
}

// A service is two processes' key rings, on one table of rows and one key store.
type service struct {
	config
	kms   *fakekms.Server
	db    *sql.DB
	rings []*envelope.KeyRing
	counts
}

// soak runs a service for a while. Its error says all that isn't as it must be.
func soak(ctx context.Context, c config) error {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // what Go opens once for all sockets
		l.Close()
	}
	before := usageNow()
	fmt.Fprintln(c.out, "before:", before)
	warm, late, err := c.run(ctx)
	after := settled(before)
	fmt.Fprintf(c.out, "warm:   %v\nlate:   %v\nclosed: %v\n", warm, late, after)
	if what := grown(before, warm, late, after); len(what) > 0 {
		err = errors.Join(err, errors.New(strings.Join(what, "; ")))
	}
	return err
}

// run returns the usage when the caches are full, and at the end before Close.
func (c config) run(ctx context.Context) (warm, late usage, err error) {
	dir, err := os.MkdirTemp("", "fieldcrypt-soak-")
	if err != nil {
		return warm, late, err
	}
	defer os.RemoveAll(dir)
	s, err := c.open(ctx, dir)
	if err != nil {
		return warm, late, err
	}
	defer s.close()
	if err := s.writeAll(ctx); err != nil {
		return warm, late, err
	}

	working, stop := context.WithTimeout(ctx, c.length)
	defer stop()
	var wg sync.WaitGroup
	for i := range 4 {
		ring := s.rings[i%len(s.rings)]
		wg.Go(func() { s.repeat(working, 0, func() error { return s.write(working, ring) }) })
		wg.Go(func() { s.repeat(working, 0, func() error { return s.read(working, ring) }) })
	}
	wg.Go(func() { s.repeat(working, 100*time.Millisecond, func() error { return s.rotate(working) }) })
	wg.Go(func() { s.disturb(working) })
	sleep(working, c.length/4)
	warm = usageNow()
	for began := time.Now(); working.Err() == nil; {
		sleep(working, c.report)
		fmt.Fprintf(c.out, "%5.1f min: %v; %v\n", time.Since(began).Minutes()+c.length.Minutes()/4, &s.counts, usageNow())
	}
	wg.Wait()
	late = usageNow()
	if err := ctx.Err(); err != nil {
		return warm, late, err
	}
	if err := s.readAll(ctx); err != nil {
		return warm, late, err
	}
	return warm, late, s.verdict()
}

func (c config) open(ctx context.Context, dir string) (s *service, err error) {
	s = &service{config: c, kms: fakekms.New(fakekms.Options{})}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.kms.Listen(); err != nil {
		return s, err
	}
	pragmas := "?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
	if s.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "crm.db")+pragmas); err != nil {
		return s, err
	}
	s.db.SetMaxOpenConns(8)
	if _, err = s.db.ExecContext(ctx, `CREATE TABLE contacts (tenant INTEGER, id INTEGER, version INTEGER, email BLOB, PRIMARY KEY (tenant, id))`); err != nil {
		return s, err
	}
	store, err := sqlstore.Open(ctx, s.db, sqlstore.SQLite, nil)
	if err != nil {
		return s, err
	}
	root := "aws-kms://" + s.kms.CreateKey(fakekms.KeyOptions{})
	for range 2 {
		p, err := awskms.New(s.kms.Config(), &awskms.Options{UnreachableAfter: unreachableAfter, ThrottledFor: time.Second})
		if err != nil {
			return s, err
		}
		ring, err := envelope.NewKeyRing(p, envelope.RootKeys{Seal: root}, &envelope.Options{
			Store: store, CacheSize: c.places, CacheTTL: time.Second, StorePoll: 500 * time.Millisecond,
			KeyAge: 5 * time.Minute, MessageBudget: 500,
		})
		if err != nil {
			return s, err
		}
		s.rings = append(s.rings, ring)
	}
	return s, nil
}

func (s *service) close() {
	for _, r := range s.rings {
		r.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	s.kms.Close()
}
