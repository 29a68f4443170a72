package localkms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// folder returns a new folder for an example.
func folder() string {
	dir, err := os.MkdirTemp("", "localkms-example")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

func Example() {
	dir := folder()
	defer os.RemoveAll(dir)
	ctx := context.Background()

	kms, err := localkms.Open(filepath.Join(dir, "root-keys.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer kms.Close()

	ec := kmsprovider.EncryptionContext{"tenant": "acme"}
	dk, err := kms.GenerateDataKey(ctx, kms.RootKey(), ec)
	if err != nil {
		log.Fatal(err)
	}
	defer dk.Wipe()

	// Store dk.Wrapped and dk.RootKey; later, perhaps in another process:
	plain, err := kms.Unwrap(ctx, dk.RootKey, dk.Wrapped, ec)
	if err != nil {
		log.Fatal(err)
	}
	defer clear(plain)
	fmt.Println("the same data key:", bytes.Equal(plain, dk.Plaintext))

	_, err = kms.Unwrap(ctx, dk.RootKey, dk.Wrapped, kmsprovider.EncryptionContext{"tenant": "globex"})
	fmt.Println("refused for another tenant:", errors.Is(err, kmsprovider.ErrInvalidCiphertext))
	// Output:
	// the same data key: true
	// refused for another tenant: true
}

func ExampleOpenExisting() {
	dir := folder()
	defer os.RemoveAll(dir)

	_, err := localkms.OpenExisting(filepath.Join(dir, "root-keys.json"))
	fmt.Println("missing:", errors.Is(err, fs.ErrNotExist))
	// Output:
	// missing: true
}

func ExampleProvider_Rotate() {
	dir := folder()
	defer os.RemoveAll(dir)
	ctx := context.Background()

	kms, err := localkms.Open(filepath.Join(dir, "root-keys.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer kms.Close()
	uri, err := kms.AddRootKey(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	old, err := kms.GenerateDataKey(ctx, uri, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer old.Wipe()

	if err := kms.Rotate(ctx, "acme"); err != nil {
		log.Fatal(err)
	}
	plain, err := kms.Unwrap(ctx, uri, old.Wrapped, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer clear(plain)
	fmt.Println("the old wrapping still opens:", bytes.Equal(plain, old.Plaintext))

	// No row needs to be touched to get under the new version.
	if _, _, err := kms.Rewrap(ctx, uri, old.Wrapped, uri, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("rewrapped")
	// Output:
	// the old wrapping still opens: true
	// rewrapped
}
