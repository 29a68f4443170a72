package drivertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// fields is a process that seals and opens the fields of some tenants, with root
// keys in a KMS.
type fields struct {
	Count, Tenants int
	Endpoint       string // the KMS's
	RootKey        string // URI
	Alone          bool   // without the key store
}

func (j *job) fields(ctx context.Context, s *sqlstore.Store) error {
	kms, err := awskms.New(aws.Config{
		Region: fakekms.DefaultRegion, BaseEndpoint: aws.String(j.Fields.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(fakekms.DefaultAccessKeyID, "not-a-secret/EXAMPLEKEY", ""),
	}, nil)
	if err != nil {
		return err
	}
	opts := &envelope.Options{Store: s}
	if j.Fields.Alone {
		opts.Store = nil
	}
	ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: j.Fields.RootKey}, opts)
	if err != nil {
		return err
	}
	defer ring.Close()
	at := &envelope.Binding{Field: envelope.MustField("Contacts", "email"), Record: "1"}
	frame := envelope.AppendString(nil, "ada@example.com")
	for n := range j.Fields.Count {
		at.Scope = envelope.Scope{Tenant: fmt.Sprintf("tenant-%03d", n%j.Fields.Tenants), Class: "crm"}
		sealed, err := ring.Seal(ctx, at, frame)
		if err != nil {
			return err
		}
		if _, err := ring.Open(ctx, at, sealed); err != nil {
			return err
		}
	}
	return nil
}

// calls starts processes together, which share so many fields on a store without
// keys, and returns what they ask of the KMS.
func calls(t *testing.T, processes int, work fields) (generate, decrypt, all int) {
	t.Helper()
	srv := fakekms.Start(t)
	work.Endpoint, work.RootKey = srv.URL(), "aws-kms://"+srv.CreateKey(fakekms.KeyOptions{})
	work.Count /= processes
	d := server(t)
	d.store(t)
	running := d.startMany(t, processes, job{Name: "fields", Fields: work})
	beginAll(t, running)
	for _, p := range running {
		p.done(t)
	}
	return srv.Count("GenerateDataKey"), srv.Count("Decrypt"), srv.Count()
}

// TestScoreboardP9 counts what processes that start together ask of the KMS.
func TestScoreboardP9(t *testing.T) {
	const processes = 8
	work := fields{Count: 1_000_000, Tenants: 100}
	one, reads, all := calls(t, 1, work)
	ok := one == work.Tenants && reads == 0 && all == one
	generate, decrypt, all := calls(t, processes, work)
	ok = ok && generate == work.Tenants && decrypt == (processes-1)*work.Tenants && all == generate+decrypt
	work.Alone = true
	alone, _, _ := calls(t, processes, work)
	scoreboard.Row(t, "P9", ok, fmt.Sprintf("KMS calls for %d fields of %d tenants: %d GenerateDataKey + %d Decrypt in one cold process; %d + %d in %d that start together (%s)",
		work.Count, work.Tenants, one, reads, generate, decrypt, processes, server(t).dialect),
		"100 + 0; 100 + 700", fmt.Sprintf("without a key store %d + 0 in %d", alone, processes))
}
