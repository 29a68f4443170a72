//go:build localstack

package envelope_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

func TestDoctorOnLocalStack(t *testing.T) {
	admin := localStackAdmin(t)
	arn := createKey(t, admin, kms.CreateKeyInput{})
	ring := localStackRing(t, homeRegion, arn, awskms.Options{})
	report := ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	checks := map[string]kmsprovider.Finding{}
	for _, f := range report.Findings {
		checks[f.Check] = f
	}
	for _, check := range []string{"credentials", "clock", "state", "generate a data key", "unwrap a data key", "rewrap a data key", "inline"} {
		require.Equal(t, kmsprovider.StatusOK, checks[check].Status, "%s\n%s", check, report)
	}
	require.Contains(t, checks["clock"].Found, "within ", "it tells the time")
	require.Equal(t, kmsprovider.StatusWarning, checks["TLS"].Status)
	require.Len(t, report.Policies, 1)
	require.Contains(t, string(report.Policies[0].Policy), arn)

	_, err := admin.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	report = ring.Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, report.Err(), "enable it with kms:EnableKey")
}
