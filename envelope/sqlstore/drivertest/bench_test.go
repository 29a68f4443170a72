package drivertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func BenchmarkStore(b *testing.B) {
	for name, make := range databases {
		d := make(b)
		s := d.store(b)
		ctx := b.Context()
		rec := made("acme", 0)
		rec.Budget, rec.State = 1<<40, envelope.StateActive
		require.NoError(b, s.Activate(ctx, rec, envelope.KeyID{}))
		var names []envelope.KeyName
		for i := range 2000 {
			each := made(fmt.Sprintf("tenant-%d", i%50), i)
			require.NoError(b, s.Insert(ctx, each))
			names = append(names, each.Name())
		}
		check := func(b *testing.B, err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name+"/Get", func(b *testing.B) {
			for b.Loop() {
				_, err := s.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
				check(b, err)
			}
		})
		b.Run(name+"/Lease", func(b *testing.B) {
			for b.Loop() {
				_, _, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1)
				check(b, err)
			}
		})
		b.Run(name+"/Claim", func(b *testing.B) {
			for b.Loop() {
				_, err := s.Claim(ctx, rec.Scope, rec.Purpose, "holder", time.Minute)
				check(b, err)
			}
		})
		b.Run(name+"/Insert", func(b *testing.B) {
			for i := 10_000; b.Loop(); i++ {
				check(b, s.Insert(ctx, made("acme", i)))
			}
		})
		b.Run(name+"/Update", func(b *testing.B) {
			for b.Loop() {
				check(b, s.Update(ctx, rec, rec))
			}
		})
		b.Run(name+"/States of 500", func(b *testing.B) {
			for b.Loop() {
				_, err := s.States(ctx, names[:500])
				check(b, err)
			}
		})
		b.Run(name+"/Page of 500", func(b *testing.B) {
			for b.Loop() {
				_, err := s.Page(ctx, envelope.Filter{}, names[500], 500)
				check(b, err)
			}
		})
	}
}
