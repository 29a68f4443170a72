package envelope_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A tag is stored in a column beside the envelope. A search asks for all tags
// that rows of a value can have, opens what it finds and compares.
func ExampleKeyRing_QueryTags() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()
	byEmail, err := envelope.NewIndex(envelope.IndexSpec{Field: email, Name: "email.v1", Version: 1, Bits: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	normalise := func(s string) []byte { return []byte(strings.ToLower(strings.TrimSpace(s))) }

	acme := envelope.Scope{Tenant: "acme"}
	tag, err := ring.AppendTag(ctx, nil, byEmail, acme, "42", normalise("Ada@example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	column := byEmail.AppendText(nil, tag) // or the bytes themselves

	tags, err := ring.QueryTags(ctx, byEmail, acme, normalise(" ada@EXAMPLE.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := byEmail.ParseText(string(column))
	fmt.Println(len(tags), bytes.Equal(tags[0], stored), err)
	others, err := ring.QueryTags(ctx, byEmail, envelope.Scope{Tenant: "globex"}, normalise("ada@example.com"))
	fmt.Println(len(others), err)
	// Output:
	// 1 true <nil>
	// 0 <nil>
}

// Equal values of one field and tenant have equal envelopes.
func ExampleKeyRing_SealDeterministic() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()

	column := &envelope.Binding{Scope: envelope.Scope{Tenant: "acme"}, Field: envelope.MustField("Contacts", "taxNumber"), Unbound: true}
	sealed, err := ring.SealDeterministic(ctx, column, envelope.AppendString(nil, "12-345-678"))
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := ring.QueryDeterministic(ctx, column, envelope.AppendString(nil, "12-345-678"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(found), bytes.Equal(found[0], sealed))
	_, err = ring.SealDeterministic(ctx, column, envelope.AppendFloat64(nil, 0))
	fmt.Println(err != nil)
	// Output:
	// 1 true
	// true
}

// A new index key is searched with at once, beside the one before it.
func ExampleKeyRing_CutOver() {
	ring, end := newRing(&envelope.Options{Store: envelope.NewMemoryStore()})
	defer end()
	ctx := context.Background()
	byEmail, err := envelope.NewIndex(envelope.IndexSpec{Field: email, Name: "email.v1", Version: 1, Bits: 128})
	if err != nil {
		fmt.Println(err)
		return
	}
	acme, value := envelope.Scope{Tenant: "acme"}, []byte("ada@example.com")
	before, err := ring.AppendTag(ctx, nil, byEmail, acme, "", value)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := ring.CutOver(ctx, acme, envelope.PurposeIndex); err != nil {
		fmt.Println(err)
		return
	}
	tags, err := ring.QueryTags(ctx, byEmail, acme, value)
	fmt.Println(len(tags), bytes.Equal(tags[1], before), err)
	// Output: 2 true <nil>
}
