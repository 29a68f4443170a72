package residency_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A service with tenants in two regions, and one that brings its own root key. In
// production each provider comes from awskms.New with the configuration of its
// region, and asAcme from one with Options.AssumeRoleARN.
func Example() {
	ctx := context.Background()
	frankfurtKMS := fakekms.New(fakekms.Options{Region: "eu-central-1"}) // stands for AWS
	defer frankfurtKMS.Close()
	virginiaKMS := frankfurtKMS.Region("us-east-1")
	euKey := "aws-kms://" + frankfurtKMS.CreateKey(fakekms.KeyOptions{})
	usKey := "aws-kms://" + virginiaKMS.CreateKey(fakekms.KeyOptions{})
	acmeKey := "aws-kms://" + frankfurtKMS.CreateKey(fakekms.KeyOptions{Account: "999988887777"})

	frankfurt, err := awskms.New(frankfurtKMS.Config(), nil)
	check(err)
	virginia, err := awskms.New(virginiaKMS.Config(), nil)
	check(err)
	asAcme, err := awskms.New(frankfurtKMS.Config(), nil)
	check(err)

	router, err := residency.New(residency.Config{
		Regions: []residency.Region{
			{Name: "eu", RootKey: euKey, Call: []kmsprovider.Provider{frankfurt}, Within: []string{"eu-*"}},
			{Name: "us", RootKey: usKey, Call: []kmsprovider.Provider{virginia}, Within: []string{"us-*"}},
			{Name: "acme", RootKey: acmeKey, Call: []kmsprovider.Provider{asAcme}},
		},
		Tenants: []residency.Rule{
			{Tenant: "acme", Region: "acme"},
			{Tenant: "us-*", Region: "us"},
			{Tenant: "eu-*", Region: "eu"},
		},
	})
	check(err)
	check(router.CheckAll(ctx)) // at start-up

	// fieldcrypt.New takes the same two arguments.
	ring, err := envelope.NewKeyRing(router, envelope.RootKeysByTenant(router.RootKeys), nil)
	check(err)
	defer ring.Close()

	email := envelope.MustField("Contacts", "email")
	for _, tenant := range []string{"eu-initech", "us-hooli", "acme", "unheard-of"} {
		place := &envelope.Binding{Scope: envelope.Scope{Tenant: tenant}, Field: email, Record: "42"}
		_, err := ring.Seal(ctx, place, envelope.AppendString(nil, "ada@example.com"))
		if errors.Is(err, residency.ErrNoRegion) {
			fmt.Println(tenant, "is refused: it has no region")
			continue
		}
		check(err)
		region, err := router.Region(tenant)
		check(err)
		fmt.Println(tenant, "is sealed in region", region)
	}
	fmt.Println("data keys made in Frankfurt:", frankfurtKMS.Count("GenerateDataKey"))
	fmt.Println("data keys made in Virginia:", virginiaKMS.Count("GenerateDataKey"))
	// Output:
	// eu-initech is sealed in region eu
	// us-hooli is sealed in region us
	// acme is sealed in region acme
	// unheard-of is refused: it has no region
	// data keys made in Frankfurt: 2
	// data keys made in Virginia: 1
}

// A tenant moves: new data keys are made in its new region, and the old ones open
// until they are rewrapped.
func ExampleRule() {
	ctx := context.Background()
	frankfurtKMS := fakekms.New(fakekms.Options{Region: "eu-central-1"}) // stands for AWS
	defer frankfurtKMS.Close()
	virginiaKMS := frankfurtKMS.Region("us-east-1")
	euKey := "aws-kms://" + frankfurtKMS.CreateKey(fakekms.KeyOptions{})
	usKey := "aws-kms://" + virginiaKMS.CreateKey(fakekms.KeyOptions{})
	frankfurt, err := awskms.New(frankfurtKMS.Config(), nil)
	check(err)
	virginia, err := awskms.New(virginiaKMS.Config(), nil)
	check(err)
	old, err := frankfurt.GenerateDataKey(ctx, euKey, nil)
	check(err)
	defer old.Wipe()

	router, err := residency.New(residency.Config{
		Regions: []residency.Region{
			{Name: "eu", RootKey: euKey, Call: []kmsprovider.Provider{frankfurt}},
			{Name: "us", RootKey: usKey, Call: []kmsprovider.Provider{virginia}},
		},
		Tenants: []residency.Rule{{Tenant: "globex", Region: "us", From: []string{"eu"}}},
		Default: "eu",
	})
	check(err)
	keys, err := router.RootKeys("globex")
	check(err)
	fmt.Println("seals in the new region:", keys.Seal == usKey)
	fmt.Println("opens what the old one wrapped:", keys.Open[0] == euKey)

	_, rootKey, err := kmsprovider.Rewrap(ctx, router, old.RootKey, old.Wrapped, keys.Seal, nil)
	check(err)
	fmt.Println("rewrapped in the new region:", rootKey == usKey)
	// Output:
	// seals in the new region: true
	// opens what the old one wrapped: true
	// rewrapped in the new region: true
}
