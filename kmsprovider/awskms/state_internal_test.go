package awskms

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// KMS gives one code for states that pass and for those that don't.
func TestPassingStates(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab "
	for message, want := range map[string]bool{
		key + "is pending deletion.":                                 false,
		key + "is pending import.":                                   false,
		key + "is disabled.":                                         false,
		"The key state PendingDeletion is not valid for the request": false,
		"The custom key store of the key is disconnected, and the key is pending deletion.":       false,
		"The request was rejected because the custom key store is not connected.":                 true,
		"The external key store proxy of the external key store can't be reached.":                true,
		key + "is in state Unavailable.":                                                          true,
		key + "is in state Creating.":                                                             true,
		key + "is in state Updating.":                                                             true,
		"The request was rejected because the state of the resource isn't valid for the request.": false,
		"": false,
	} {
		require.Equal(t, want, passing(message), message)
	}
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "a b c d é 名", printable("a\nb\u0085c\u202ed é 名"))
	require.Equal(t, "a b", printable("a\u2028b"))
}
