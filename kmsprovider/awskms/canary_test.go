package awskms_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

// answersWithKey are answers that hold a data key and can't be used: what the
// provider says of them must not hold it too.
func answersWithKey() map[string]wire {
	b64 := base64.StdEncoding.EncodeToString(plainKey)
	good := dataKey(arnA, plainKey, []byte("wrapped"))
	return map[string]wire{
		"good":             always(200, good),
		"cut off":          always(200, good[:len(good)-10]),
		"more behind":      always(200, good+good),
		"bad base64":       always(200, strings.Replace(good, b64, b64+"!", 1)),
		"wrong types":      always(200, strings.Replace(good, `"KeyId":"`+arnA+`"`, `"KeyId":5`, 1)),
		"another key's":    always(200, dataKey(arnB, plainKey, []byte("wrapped"))),
		"no key's":         always(200, dataKey("", plainKey, []byte("wrapped"))),
		"no wrapped key":   always(200, dataKey(arnA, plainKey, nil)),
		"a key of 31":      always(200, dataKey(arnA, plainKey[:31], []byte("wrapped"))),
		"a key of 64":      always(200, dataKey(arnA, append(plainKey, plainKey...), []byte("wrapped"))),
		"as a refusal":     always(400, good),
		"as a failure":     always(500, good),
		"in a message":     always(400, apiError("SomethingNewException", "the clock is wrong")),
		"denied":           always(400, apiError("AccessDeniedException", "User is not authorized")),
		"bad credentials":  always(400, apiError("UnrecognizedClientException", "The security token included in the request is invalid.")),
		"an error of Go's": fails(errors.New("connection refused")),
	}
}

// TestScoreboardS16 prints the provider, its options and everything that goes
// wrong, and looks for the data key and for the credentials.
func TestScoreboardS16(t *testing.T) {
	canary := scoreboard.NewCanary(plainKey, []byte(secretKey), []byte(accessKeyID))
	total, outs, values := 0, 0, 0
	hunt := func(name string, v any) {
		found, of := canary.In(scoreboard.Printed(v))
		values++
		if total, outs = total+found, outs+of; found > 0 {
			t.Errorf("%s shows a secret in %d of %d texts", name, found, of)
		}
	}
	failures := 0
	for name, w := range answersWithKey() {
		bubble.Test(t, func(t *testing.T) {
			p := newOn(t, w, nil)
			for _, c := range calls([]byte("wrapped")) {
				err := c.do(t.Context(), p)
				if err == nil {
					continue
				}
				failures++
				hunt(name+", "+c.name, err)
				found, of := canary.In([]string{everythingIn(err)})
				require.Zero(t, found, name)
				outs += of
			}
			dk, err := p.GenerateDataKey(t.Context(), keyA, ec)
			require.Equal(t, name == "good" || name == "more behind", err == nil, name)
			hunt("data key", dk)
			hunt("provider", p)
			hunt("struct with a provider", struct{ P *awskms.Provider }{p})
			hunt("unexported provider", struct{ p *awskms.Provider }{p})
			hunt("as its interface", []any{kmsprovider.Provider(p)})
		})
	}
	require.Greater(t, failures, 50)
	hunt("options", awskms.Options{AssumeRoleARN: "arn:aws:iam::111122223333:role/crm", Endpoint: "https://kms.eu-central-1.amazonaws.com"})

	credentials, err := configFor(nil).Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	control, of := canary.In(append(
		scoreboard.Printed(kms.GenerateDataKeyOutput{KeyId: aws.String(arnA), Plaintext: plainKey}), scoreboard.Printed(credentials)...,
	))
	scoreboard.Row(t, "S16", total == 0 && control > of/2,
		fmt.Sprintf("awskms: %d of %d texts of %d values, %d of them failures", total, outs, values, failures), "0",
		fmt.Sprintf("the SDK's own answer and credentials: %d of %d", control, of))
}
