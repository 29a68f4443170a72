package awskms_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// In production, Open takes credentials and region from the environment. Check
// at start-up tells a wrong or disabled root key before the first record does.
func ExampleOpen() {
	ctx := context.Background()
	provider, err := awskms.Open(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := provider.Check(ctx, "aws-kms://alias/crm"); err != nil {
		log.Fatal(err)
	}
}

// In tests, fakekms stands for AWS.
func ExampleNew() {
	ctx := context.Background()
	server := fakekms.New(fakekms.Options{})
	defer server.Close()
	server.CreateAlias("alias/crm", server.CreateKey(fakekms.KeyOptions{}))

	provider, err := awskms.New(server.Config(), nil)
	if err != nil {
		log.Fatal(err)
	}
	ec := kmsprovider.EncryptionContext{"fieldcrypt:tenant": "acme"}
	key, err := provider.GenerateDataKey(ctx, "aws-kms://alias/crm", ec)
	if err != nil {
		log.Fatal(err)
	}
	defer key.Wipe()

	// key.RootKey names the key itself: it is what to store and to unwrap with.
	plain, err := provider.Unwrap(ctx, key.RootKey, key.Wrapped, ec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(plain), "bytes")
	clear(plain)
	// Output: 32 bytes
}
