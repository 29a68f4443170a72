//go:build !race

// Under the race detector a process has terabytes of memory.

package memdump

import (
	"bufio"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// The kinds of secrets.
const (
	dataKey    = "data key"
	aesKey     = "AES key" // derived; each schedule begins with it
	recordKey  = "record key"
	schedules  = "schedule"
	base64Text = "data key in base64"
	extract    = "HKDF's extract"
	pads       = "HMAC key with a pad"
	rootKeys   = "root key"
)

// secretsOf derives all that FORMAT.md derives from a data key of a tenant, and
// forms in which the key service's client or the standard library has them.
func secretsOf(t *testing.T, secret []byte, tenant string) []Secret {
	t.Helper()
	lp := func(text string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text
	}
	scope := lp(tenant) + lp("crm")
	prk, err := hkdf.Extract(sha256.New, secret, nil)
	require.NoError(t, err)
	expand := func(info string) []byte {
		key, err := hkdf.Expand(sha256.New, prk, info, 32)
		require.NoError(t, err)
		return key
	}
	gcm := expand("fieldcrypt/v1 aes-256-gcm" + scope)
	record := expand("fieldcrypt/v1 key-record" + lp("data") + scope)
	all := []Secret{
		{dataKey, tenant, secret},
		{aesKey, tenant, gcm},
		{recordKey, tenant, record},
		{schedules, tenant, schedule(t, gcm)},
		{base64Text, tenant, []byte(base64.StdEncoding.EncodeToString(secret))},
		{extract, tenant, prk},
	}
	for _, key := range [][]byte{prk, record} {
		for _, pad := range []byte{0x36, 0x5c} {
			padded := make([]byte, len(key))
			for i := range key {
				padded[i] = key[i] ^ pad
			}
			all = append(all, Secret{pads, tenant, padded})
		}
	}
	return all
}

// schedule returns the first round keys of AES-256, of which the key is the first
// half.
func schedule(t *testing.T, key []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	v := reflect.ValueOf(block)
	mem := unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	_, at, found := strings.Cut(string(mem), string(key))
	require.True(t, found, "the key is not where it was taken to be")
	return append(key[:32:32], at[:32]...)
}

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
			"fieldcrypt:v": "1", "fieldcrypt:tenant": made.Tenant, "fieldcrypt:class": "crm", "fieldcrypt:purpose": "data",
		})
		require.NoError(t, err)
		secrets = append(secrets, secretsOf(t, key, made.Tenant)...)
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

// A finding counts hits by kind, and whose AES keys were among them.
type finding struct {
	kinds  map[string]int
	owners map[string]bool
}

func findingOf(hits []Hit) finding {
	f := finding{map[string]int{}, map[string]bool{}}
	for _, h := range hits {
		f.kinds[h.Kind]++
		if h.Kind == aesKey {
			f.owners[h.Of] = true
		}
	}
	return f
}

// raw counts what is no key in use and no text of the AWS SDK's: data keys and
// what is derived from them, as they are or as HKDF and HMAC have them.
func (f finding) raw() int {
	return f.kinds[dataKey] + f.kinds[recordKey] + f.kinds[extract] + f.kinds[pads] + f.kinds[aesKey] - f.kinds[schedules]
}

// TestScoreboardS17 looks for data keys, and for all that is derived from them,
// in the memory of a process: while its ring has all in the cache, which is the
// control, when all but a few are evicted, and after Close.
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
		keys, rawAfter, schedulesAfter, texts, rawEvicted, held, least := 0, 0, 0, 0, 0, 0, tenants
		for n := range scoreboard.Count(2, 20) {
			c.Tenants, c.Stored = tenants, n%2 == 1
			child := start(t, c.job)
			look := func(stage string) finding {
				child.until(t, stage)
				hits := child.look(t, c.Provider, c.root)
				f := findingOf(hits)
				for _, h := range hits {
					if stage != "live" && f.raw() > 0 && h.Kind != base64Text {
						t.Logf("%s, %s: %s of %s at %x in %s", c.name, stage, h.Kind, h.Of, h.Address, h.Mapping)
					}
				}
				child.goOn(t)
				return f
			}
			live := look("live")
			least = min(least, len(live.owners), live.kinds[schedules])
			if c.root != nil {
				require.Positive(t, live.kinds[rootKeys], "the root key is not where it was taken to be")
			}
			evicted := look("evicted")
			rawEvicted, held = rawEvicted+evicted.raw(), max(held, len(evicted.owners))
			closed := look("closed")
			require.NoError(t, child.Wait(), child.said.String())
			keys += len(child.made)
			rawAfter += closed.raw() + closed.kinds[rootKeys]
			schedulesAfter += closed.kinds[schedules]
			texts += closed.kinds[base64Text]
		}
		ok := rawAfter == 0 && schedulesAfter == 0 && rawEvicted == 0 && held <= 2*cacheSize && least == tenants
		scoreboard.Row(t, "S17", ok,
			fmt.Sprintf("%s: after Close %d raw and %d schedules of %d data keys (the SDK's base64: %d); after eviction %d raw, and schedules of %d of %d tenants with %d places in the caches",
				c.name, rawAfter, schedulesAfter, keys, texts, rawEvicted, held, tenants, 2*cacheSize),
			"0 raw", fmt.Sprintf("while the keys are in the cache: %d of %d", least, tenants))
	}
}
