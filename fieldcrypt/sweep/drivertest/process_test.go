package drivertest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// The test binary runs itself as other processes, which do the job that this
// variable describes.
const childVariable = "FIELDCRYPT_TEST_SWEEP_CHILD"

// childDeadline ends a process whose parent has gone.
const childDeadline = 10 * time.Minute

// A child is what another process does: a sweep, which kills itself when it has
// come to a step so many times.
type child struct {
	database
	task
	Keys    string // localkms's file
	Options sweep.Options
	Step    string
	Times   int
	Broken  bool // the control
}

// A task is the operation of a sweep, and for a rebinding whose rows become whose.
type task struct{ Does, From, To string }

// do runs it.
func (c task) do(ctx context.Context, sweeper *sweep.Sweeper, rows *fieldcrypt.Rows) error {
	op, opts := sweep.Operation{}, &sweep.JobOptions{}
	switch c.Does {
	case "reencrypt":
		op = sweep.Reencrypt
	case "encrypt":
		op = sweep.Encrypt
	case "decrypt":
		op = sweep.DecryptToPlaintext
	case "rebind":
		opts.Tenant = c.From
		var err error
		op, err = sweep.Rebind(sweep.Rebinding{
			Name: c.From + " becomes " + c.To, Set: map[string]any{"tenant": c.To}, Until: time.Now().Add(time.Hour),
			Was: func(now envelope.Binding, _ []any) (envelope.Binding, error) {
				now.Scope.Tenant = c.From
				return now, nil
			},
		})
		if err != nil {
			return err
		}
	}
	_, err := sweeper.Run(ctx, sweep.Table{Name: "contacts", Rows: rows}, op, opts)
	return err
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		time.AfterFunc(childDeadline, func() { panic("this process should have ended long ago") })
		var c child
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c *child) run(ctx context.Context) error {
	db, err := sql.Open(c.Driver, c.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	kms, err := localkms.OpenExisting(c.Keys)
	if err != nil {
		return err
	}
	keys, err := sqlstore.Open(ctx, db, sqlstore.Dialect(c.Dialect), nil)
	if err != nil {
		return err
	}
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	if err != nil {
		return err
	}
	contacts, err := fieldcrypt.For[Migrant](crypt)
	if err != nil {
		return err
	}
	sweeper, err := sweep.New(db, c.Dialect, &c.Options)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	ctx = hooks.With(ctx, hooks.Hooks{CursorFirst: c.Broken, Step: func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if name != c.Step {
			return
		}
		if c.Times--; c.Times < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
	}})
	return c.do(ctx, sweeper, contacts.Rows())
}

// A process is one that runs.
type process struct {
	*exec.Cmd
	failed *strings.Builder
}

func (c child) start(t testing.TB) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(self), failed: &strings.Builder{}}
	p.Env = append(os.Environ(), childVariable+"="+string(text))
	p.Stderr = p.failed
	require.NoError(t, p.Start())
	return p
}

// killed waits for the end of a process and reports whether somebody killed it.
// One that failed by itself fails the test.
func (p *process) killed(t testing.TB) bool {
	t.Helper()
	err := p.Wait()
	if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return true
	}
	require.NoError(t, err, p.failed.String())
	return false
}
