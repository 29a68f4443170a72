//go:build !race

// Under the race detector a process has terabytes of memory.

package memdump

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A child is the process whose memory is read.
type child struct {
	*exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	said *strings.Builder
	made []madeKey
}

func start(t *testing.T, j job) *child {
	t.Helper()
	text, err := json.Marshal(j)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	c := &child{Cmd: exec.Command(self), said: &strings.Builder{}}
	c.Env = append(os.Environ(), childVariable+"="+string(text))
	c.Stderr = c.said
	c.in, err = c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	c.out = bufio.NewReader(out)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

// until waits for a stage, and notes the keys that were made before it.
func (c *child) until(t *testing.T, stage string) {
	t.Helper()
	for {
		line, err := c.out.ReadString('\n')
		require.NoError(t, err, c.said.String())
		if strings.TrimSpace(line) == stage {
			return
		}
		var made madeKey
		require.NoError(t, json.Unmarshal([]byte(line), &made), line)
		c.made = append(c.made, made)
	}
}

func (c *child) goOn(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(c.in, "\n")
	require.NoError(t, err)
}

// look stops the child, searches its memory and lets it go on.
func (c *child) look(t *testing.T, p kmsprovider.Provider, more []Secret) []Hit {
	t.Helper()
	secrets := slices.Clone(more)
	for _, made := range c.made {
		key, err := p.Unwrap(t.Context(), made.RootKey, made.Wrapped, kmsprovider.EncryptionContext{
			"fieldcrypt:v": "1", "fieldcrypt:tenant": made.Tenant, "fieldcrypt:class": "crm", "fieldcrypt:purpose": made.Purpose,
		})
		require.NoError(t, err)
		secrets = append(secrets, secretsOf(t, key, made.Tenant, made.Purpose)...)
	}
	require.NoError(t, c.Process.Signal(syscall.SIGSTOP))
	defer func() { require.NoError(t, c.Process.Signal(syscall.SIGCONT)) }()
	hits, size, err := NewSearch(secrets).Process(c.Process.Pid)
	require.NoError(t, err)
	require.Greater(t, size, int64(1<<20), "hardly any memory was read")
	return hits
}

// rootKeysOf reads the root keys in a key file.
func rootKeysOf(t *testing.T, file string) (secrets []Secret) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, found := range regexp.MustCompile(`"key": ?"([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		key, err := base64.StdEncoding.DecodeString(found[1])
		require.NoError(t, err)
		secrets = append(secrets, Secret{rootKeys, file, key}, Secret{rootKeys, file, []byte(found[1])})
	}
	require.NotEmpty(t, secrets, "no root key was found in the key file")
	return secrets
}

// A finding counts hits by kind, and whose keys of each kind were among them.
type finding struct {
	kinds  map[string]int
	owners map[string]map[string]bool
}

func findingOf(hits []Hit) finding {
	f := finding{map[string]int{}, map[string]map[string]bool{}}
	for _, h := range hits {
		f.kinds[h.Kind]++
		if f.owners[h.Kind] == nil {
			f.owners[h.Kind] = map[string]bool{}
		}
		f.owners[h.Kind][h.Of] = true
	}
	return f
}

// inUse are the kinds of what a key in a cache consists of, by purpose.
var inUse = map[string][]string{"data": {aesKey, schedules}, "det": {sivFirst, sivSecond, sivSchedules}, "index": {states}}

// raw counts what is neither part of a key in use nor text of the AWS SDK's: data
// keys and what is derived from them, as they are or as HKDF and HMAC have them.
func (f finding) raw() (n int) {
	for _, kind := range []string{dataKey, recordKey, extract, pads, indexKey} {
		n += f.kinds[kind]
	}
	return n + f.kinds[aesKey] - f.kinds[schedules]
}

// rawClosed is raw where no key is in use any more: all but the schedules that
// Tink expands for each message of AES-SIV. What is left of one may be no more than
// its beginning, the second half of the key. A copy of the whole key shows by its
// first half.
func (f finding) rawClosed() int { return f.raw() + f.kinds[sivFirst] + f.kinds[states] }

// TestScoreboardS17 looks for data keys of all purposes, and for all that is
// derived from them, in the memory of a process: while its ring has all in the
// cache, which is the control, when all but a few are evicted, and after Close.
// The runs without a key store have no deterministic and no index keys.
func TestScoreboardS17(t *testing.T) {
	srv := fakekms.Start(t)
	aws, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	rootKey := "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{})
	file := filepath.Join(t.TempDir(), "root.keys")
	local, err := localkms.Open(file)
	require.NoError(t, err)
	defer local.Close()
	tenants := scoreboard.Count(64, 500)
	for _, c := range []struct {
		name string
		kmsprovider.Provider
		job
		root []Secret
	}{
		{"awskms", aws, job{Endpoint: srv.URL(), RootKey: rootKey}, nil},
		{"localkms", local, job{File: file, RootKey: local.RootKey()}, rootKeysOf(t, file)},
	} {
		rawAfter, schedulesAfter, tink, texts, rawEvicted, held, least := 0, 0, 0, 0, 0, 0, tenants
		keys := map[string]int{}
		for n := range scoreboard.Count(2, 20) {
			c.Tenants, c.Stored = tenants, n%2 == 1
			child := start(t, c.job)
			look := func(stage string) finding {
				child.until(t, stage)
				hits := child.look(t, c.Provider, c.root)
				f := findingOf(hits)
				for _, h := range hits {
					left := stage == "evicted" && f.raw() > 0 || stage == "closed" && f.rawClosed() > 0
					if left && h.Kind != base64Text {
						t.Logf("%s, %s: %s of %s at %x in %s", c.name, stage, h.Kind, h.Of, h.Address, h.Mapping)
					}
				}
				child.goOn(t)
				return f
			}
			purposes := []string{"data"}
			if c.Stored {
				purposes = []string{"data", "det", "index"}
			}
			live := look("live")
			for _, purpose := range purposes {
				for _, kind := range inUse[purpose] {
					least = min(least, len(live.owners[kind]))
				}
			}
			if c.root != nil {
				require.Positive(t, live.kinds[rootKeys], "the root key is not where it was taken to be")
			}
			evicted := look("evicted")
			rawEvicted += evicted.raw()
			for _, purpose := range purposes {
				held = max(held, len(evicted.owners[inUse[purpose][0]]))
			}
			closed := look("closed")
			require.NoError(t, child.Wait(), child.said.String())
			for _, made := range child.made {
				keys[made.Purpose]++
			}
			rawAfter += closed.rawClosed() + closed.kinds[rootKeys]
			schedulesAfter += closed.kinds[schedules]
			tink += closed.kinds[tinkSchedules]
			texts += closed.kinds[base64Text]
		}
		ok := rawAfter == 0 && schedulesAfter == 0 && rawEvicted == 0 && held <= 2*cacheSize && least == tenants
		scoreboard.Row(t, "S17", ok,
			fmt.Sprintf("%s: after Close %d raw and %d schedules of %d data, %d det and %d index keys (published: the SDK's base64 %d, Tink's schedules of det keys %d); after eviction %d raw, and keys of %d of %d tenants with %d places in the caches",
				c.name, rawAfter, schedulesAfter, keys["data"], keys["det"], keys["index"], texts, tink, rawEvicted, held, tenants, 2*cacheSize),
			"0 raw", fmt.Sprintf("while the keys are in the cache: each kind of %d of %d tenants", least, tenants))
	}
}
