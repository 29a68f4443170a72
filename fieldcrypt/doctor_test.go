package fieldcrypt_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A service asks the doctor at its start, and doesn't run when something failed.
// An operator's command prints the report, and may print its policies.
func ExampleCrypt_Doctor() {
	ctx := context.Background()
	server := fakekms.New(fakekms.Options{}) // stands for AWS
	defer server.Close()
	server.CreateAlias("alias/crm", server.CreateKey(fakekms.KeyOptions{}))
	kms, err := awskms.New(server.Config(), nil)
	if err != nil {
		log.Fatal(err)
	}
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: "aws-kms://alias/crm"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer crypt.Close()

	fmt.Println("healthy:", crypt.Doctor(ctx, nil).Err() == nil)

	server.Deny("alias/crm", "Decrypt") // as an incomplete policy does
	report := crypt.Doctor(ctx, nil)
	if err := report.Err(); err != nil { // log.Print(report), and exit
		for _, f := range report.Findings {
			if f.Subject == "root key aws-kms://alias/crm" {
				fmt.Printf("%-7s %s\n", f.Status, f.Check)
			}
		}
	}
	// Output:
	// healthy: true
	// ok      state
	// ok      generate a data key
	// failed  unwrap a data key
	// ok      rewrap a data key
}

// What an operator reads. Here there is no key service, but a key file.
func ExampleDoctorReport() {
	dir, err := os.MkdirTemp("", "doctor-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	kms, err := localkms.Open(filepath.Join(dir, "root.keys"))
	if err != nil {
		log.Fatal(err)
	}
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer crypt.Close()
	if err := os.Chmod(filepath.Join(dir, "root.keys"), 0o644); err != nil {
		log.Fatal(err)
	}
	text := crypt.Doctor(context.Background(), nil).String()
	text = strings.ReplaceAll(text, dir, "/etc/crm")
	text = strings.ReplaceAll(text, kms.RootKey(), "local-kms://…/default")
	fmt.Println(text)
	// Output:
	// doctor: 5 checks, 3 failed, 0 warnings
	//
	// key service *localkms.Provider
	//   failed   key file  localkms: examining the key file /etc/crm/root.keys: root key can't be used: others than its owner can use it (mode 0644), and its root keys may be known to them; run: chmod 600 /etc/crm/root.keys
	//                      mend: put the root key right where it is kept, or name another one in the configuration
	//   ok       TLS       there is no connection: the root keys are in a file
	//
	// root key local-kms://…/default
	//   failed   state     localkms: checking the root key "local-kms://…/default": key file /etc/crm/root.keys: root key can't be used: others than its owner can use it (mode 0644), and its root keys may be known to them; run: chmod 600 /etc/crm/root.keys
	//                      mend: put the root key right where it is kept, or name another one in the configuration
	//
	// key store
	//   ok       store     there is none: each envelope carries its wrapped data key
	//
	// round trip of a value
	//   failed   inline    envelope: seal fieldcrypt doctor.value (tenant "fieldcrypt doctor", class "default", record "doctor"): localkms: making a data key under "local-kms://…/default": key file /etc/crm/root.keys: root key can't be used: others than its owner can use it (mode 0644), and its root keys may be known to them; run: chmod 600 /etc/crm/root.keys
	//                      mend: put the root key right where it is kept, or name another one in the configuration
}

func TestDoctorOfACrypt(t *testing.T) {
	store := envelope.NewMemoryStore()
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
		&fieldcrypt.Options{Envelope: envelope.Options{Store: store}})
	require.NoError(t, err)
	report := crypt.Doctor(t.Context(), &fieldcrypt.DoctorOptions{Scopes: []fieldcrypt.Scope{{Tenant: "acme", Class: "crm"}}})
	require.NoError(t, report.Err())
	require.Contains(t, report.String(), `tenant "acme", class "crm"`)
	_, err = store.Active(t.Context(), fieldcrypt.Scope{Tenant: "acme", Class: "crm"}, envelope.PurposeData)
	require.NoError(t, err, "the scope's data key, for its records")

	require.NoError(t, crypt.Close())
	require.ErrorIs(t, crypt.Doctor(t.Context(), nil).Err(), envelope.ErrClosed)
	var none *fieldcrypt.Crypt
	require.ErrorContains(t, none.Doctor(t.Context(), nil).Err(), "fieldcrypt: no Crypt: make one with New")
	require.ErrorContains(t, new(fieldcrypt.Crypt).Doctor(t.Context(), nil).Err(), "fieldcrypt: no Crypt: make one with New")
	var noContext context.Context
	require.ErrorContains(t, crypt.Doctor(noContext, nil).Err(), "fieldcrypt: Doctor: the context is nil")
}

// A data key that passes through a doctor is in none of the texts that can be
// made of its report. The control prints the data keys themselves.
func TestDoctorReportHoldsNoDataKey(t *testing.T) {
	spy := &spyProvider{Provider: fieldcrypttest.Provider()}
	for _, fails := range []bool{false, true} {
		spy.fails = fails
		crypt, err := fieldcrypt.New(spy, fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, nil)
		require.NoError(t, err)
		report := crypt.Doctor(t.Context(), nil)
		require.Equal(t, fails, report.Err() != nil)
		require.NoError(t, crypt.Close())
		require.NotEmpty(t, spy.seen)
		canary := scoreboard.NewCanary(spy.seen...)
		for _, v := range []any{report, *report, report.Findings, report.Policies, report.Err()} {
			found, of := canary.In(scoreboard.Printed(v))
			require.Zero(t, found, "of %d texts of a %T", of, v)
		}
		control, _ := canary.In(scoreboard.Printed(spy.seen))
		require.NotZero(t, control)
	}
}

// A spyProvider keeps copies of the data keys that it makes, and can panic with
// one.
type spyProvider struct {
	kmsprovider.Provider
	fails bool
	seen  [][]byte
	mu    sync.Mutex
}

func (s *spyProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	dk, err := s.Provider.GenerateDataKey(ctx, rootKey, ec)
	s.mu.Lock()
	s.seen = append(s.seen, slices.Clone(dk.Plaintext))
	s.mu.Unlock()
	return dk, err
}

func (s *spyProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	plain, err := s.Provider.Unwrap(ctx, rootKey, wrapped, ec)
	if s.fails {
		panic(string(plain))
	}
	return plain, err
}
