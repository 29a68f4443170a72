package fakekms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

func TestReplicasShareKeyMaterial(t *testing.T) {
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			eu := start(t)
			us := eu.Region("us-east-1")
			require.Same(t, us, eu.Region("us-east-1"))
			require.Same(t, eu, us.Region("eu-central-1"))
			primary := eu.CreateKey(fakekms.KeyOptions{MultiRegion: true})
			replica := eu.ReplicateKey(primary, "us-east-1")
			require.Equal(t, strings.Replace(primary, "eu-central-1", "us-east-1", 1), replica)
			inEU, inUS := client(eu), client(us)

			for range 2 { // before and after a rotation
				made := dataKey(t, inEU, primary, acme)
				for _, keyID := range []string{replica, ""} {
					got, err := decrypt(t, inUS, keyID, made.CiphertextBlob, acme)
					require.NoError(t, err)
					require.Equal(t, made.Plaintext, got)
				}
				made = dataKey(t, inUS, replica, acme)
				got, err := decrypt(t, inEU, primary, made.CiphertextBlob, acme)
				require.NoError(t, err)
				require.Equal(t, made.Plaintext, got)
				eu.RotateKey(primary)
			}
			require.Panics(t, func() { us.RotateKey(replica) })

			// State is each region's own.
			made := dataKey(t, inEU, primary, acme)
			eu.Disable(primary)
			requireCode(t, generate(t, inEU, primary), "DisabledException")
			_, err := decrypt(t, inUS, replica, made.CiphertextBlob, acme)
			require.NoError(t, err)
			us.ScheduleDeletion(replica, 7)
			_, err = decrypt(t, inUS, "", made.CiphertextBlob, acme)
			requireCode(t, err, "KMSInvalidStateException")
		})
	}
}

func TestRegionsAreSeparate(t *testing.T) {
	eu := pipe(t)
	us := eu.Region("us-east-1")
	inEU, inUS := client(eu), client(us)
	key := eu.CreateKey(fakekms.KeyOptions{})
	multi := eu.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	requireCode(t, generate(t, inUS, key), "NotFoundException")
	requireCode(t, generate(t, inUS, multi), "NotFoundException")
	_, err := decrypt(t, inUS, "", dataKey(t, inEU, key, nil).CiphertextBlob, nil)
	requireCode(t, err, "AccessDeniedException")
	_, err = decrypt(t, inUS, "", dataKey(t, inEU, multi, nil).CiphertextBlob, nil)
	requireCode(t, err, "AccessDeniedException")
	other := us.CreateKey(fakekms.KeyOptions{})
	_, err = decrypt(t, inUS, other, dataKey(t, inEU, key, nil).CiphertextBlob, nil)
	requireCode(t, err, "IncorrectKeyException")

	// Faults and calls too.
	eu.ResetCalls()
	us.ResetCalls()
	defer eu.Inject(fakekms.Fault{Error: "KMSInternalException"})()
	requireCode(t, generate(t, inEU, key), "KMSInternalException")
	require.NoError(t, generate(t, inUS, other))
	require.Equal(t, 1, eu.Count())
	require.Equal(t, 1, us.Count())

	// A region that the test doesn't have.
	cfg := eu.Config()
	cfg.Region = "ap-southeast-2"
	requireCode(t, generate(t, clientOf(cfg), key), "InvalidSignatureException")
}
