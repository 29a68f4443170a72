package fieldcrypt_test

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

type fiveFields struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	A      fieldcrypt.String `fieldcrypt:"Bench.a"`
	B      fieldcrypt.String `fieldcrypt:"Bench.b"`
	C      fieldcrypt.String `fieldcrypt:"Bench.c"`
	D      fieldcrypt.String `fieldcrypt:"Bench.d"`
	E      fieldcrypt.String `fieldcrypt:"Bench.e"`
}

func (f *fiveFields) all() [5]*fieldcrypt.String {
	return [5]*fieldcrypt.String{&f.A, &f.B, &f.C, &f.D, &f.E}
}

const (
	benchValue = "thirty-two bytes of made-up text"
	benchAAD   = 96 // bytes, as for fields of these names
)

func benchGCM(tb testing.TB) cipher.AEAD {
	tb.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(tb, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(tb, err)
	return aead
}

// limit5Seal is what five values cost at the least: five seals into new
// memory, and nothing around them.
func limit5Seal(tb testing.TB) func() {
	tb.Helper()
	aead, aad, frame := benchGCM(tb), make([]byte, benchAAD), append([]byte{1}, benchValue...)
	return func() {
		for range 5 {
			_ = aead.Seal(make([]byte, 0, 28+len(frame)), nil, frame, aad)
		}
	}
}

func limit5Open(tb testing.TB) func() {
	tb.Helper()
	aead, aad, frame := benchGCM(tb), make([]byte, benchAAD), append([]byte{1}, benchValue...)
	sealed := aead.Seal(nil, nil, frame, aad)
	return func() {
		for range 5 {
			if _, err := aead.Open(nil, nil, sealed, aad); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// encrypt5 encrypts a record of five strings of 32 bytes. Setting them is part
// of it, since an encrypted value isn't encrypted again.
func encrypt5(tb testing.TB) func() {
	tb.Helper()
	records, err := fieldcrypt.For[fiveFields](fieldcrypttest.NewWithStore(tb))
	require.NoError(tb, err)
	record := fiveFields{ID: 1_234_567, Tenant: "acme"}
	ctx := tb.Context()
	return func() {
		for _, v := range record.all() {
			v.Set(benchValue)
		}
		if err := records.Encrypt(ctx, &record); err != nil {
			tb.Fatal(err)
		}
	}
}

// decrypt5 decrypts such a record, as it was scanned.
func decrypt5(tb testing.TB) func() {
	tb.Helper()
	records, err := fieldcrypt.For[fiveFields](fieldcrypttest.NewWithStore(tb))
	require.NoError(tb, err)
	record := fiveFields{ID: 1_234_567, Tenant: "acme"}
	for _, v := range record.all() {
		v.Set(benchValue)
	}
	ctx := tb.Context()
	require.NoError(tb, records.Encrypt(ctx, &record))
	for _, v := range record.all() {
		stored, err := v.Value()
		require.NoError(tb, err)
		require.NoError(tb, v.Scan(stored))
	}
	scanned := record
	return func() {
		record = scanned
		if err := records.Decrypt(ctx, &record); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestScoreboardP5(t *testing.T) {
	scoreboard.Compare(t, "P5", "encrypt 5 fields", 1.5, encrypt5(t), limit5Seal(t))
	scoreboard.Compare(t, "P5", "decrypt 5 fields", 1.5, decrypt5(t), limit5Open(t))
}

func BenchmarkFiveFields(b *testing.B) {
	for _, c := range []struct {
		name string
		call func()
	}{
		{"limit/seal", limit5Seal(b)}, {"encrypt", encrypt5(b)}, {"limit/open", limit5Open(b)}, {"decrypt", decrypt5(b)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.call()
			}
		})
	}
}
