package envelope_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

var email = envelope.MustField("Contacts", "email")

// newRing returns a key ring over a new key file, which end removes.
func newRing(opts *envelope.Options) (ring *envelope.KeyRing, end func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	kms, err := localkms.Open(filepath.Join(dir, "root.keys"))
	if err != nil {
		panic(err)
	}
	ring, err = envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, opts)
	if err != nil {
		panic(err)
	}
	return ring, func() {
		_ = ring.Close()
		_ = kms.Close()
		_ = os.RemoveAll(dir)
	}
}

// A value is sealed for one place and opens there only.
func ExampleKeyRing_Seal() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()

	place := &envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: email, Record: "42"}
	sealed, err := ring.Seal(ctx, place, envelope.AppendString(nil, "ada@example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}

	frame, err := ring.Open(ctx, place, sealed)
	if err != nil {
		fmt.Println(err)
		return
	}
	typ, payload, _ := envelope.ParseFrame(frame)
	fmt.Println(typ, string(payload))

	elsewhere := &envelope.Binding{Scope: place.Scope, Field: email, Record: "43"}
	_, err = ring.Open(ctx, elsewhere, sealed)
	fmt.Println(errors.Is(err, envelope.ErrNotAuthentic))
	// Output:
	// string ada@example.com
	// true
}

// An envelope tells how it was sealed without any key.
func ExampleInspect() {
	ring, end := newRing(nil) // no key store: the envelope carries its wrapped key
	defer end()
	place := &envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: email, Record: "42"}
	sealed, err := ring.Seal(context.Background(), place, envelope.AppendString(nil, "ada@example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}

	info, err := envelope.Inspect(sealed)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Mode, "version", info.Version)
	fmt.Println(info.FrameSize, "bytes: the type and the 15 of the value")
	fmt.Println(info.RootKey != "", info.WrappedKey > 0)
	// Output:
	// inline version 1
	// 16 bytes: the type and the 15 of the value
	// true true
}

// After a rotation new values are sealed with the new key, and what is there
// already still opens.
func ExampleKeyRing_Rotate() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()
	place := &envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: email, Record: "42"}
	before, err := ring.Seal(ctx, place, envelope.AppendString(nil, "ada@example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}

	id, err := ring.Rotate(ctx, place.Scope)
	if err != nil {
		fmt.Println(err)
		return
	}

	after, err := ring.Seal(ctx, place, envelope.AppendString(nil, "ada@example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	info, _ := envelope.Inspect(after)
	fmt.Println(info.KeyID == id)
	_, err = ring.Open(ctx, place, before)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// A page of records is opened in one call. A cell that can't be opened says
// why, and the others are there.
func ExampleKeyRing_OpenAll() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()

	var cells []envelope.Cell
	for i, address := range []string{"ada@example.com", "grace@example.com", "mary@example.com"} {
		cells = append(cells, envelope.Cell{
			Binding: envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: email, Record: fmt.Sprint(i)},
			Frame:   envelope.AppendString(nil, address),
		})
	}
	if err := ring.SealAll(ctx, cells); err != nil {
		fmt.Println(err)
		return
	}

	cells[1].Envelope[60] ^= 1 // damaged on the way
	fmt.Println(ring.OpenAll(ctx, cells), "failed")
	for _, c := range cells {
		if c.Err != nil {
			fmt.Println(c.Binding.Record, errors.Is(c.Err, envelope.ErrNotAuthentic))
			continue
		}
		_, payload, _ := envelope.ParseFrame(c.Frame)
		fmt.Println(c.Binding.Record, string(payload))
	}
	// Output:
	// 1 failed
	// 0 ada@example.com
	// 1 true
	// 2 mary@example.com
}
