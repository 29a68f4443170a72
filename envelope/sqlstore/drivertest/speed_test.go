package drivertest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// TestScoreboardP1P2 measures what rows P1 and P2 of package envelope do, with the
// keys in a database. A warm ring takes 65,536 messages at a time from it, in the
// background, and asks it about the keys in memory every 15 seconds.
func TestScoreboardP1P2(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		ctx := t.Context()
		kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
		require.NoError(t, err)
		defer kms.Close()
		ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: d.store(t)})
		require.NoError(t, err)
		defer ring.Close()

		at := &envelope.Binding{
			Scope: envelope.Scope{Tenant: "tenant-0001", Class: "crm"}, Field: envelope.MustField("Contacts", "email"),
			Record: "7f3a1c2e-1111-4222-8333-944455556666",
		}
		frame := envelope.AppendString(nil, "0123456789abcdef0123456789abcdef")
		sealed, err := ring.Seal(ctx, at, frame)
		require.NoError(t, err)
		require.Equal(t, byte(envelope.ModeReference), sealed[2])

		// The limit: the same frame and as many bytes of additional data.
		aad := append([]byte("fieldcrypt/v1 field\x01"), sealed[3:35]...)
		for i, part := range []string{at.Scope.Tenant, at.Scope.Class, "Contacts", "email", at.Record} {
			if i == 4 {
				aad = append(aad, 1)
			}
			aad = append(binary.BigEndian.AppendUint32(aad, uint32(len(part))), part...)
		}
		block, err := aes.NewCipher(make([]byte, 32))
		require.NoError(t, err)
		limit, err := cipher.NewGCMWithRandomNonce(block)
		require.NoError(t, err)
		limited := limit.Seal(nil, nil, frame, aad)

		through := " through a SQL key store (" + d.dialect.String() + ")"
		scoreboard.Compare(t, "P1", "seal 32 bytes"+through, 1.25, func() {
			if _, err := ring.Seal(ctx, at, frame); err != nil {
				t.Error(err)
			}
		}, func() { limit.Seal(nil, nil, frame, aad) })
		scoreboard.Compare(t, "P2", "open 32 bytes"+through, 1.4, func() {
			if _, err := ring.Open(ctx, at, sealed); err != nil {
				t.Error(err)
			}
		}, func() {
			if _, err := limit.Open(nil, nil, limited, aad); err != nil {
				t.Error(err)
			}
		})
	})
}
