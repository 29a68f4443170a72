package localkms

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test binary runs itself as other processes, which do what this variable
// says once their standard input is closed.
const (
	childVariable = "FIELDCRYPT_TEST_LOCALKMS_CHILD"
	rotations     = 20 // of each process
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		if err := child(job, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(job, path string) error {
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx := context.Background()
	switch job {
	case "open":
		p, err := Open(path)
		if err != nil {
			return err
		}
		dk, err := p.GenerateDataKey(ctx, p.RootKey(), nil)
		if err != nil {
			return err
		}
		fmt.Printf("%s %x\n", p.RootKey(), dk.Wrapped)
	case "rotate":
		p, err := OpenExisting(path)
		if err != nil {
			return err
		}
		for i := range rotations {
			if err := p.Rotate(ctx, "default"); err != nil {
				return err
			}
			if _, err := p.AddRootKey(ctx, fmt.Sprintf("shared-%d", i)); err != nil {
				return err
			}
		}
		_, err = p.AddRootKey(ctx, fmt.Sprintf("process-%d", os.Getpid()))
		return err
	case "hold":
		if _, err := lock(ctx, path); err != nil {
			return err
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
	}
	return nil
}

// start starts a process; it begins its job when the returned pipe is closed.
func start(t *testing.T, job, path string) (*exec.Cmd, io.Closer, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, path)
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	begin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, begin, out
}

// together runs n processes at once and returns what each printed.
func together(t *testing.T, n int, job, path string) []string {
	t.Helper()
	cmds, begins, outs := make([]*exec.Cmd, n), make([]io.Closer, n), make([]*strings.Builder, n)
	for i := range n {
		cmds[i], begins[i], outs[i] = start(t, job, path)
	}
	time.Sleep(20 * time.Millisecond)
	for i := range n {
		require.NoError(t, begins[i].Close())
	}
	printed := make([]string, n)
	for i := range n {
		require.NoError(t, cmds[i].Wait(), outs[i])
		printed[i] = outs[i].String()
	}
	return printed
}

func TestProcessesStartAtOnce(t *testing.T) {
	const processes = 8
	for range 2 {
		path := filepath.Join(t.TempDir(), "k")
		uris := map[string]bool{}
		var wrapped [][]byte
		for _, line := range together(t, processes, "open", path) {
			var uri string
			var w []byte
			_, err := fmt.Sscanf(line, "%s %x", &uri, &w)
			require.NoError(t, err)
			uris[uri] = true
			wrapped = append(wrapped, w)
		}
		require.Len(t, uris, 1, "every process has the same key file")
		require.Len(t, wrapped, processes)
		p, err := OpenExisting(path)
		require.NoError(t, err)
		for _, w := range wrapped {
			_, err := p.Unwrap(t.Context(), p.RootKey(), w, nil)
			require.NoError(t, err)
		}
		requireOnly(t, path)
	}
}

func TestProcessesRotateAtOnce(t *testing.T) {
	p := openSample(t)
	const processes = 2
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var made []func() error
	wg.Go(func() { // meanwhile this one reads, and never sees half a file
		for ctx.Err() == nil {
			q, err := OpenExisting(p.path)
			if err == nil {
				dk, openErr := q.GenerateDataKey(t.Context(), q.RootKey(), nil)
				err = openErr
				made = append(made, func() error {
					_, err := p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, nil)
					return err
				})
			}
			if err != nil {
				made = append(made, func() error { return err })
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	together(t, processes, "rotate", p.path)
	cancel()
	wg.Wait()
	require.NotEmpty(t, made)
	for _, opens := range made {
		require.NoError(t, opens())
	}

	f, _, err := readKeyFile(p.path)
	require.NoError(t, err)
	require.Len(t, f.named("default").Versions, 1+processes*rotations)
	require.Len(t, f.RootKeys, 2+rotations+processes)
}

// The control of the test above: two who edit without the lock lose a
// rotation, and counting versions shows it.
func TestControlNoLockLosesRotations(t *testing.T) {
	p := openSample(t)
	var read []*keyFile
	for range 2 {
		f, _, err := readKeyFile(p.path)
		require.NoError(t, err)
		read = append(read, f)
	}
	for _, f := range read {
		k := f.named("default")
		k.Versions = append(k.Versions, newVersion(uint32(len(k.Versions)+1)))
		require.NoError(t, replace(p.path, f))
	}
	f, _, err := readKeyFile(p.path)
	require.NoError(t, err)
	require.Less(t, len(f.named("default").Versions), 1+2)
}

// A process that is killed takes its lock with it.
func TestLockOfAKilledProcess(t *testing.T) {
	p := openSample(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, p.path)
	cmd.Env = append(os.Environ(), childVariable+"=hold")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Rotate(ctx, "default"), context.DeadlineExceeded)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NoError(t, p.Rotate(t.Context(), "default"))
}

// Many goroutines of two providers, while both rotate: for the race detector.
func TestConcurrentUse(t *testing.T) {
	a := openSample(t)
	b, err := OpenExisting(a.path)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 8 {
		p := []*Provider{a, b}[g%2]
		wg.Go(func() {
			for i := range 8 {
				if g < 4 {
					if err := p.Rotate(t.Context(), "crm"); err != nil {
						t.Error(err)
					}
				}
				dk, err := p.GenerateDataKey(t.Context(), p.RootKey(), sampleContext)
				if err != nil {
					t.Error(err)
					return
				}
				uri, err := p.AddRootKey(t.Context(), fmt.Sprintf("new-%d", i))
				if err != nil {
					t.Error(err)
					return
				}
				w, _, err := p.Rewrap(t.Context(), p.RootKey(), dk.Wrapped, uri, sampleContext)
				if err != nil {
					t.Error(err)
				}
				for _, q := range []*Provider{a, b} {
					if _, err := q.Unwrap(t.Context(), uri, w, sampleContext); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, a.Check(t.Context(), a.RootKey()))
	require.Len(t, a.state.Load().byName["crm"].versions, 2+4*8)
}
