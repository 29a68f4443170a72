package fieldcrypt_test

import (
	"crypto/aes"
	"crypto/cipher"
	"database/sql/driver"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
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

func benchGCM(b *testing.B) cipher.AEAD {
	b.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(b, err)
	return aead
}

// limit5Seal is what five values cost at the least: five seals into new
// memory, and nothing around them.
func limit5Seal(b *testing.B) func() {
	b.Helper()
	aead, aad, frame := benchGCM(b), make([]byte, benchAAD), append([]byte{1}, benchValue...)
	return func() {
		for range 5 {
			_ = aead.Seal(make([]byte, 0, 28+len(frame)), nil, frame, aad)
		}
	}
}

func limit5Open(b *testing.B) func() {
	b.Helper()
	aead, aad, frame := benchGCM(b), make([]byte, benchAAD), append([]byte{1}, benchValue...)
	sealed := aead.Seal(nil, nil, frame, aad)
	return func() {
		for range 5 {
			if _, err := aead.Open(nil, nil, sealed, aad); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkEncrypt5 encrypts a record of five strings of 32 bytes. Setting
// them is part of it, since an encrypted value isn't encrypted again.
func BenchmarkEncrypt5(b *testing.B) {
	records, err := fieldcrypt.For[fiveFields](fieldcrypttest.NewWithStore(b))
	require.NoError(b, err)
	record := fiveFields{ID: 1_234_567, Tenant: "acme"}
	compare(b, limit5Seal(b), func() {
		for _, v := range record.all() {
			v.Set(benchValue)
		}
		if err := records.Encrypt(b.Context(), &record); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkDecrypt5 scans and decrypts such a record.
func BenchmarkDecrypt5(b *testing.B) {
	records, err := fieldcrypt.For[fiveFields](fieldcrypttest.NewWithStore(b))
	require.NoError(b, err)
	record := fiveFields{ID: 1_234_567, Tenant: "acme"}
	for _, v := range record.all() {
		v.Set(benchValue)
	}
	require.NoError(b, records.Encrypt(b.Context(), &record))
	var stored [5]driver.Value
	for i, v := range record.all() {
		stored[i], err = v.Value()
		require.NoError(b, err)
	}
	compare(b, limit5Open(b), func() {
		for i, v := range record.all() {
			_ = v.Scan(stored[i])
		}
		if err := records.Decrypt(b.Context(), &record); err != nil {
			b.Fatal(err)
		}
	})
}

// compare runs the operation as a benchmark, and then in turns with its limit:
// the ratio of each one's quickest turn says more than that of two runs, on a
// machine that does other things besides.
func compare(b *testing.B, limit, operation func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		operation()
	}
	b.StopTimer()
	const turns, rounds = 300, 100
	turn := func(f func()) time.Duration {
		start := time.Now()
		for range rounds {
			f()
		}
		return time.Since(start)
	}
	least, best := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range turns {
		least, best = min(least, turn(limit)), min(best, turn(operation))
	}
	b.ReportMetric(float64(least)/rounds, "limit-ns")
	b.ReportMetric(float64(best)/rounds, "best-ns")
	b.ReportMetric(float64(best)/float64(least), "ratio")
}
