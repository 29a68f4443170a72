//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// A run that is told to end says so and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	binary := built(t)
	srv := fakekms.Start(t)
	srv.CreateAlias("alias/crm", srv.CreateKey(fakekms.KeyOptions{}))
	srv.Inject(fakekms.Fault{Ops: []string{"GenerateDataKey"}, Break: fakekms.Hang})
	useTestCredentials(t)

	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			tmp := t.TempDir()
			before := srv.Count("GenerateDataKey")
			cmd := exec.CommandContext(t.Context(), binary, "-kms", "aws", "-key", "alias/crm", "-endpoint", srv.URL())
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { return srv.Count("GenerateDataKey") > before }, time.Minute, time.Millisecond)
			made, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Len(t, made, 1, "the control: there is a folder to remove")

			require.NoError(t, cmd.Process.Signal(signal))
			require.Error(t, cmd.Wait())
			require.Equal(t, 1, cmd.ProcessState.ExitCode())
			require.Equal(t, "quickstart: interrupted\n", stderr.String())
			left, err := os.ReadDir(tmp)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// So does one whose output nobody reads to the end.
func TestClosedOutput(t *testing.T) {
	tmp := t.TempDir()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	cmd := exec.CommandContext(t.Context(), built(t))
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout = w
	require.NoError(t, cmd.Run())
	require.NoError(t, w.Close())
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestBadFlagsAreToldOnce(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), built(t), "-frobnicate").CombinedOutput()
	require.Error(t, err)
	require.Equal(t, "quickstart: flag provided but not defined: -frobnicate (-h shows how to run it)\n", string(out))
}

func built(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "quickstart")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}
