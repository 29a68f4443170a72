package awskms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

const (
	region   = "eu-central-1"
	arnA     = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	arnB     = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
	arnMulti = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	arnLocal = "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	keyA     = "aws-kms://" + arnA
	keyB     = "aws-kms://" + arnB

	accessKeyID = "AKIDEXAMPLEEXAMPLE01"
	secretKey   = "an-example-secret-that-is-no-secret"
)

var ec = kmsprovider.EncryptionContext{"fieldcrypt:v": "1", "fieldcrypt:tenant": "acme"}

// wire stands for the network: it answers the SDK's requests in memory.
type wire func(*http.Request) (*http.Response, error)

func (w wire) Do(r *http.Request) (*http.Response, error) { return w(r) }

func configFor(w wire) aws.Config {
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKeyID, secretKey, ""),
		HTTPClient:  w,
	}
}

func newOn(t testing.TB, w wire, opts *awskms.Options) *awskms.Provider {
	t.Helper()
	p, err := awskms.New(configFor(w), opts)
	require.NoError(t, err)
	return p
}

func answer(r *http.Request, status int, body string) *http.Response {
	h := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"11112222-3333-4444-5555-666677778888"}}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// always answers each request the same.
func always(status int, body string) wire {
	return func(r *http.Request) (*http.Response, error) { return answer(r, status, body), nil }
}

func apiError(code, message string) string {
	body, err := json.Marshal(map[string]string{"__type": code, "message": message})
	if err != nil {
		panic(err)
	}
	return string(body)
}

var plainKey = bytes.Repeat([]byte{0xA7}, 32)

// dataKey is the answer to GenerateDataKey; without wrapped, to Decrypt.
func dataKey(keyID string, plain, wrapped []byte) string {
	s := fmt.Sprintf(`{"KeyId":%q,"Plaintext":%q`, keyID, base64.StdEncoding.EncodeToString(plain))
	if wrapped != nil {
		s += fmt.Sprintf(`,"CiphertextBlob":%q`, base64.StdEncoding.EncodeToString(wrapped))
	}
	return s + "}"
}

// noSecrets fails if the text holds the data key of these tests, or AWS
// credentials.
func noSecrets(t testing.TB, text string) {
	t.Helper()
	for _, secret := range []string{
		string(plainKey), fmt.Sprintf("%x", plainKey), base64.StdEncoding.EncodeToString(plainKey)[:40],
		strings.Trim(fmt.Sprintf("%d", plainKey), "[]"), accessKeyID, secretKey,
	} {
		require.NotContains(t, text, secret)
	}
}

// call is one method of a Provider, called with arguments that are in order.
type call struct {
	name string
	do   func(context.Context, *awskms.Provider) error
}

func calls(wrapped []byte) []call {
	return []call{
		{"GenerateDataKey", func(ctx context.Context, p *awskms.Provider) error {
			_, err := p.GenerateDataKey(ctx, keyA, ec)
			return err
		}},
		{"Unwrap", func(ctx context.Context, p *awskms.Provider) error {
			_, err := p.Unwrap(ctx, keyA, wrapped, ec)
			return err
		}},
		{"Rewrap", func(ctx context.Context, p *awskms.Provider) error {
			_, _, err := p.Rewrap(ctx, keyA, wrapped, keyB, ec)
			return err
		}},
		{"Check", func(ctx context.Context, p *awskms.Provider) error { return p.Check(ctx, keyA) }},
		{"Resolve", func(ctx context.Context, p *awskms.Provider) error {
			_, err := p.Resolve(ctx, "aws-kms://alias/crm")
			return err
		}},
		{"Wrap", func(ctx context.Context, p *awskms.Provider) error {
			_, _, err := p.Wrap(ctx, keyA, plainKey, ec)
			return err
		}},
	}
}
