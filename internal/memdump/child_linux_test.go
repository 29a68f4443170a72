//go:build !race

package memdump

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// The test binary runs itself as the process whose memory is read, if this
// variable says with what.
const childVariable = "FIELDCRYPT_TEST_MEMDUMP_CHILD"

// cacheSize is that of the ring that evicts.
const cacheSize = 4

// A job is what the child works with.
type job struct {
	Endpoint string // of AWS KMS; empty for a key file
	RootKey  string
	File     string // of localkms
	Stored   bool   // with a key store
	Tenants  int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var j job
		err := json.Unmarshal([]byte(text), &j)
		if err == nil {
			err = j.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A made key is told to the parent, which may unwrap it.
type madeKey struct {
	Tenant, Purpose, RootKey string
	Wrapped                  []byte
}

// tellingProvider prints the wrapped keys that it makes.
type tellingProvider struct{ kmsprovider.Provider }

func (p tellingProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	made, err := p.Provider.GenerateDataKey(ctx, rootKey, ec)
	if err == nil {
		text, _ := json.Marshal(madeKey{ec["fieldcrypt:tenant"], ec["fieldcrypt:purpose"], made.RootKey, made.Wrapped})
		fmt.Println(string(text))
	}
	return made, err
}

// run uses data keys, and pauses for the parent to look: while a ring has all of
// them in its caches, when a ring has evicted all but a few, and when it is
// closed.
func (j *job) run(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	pause := func(stage string) {
		for range 5 {
			runtime.GC() // schedules are overwritten by cleanups
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Println(stage)
		_, _ = in.ReadString('\n')
	}
	p, closeProvider, err := j.provider()
	if err != nil {
		return err
	}
	var store envelope.KeyStore
	if j.Stored {
		store = envelope.NewMemoryStore()
	}
	ring := func(size int) (*envelope.KeyRing, error) {
		return envelope.NewKeyRing(tellingProvider{p}, envelope.RootKeys{Seal: j.RootKey}, &envelope.Options{Store: store, CacheSize: size})
	}
	envelopes := make([][]byte, j.Tenants)

	large, err := ring(10 * j.Tenants)
	if err != nil {
		return err
	}
	if err := j.useAll(ctx, large, envelopes); err != nil {
		return err
	}
	pause("live")
	if err := large.Close(); err != nil {
		return err
	}
	small, err := ring(cacheSize)
	if err != nil {
		return err
	}
	if err := j.useAll(ctx, small, envelopes); err != nil {
		return err
	}
	pause("evicted")
	if err := small.Close(); err != nil {
		return err
	}
	closeProvider()
	pause("closed")
	return nil
}

func (j *job) provider() (p kmsprovider.Provider, closeIt func(), err error) {
	if j.Endpoint == "" {
		p, err := localkms.OpenExisting(j.File)
		if err != nil {
			return nil, nil, err
		}
		return p, func() { p.Close() }, nil
	}
	p, err = awskms.New(aws.Config{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIATESTTESTTESTTEST", "test-secret-test-secret", ""),
	}, &awskms.Options{Endpoint: j.Endpoint})
	return p, func() {}, err
}

// useAll opens what was sealed before, and seals anew, for each tenant. With a key
// store it also makes and searches tags and deterministic envelopes.
func (j *job) useAll(ctx context.Context, r *envelope.KeyRing, envelopes [][]byte) (err error) {
	email := envelope.MustField("Contacts", "email")
	ix, err := envelope.NewIndex(envelope.IndexSpec{Field: email, Name: indexName, Version: 1, Bits: 16})
	if err != nil {
		return err
	}
	for range 2 {
		for i := range envelopes {
			at := &envelope.Binding{Scope: scopeOf(i), Field: email, Record: "1"}
			frame := envelope.AppendString(nil, "ada@example.com")
			if envelopes[i] != nil {
				if _, err = r.Open(ctx, at, envelopes[i]); err != nil {
					return err
				}
			}
			if envelopes[i], err = r.Seal(ctx, at, frame); err != nil {
				return err
			}
			if !j.Stored {
				continue
			}
			if err := useShared(ctx, r, ix, &envelope.Binding{Scope: scopeOf(i), Field: email, Unbound: true}, frame); err != nil {
				return err
			}
		}
	}
	return nil
}

const indexName = "email.v1"

// useShared makes and searches a tag and a deterministic envelope.
func useShared(ctx context.Context, r *envelope.KeyRing, ix *envelope.Index, at *envelope.Binding, frame []byte) error {
	_, err := r.AppendTag(ctx, nil, ix, at.Scope, "", []byte("ada@example.com"))
	if err != nil {
		return err
	}
	if _, err = r.QueryTags(ctx, ix, at.Scope, []byte("ada@example.com")); err != nil {
		return err
	}
	det, err := r.SealDeterministic(ctx, at, frame)
	if err != nil {
		return err
	}
	if _, err = r.QueryDeterministic(ctx, at, frame); err != nil {
		return err
	}
	_, err = r.OpenDeterministic(ctx, at, det)
	return err
}

func scopeOf(i int) envelope.Scope {
	return envelope.Scope{Tenant: fmt.Sprintf("tenant-%04d", i), Class: "crm"}
}
