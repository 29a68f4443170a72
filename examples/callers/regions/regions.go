// Package regions keeps each tenant in its own region: its rows in that region's
// database, and its data keys under that region's root key. One tenant brings a
// root key of its own.
package regions

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// Keys are the ARNs of the root keys, from the program's configuration.
type Keys struct {
	EU, EUReplica string // a multi-Region key of eu-central-1, and its replica in eu-west-1
	US            string // in us-east-1
	Acme          string // acme's own, in acme's account and eu-central-1
}

// Route says which tenant's data keys are under which root key. The function in
// returns the AWS configuration of a region, in production that of
// config.LoadDefaultConfig with config.WithRegion.
func Route(in func(region string) aws.Config, keys Keys) (*residency.Router, error) {
	frankfurt, err := awskms.New(in("eu-central-1"), nil)
	if err != nil {
		return nil, err
	}
	dublin, err := awskms.New(in("eu-west-1"), &awskms.Options{Replicas: map[string]string{keys.EU: keys.EUReplica}})
	if err != nil {
		return nil, err
	}
	virginia, err := awskms.New(in("us-east-1"), nil)
	if err != nil {
		return nil, err
	}
	// In production with Options.AssumeRoleARN, a role of acme's account.
	asAcme, err := awskms.New(in("eu-central-1"), nil)
	if err != nil {
		return nil, err
	}
	return residency.New(residency.Config{
		Regions: []residency.Region{
			{Name: "eu", RootKey: "aws-kms://" + keys.EU, Call: []kmsprovider.Provider{frankfurt, dublin}, Within: []string{"eu-*"}},
			{Name: "us", RootKey: "aws-kms://" + keys.US, Call: []kmsprovider.Provider{virginia}, Within: []string{"us-*"}},
			{Name: "acme", RootKey: "aws-kms://" + keys.Acme, Call: []kmsprovider.Provider{asAcme}, Within: []string{"eu-*"}},
		},
		Tenants: []residency.Rule{
			{Tenant: "acme", Region: "acme"},
			{Tenant: "us-*", Region: "us"},
			{Tenant: "eu-*", Region: "eu"},
		},
	})
}

// Contact is a record with a sensitive field.
type Contact struct {
	ID     string            `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
}

// A Service stores contacts, each in the database of its tenant's region.
type Service struct {
	router   *residency.Router
	crypt    *fieldcrypt.Crypt
	contacts *fieldcrypt.Records[Contact]
	db       map[string]*sql.DB // by region
}

// NewService makes a service. The databases are by the names of the regions.
func NewService(router *residency.Router, db map[string]*sql.DB) (*Service, error) {
	crypt, err := fieldcrypt.New(router, envelope.RootKeysByTenant(router.RootKeys), nil)
	if err != nil {
		return nil, err
	}
	contacts, err := fieldcrypt.For[Contact](crypt)
	return &Service{router, crypt, contacts, db}, err
}

// Close drops the keys.
func (s *Service) Close() error { return s.crypt.Close() }

// Migrate makes the table in each database.
func (s *Service) Migrate(ctx context.Context, dialect fieldcrypt.Dialect) error {
	sensitive, err := s.contacts.DDL(dialect, "contacts")
	if err != nil {
		return err
	}
	for region, db := range s.db {
		if _, err := db.ExecContext(ctx, `CREATE TABLE contacts (id TEXT PRIMARY KEY, tenant TEXT NOT NULL); `+sensitive); err != nil {
			return fmt.Errorf("region %s: %w", region, err)
		}
	}
	return nil
}

// Save encrypts a contact and stores it where its tenant is at home.
func (s *Service) Save(ctx context.Context, c *Contact) error {
	region, err := s.router.Region(c.Tenant)
	if err != nil {
		return err
	}
	if err := s.contacts.Encrypt(ctx, c); err != nil {
		return err
	}
	_, err = s.db[region].ExecContext(ctx, `INSERT INTO contacts (id, tenant, email) VALUES ($1, $2, $3)`, c.ID, c.Tenant, c.Email)
	return err
}

// Each is a worker's: it reads the contacts of all tenants in all regions, and
// gives visit each that can be decrypted. Those of a tenant whose root key is
// away or revoked are counted.
func (s *Service) Each(ctx context.Context, visit func(*Contact) error) (left int, err error) {
	for region, db := range s.db {
		page, err := load(ctx, db)
		if err != nil {
			return left, fmt.Errorf("region %s: %w", region, err)
		}
		// A row that can't be decrypted says so when it is read; the others are
		// none the worse for it.
		_ = s.contacts.DecryptAll(ctx, page)
		for i := range page {
			if _, err := page[i].Email.Plain(); err != nil {
				left++
				continue
			}
			if err := visit(&page[i]); err != nil {
				return left, err
			}
		}
	}
	return left, nil
}

func load(ctx context.Context, db *sql.DB) (page []Contact, err error) {
	rows, err := db.QueryContext(ctx, `SELECT id, tenant, email FROM contacts ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c Contact
		if err := rows.Scan(&c.ID, &c.Tenant, &c.Email); err != nil {
			return nil, err
		}
		page = append(page, c)
	}
	return page, rows.Err()
}
