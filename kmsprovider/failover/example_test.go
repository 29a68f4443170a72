package failover_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// A multi-Region key and its replica; the region of the first is away.
func ExampleNew() {
	ctx := context.Background()
	server := fakekms.New(fakekms.Options{Region: "eu-central-1"}) // stands for AWS
	defer server.Close()
	key := server.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	replica := server.ReplicateKey(key, "eu-west-1")

	frankfurt, err := awskms.New(server.Config(), nil)
	if err != nil {
		log.Fatal(err)
	}
	dublin, err := awskms.New(server.Region("eu-west-1").Config(), &awskms.Options{
		Replicas: map[string]string{key: replica},
	})
	if err != nil {
		log.Fatal(err)
	}
	provider, err := failover.New([]kmsprovider.Provider{frankfurt, dublin}, nil)
	if err != nil {
		log.Fatal(err)
	}
	// At start-up: a replica that can't be used isn't noticed before it is needed.
	if err := provider.CheckEach(ctx, "aws-kms://"+key); err != nil {
		log.Fatal(err)
	}

	server.Inject(fakekms.Fault{Break: fakekms.Drop})
	dk, err := provider.GenerateDataKey(ctx, "aws-kms://"+key, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer dk.Wipe()
	fmt.Println("made by the replica:", server.Region("eu-west-1").Count("GenerateDataKey") == 1)
	fmt.Println("under the root key's own name:", dk.RootKey == "aws-kms://"+key)
	// Output:
	// made by the replica: true
	// under the root key's own name: true
}
