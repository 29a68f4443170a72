package awskms

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// KMS gives one code for states that pass and for those that don't, and for all
// that an external key store answers.
func TestInvalidStates(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab "
	const proxy = "The external key store proxy "
	unavailable, throttled, denied := kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied
	unusable, invalid := kmsprovider.ErrKeyUnusable, kmsprovider.ErrInvalidCiphertext
	for message, want := range map[string]error{
		key + "is pending deletion.":                                 unusable,
		key + "is pending import.":                                   unusable,
		key + "is disabled.":                                         unusable,
		"The key state PendingDeletion is not valid for the request": unusable,
		"The custom key store of the key is disconnected, and the key is pending deletion.":       unusable,
		"The request was rejected because the custom key store is not connected.":                 unavailable,
		"The external key store proxy of the external key store can't be reached.":                unavailable,
		key + "is in state Unavailable.":                                                          unavailable,
		key + "is in state Creating.":                                                             unavailable,
		key + "is in state Updating.":                                                             unavailable,
		"The request was rejected because the state of the resource isn't valid for the request.": unusable,
		"": unusable,

		proxy + "denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again.": denied,
		proxy + "rejected the request because it could not authenticate AWS KMS. Verify the credentials for your external key store and update if necessary.":  denied,
		proxy + "rejected the request because it could not find the external key.":                                                                             unusable,
		proxy + "rejected the request because the external key is not enabled in the external key manager.":                                                    unusable,
		proxy + "rejected the request because the external key does not support the requested operation.":                                                      unusable,
		proxy + "rejected the request because it does not support the requested cryptographic operation.":                                                      unusable,
		proxy + "rejected the request because the specified ciphertext or additional authenticated data is corrupted, missing, or otherwise invalid.":          invalid,
		"The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.":   invalid,
		proxy + "rejected the request due to a very high request rate. Reduce the frequency of your calls.":                                                    throttled,
		proxy + "did not respond to the request in the time allotted. Retry the request.":                                                                      unavailable,
		proxy + "is in an unhealthy state. If you see this message repeatedly, notify your external key store proxy administrator.":                            unavailable,
		"AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request.":                                        unavailable,
		"AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue.":                                               unavailable,
		"AWS KMS cannot interpret the response from the external key store proxy.":                                                                             unavailable,
	} {
		require.Equal(t, want, invalidState(message).class, message)
	}
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "a b c d é 名", printable("a\nb\u0085c\u202ed é 名"))
	require.Equal(t, "a b", printable("a\u2028b"))
}
