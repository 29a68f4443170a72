package fakekms_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

func Example() {
	srv := fakekms.New(fakekms.Options{})
	defer srv.Close()
	keyARN := srv.CreateKey(fakekms.KeyOptions{})

	client := kms.NewFromConfig(srv.Config())
	ctx := context.Background()
	made, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: &keyARN, KeySpec: types.DataKeySpecAes256,
		EncryptionContext: map[string]string{"tenant": "acme"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer clear(made.Plaintext)

	_, err = client.Decrypt(ctx, &kms.DecryptInput{
		KeyId: &keyARN, CiphertextBlob: made.CiphertextBlob,
		EncryptionContext: map[string]string{"tenant": "globex"},
	})
	for _, call := range srv.Calls() {
		fmt.Printf("%s for %s: %q\n", call.Op, call.EncryptionContext["tenant"], call.Err)
	}
	fmt.Println(err != nil)
	// Output:
	// GenerateDataKey for acme: ""
	// Decrypt for globex: "InvalidCiphertextException"
	// true
}

func ExampleServer_Inject() {
	srv := fakekms.New(fakekms.Options{})
	defer srv.Close()
	crm, billing := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	client := kms.NewFromConfig(srv.Config())
	call := func(keyARN string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &keyARN, KeySpec: types.DataKeySpecAes256})
		return err
	}

	remove := srv.Inject(fakekms.Fault{Keys: []string{crm}, Break: fakekms.Hang})
	fmt.Println("crm:", call(crm) == nil, "billing:", call(billing) == nil)
	remove()
	fmt.Println("crm:", call(crm) == nil)
	// Output:
	// crm: false billing: true
	// crm: true
}

func ExampleServer_Region() {
	eu := fakekms.New(fakekms.Options{Region: "eu-central-1"})
	defer eu.Close()
	us := eu.Region("us-east-1")
	primary := eu.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	replica := eu.ReplicateKey(primary, "us-east-1")

	ctx := context.Background()
	made, err := kms.NewFromConfig(eu.Config()).GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &primary, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		log.Fatal(err)
	}
	defer clear(made.Plaintext)
	eu.Inject(fakekms.Fault{Status: 503}) // Frankfurt is away
	got, err := kms.NewFromConfig(us.Config()).Decrypt(ctx, &kms.DecryptInput{KeyId: &replica, CiphertextBlob: made.CiphertextBlob})
	if err != nil {
		log.Fatal(err)
	}
	defer clear(got.Plaintext)
	fmt.Println(string(got.Plaintext) == string(made.Plaintext))
	// Output: true
}
