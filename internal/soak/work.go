package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// ids is how many rows each tenant has.
const ids = 8

var email = envelope.MustField("Contacts", "email")

func scopeOf(tenant int) envelope.Scope {
	return envelope.Scope{Tenant: fmt.Sprint("tenant-", tenant), Class: "crm"}
}

func place(tenant, id int) *envelope.Binding {
	return &envelope.Binding{Scope: scopeOf(tenant), Field: email, Record: strconv.Itoa(id)}
}

// value is what a row holds in one of its versions.
func value(tenant, id int, version int64) []byte {
	return envelope.AppendString(nil, fmt.Sprintf("contact-%d-%d@%d.example.com", id, version, tenant))
}

// counts is what became of all operations.
type counts struct {
	mu      sync.Mutex
	done    int
	refused map[string]int // by the key service, which is away, throttles or denies
	faults  int
	wrong   error // the first of what must not happen
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d done, %d faults, refused %v", c.done, c.faults, c.refused)
}

// note counts an operation.
func (c *counts) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch class := classOf(err); {
	case err == nil:
		c.done++
	case class != nil:
		if c.refused == nil {
			c.refused = map[string]int{}
		}
		c.refused[class.Error()]++
	case c.wrong == nil:
		c.wrong = err
	}
}

// classOf returns the class of an error that a fault of the key service has, or
// nil.
func classOf(err error) error {
	for _, class := range []error{kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied} {
		if errors.Is(err, class) {
			return class
		}
	}
	return nil
}

func (c *counts) verdict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.wrong != nil:
		return c.wrong
	case c.faults == 0 || len(c.refused) == 0:
		return errors.New("the key service never failed: the run shows nothing")
	}
	return nil
}

// repeat does something until the context ends, with pauses.
func (s *service) repeat(ctx context.Context, pause time.Duration, do func() error) {
	for ctx.Err() == nil {
		if err := do(); ctx.Err() == nil {
			s.note(err)
		}
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *service) write(ctx context.Context, ring *envelope.KeyRing) error {
	return s.writeRow(ctx, ring, rand.N(s.tenants), rand.N(ids), rand.Int64())
}

func (s *service) writeRow(ctx context.Context, ring *envelope.KeyRing, tenant, id int, version int64) error {
	sealed, err := ring.Seal(ctx, place(tenant, id), value(tenant, id, version))
	if err != nil {
		return err
	}
	if s.leak != nil {
		s.leak(s)
	}
	_, err = s.db.ExecContext(ctx, `INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)`, tenant, id, version, sealed)
	return err
}

func (s *service) read(ctx context.Context, ring *envelope.KeyRing) error {
	return s.readRow(ctx, ring, rand.N(s.tenants), rand.N(ids))
}

func (s *service) readRow(ctx context.Context, ring *envelope.KeyRing, tenant, id int) error {
	var version int64
	var sealed []byte
	err := s.db.QueryRowContext(ctx, `SELECT version, email FROM contacts WHERE tenant = ? AND id = ?`, tenant, id).Scan(&version, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("row %d of tenant %d is gone", id, tenant)
	} else if err != nil {
		return err
	}
	opened, err := ring.Open(ctx, place(tenant, id), sealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, value(tenant, id, version)) {
		return fmt.Errorf("row %d of tenant %d holds another value than was written", id, tenant)
	}
	return nil
}

func (s *service) rotate(ctx context.Context) error {
	_, err := s.rings[0].Rotate(ctx, scopeOf(rand.N(s.tenants)))
	return err
}

// writeAll makes the rows, and readAll reads them when all faults are over.
func (s *service) writeAll(ctx context.Context) error {
	return s.forAll(func(tenant, id int) error { return s.writeRow(ctx, s.rings[0], tenant, id, 0) })
}

func (s *service) readAll(ctx context.Context) error {
	return s.forAll(func(tenant, id int) error { return s.readRow(ctx, s.rings[tenant%2], tenant, id) })
}

func (s *service) forAll(do func(tenant, id int) error) error {
	for tenant := range s.tenants {
		for id := range ids {
			err := do(tenant, id)
			for end := time.Now().Add(10 * time.Second); classOf(err) != nil && time.Now().Before(end); {
				err = do(tenant, id) // a machine that is busy makes the key service slow
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// disturb has the key service fail in one way after the other, with pauses.
func (s *service) disturb(ctx context.Context) {
	faults := []fakekms.Fault{
		{Break: fakekms.Drop},
		{Break: fakekms.Hang},
		{Status: 503},
		{Error: "ThrottlingException", Rate: 0.5},
		{Error: "AccessDeniedException"},
		{Break: fakekms.BadJSON},
		{Delay: 50 * time.Millisecond, Error: "KMSInternalException", Rate: 0.3},
	}
	for i := 0; ; i++ {
		sleep(ctx, 500*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.faults++
		s.mu.Unlock()
		end := s.kms.Inject(faults[i%len(faults)])
		sleep(ctx, unreachableAfter+400*time.Millisecond) // for longer than a call is tried again
		end()
		s.kms.ResetCalls() // its log is in this process's memory too
	}
}
