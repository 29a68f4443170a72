package fakekms_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

const authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEEXAMPLE01/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=00"

// post sends a request that no SDK would.
func post(srv *fakekms.Server, op, body string) *httptest.ResponseRecorder {
	return send(srv, func(*http.Request) {}, op, body)
}

func send(srv *fakekms.Server, change func(*http.Request), op, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "TrentService."+op)
	r.Header.Set("Authorization", authorization)
	change(r)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return w
}

func codeIn(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var refused struct {
		Type string `json:"__type"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &refused), "%q", w.Body)
	return refused.Type
}

func TestMalformedRequests(t *testing.T) {
	srv := pipe(t)
	arn := srv.CreateKey(fakekms.KeyOptions{})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	fine := func(*http.Request) {}
	key := func(more string) string { return `{"KeyId":"` + arn + `","KeySpec":"AES_256"` + more + `}` }
	const credential = "AKIDEXAMPLEEXAMPLE01/20260101/eu-central-1/kms/aws4_request"
	for name, test := range map[string]struct {
		change func(*http.Request)
		body   string
		code   string
	}{
		"control":                 {fine, key(""), ""},
		"control: unknown member": {fine, key(`,"Other":{"a":[1,null]}`), ""},
		"control: null members":   {fine, key(`,"EncryptionContext":null,"NumberOfBytes":null,"DryRun":null`), ""},

		"no authorization":      {header("Authorization", ""), key(""), "MissingAuthenticationTokenException"},
		"bearer token":          {header("Authorization", "Bearer x"), key(""), "IncompleteSignatureException"},
		"no credential":         {header("Authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00"), key(""), "IncompleteSignatureException"},
		"no access key ID":      {header("Authorization", "AWS4-HMAC-SHA256 Credential=/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=00"), key(""), "IncompleteSignatureException"},
		"no signature":          {header("Authorization", "AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host"), key(""), "IncompleteSignatureException"},
		"short credential":      {header("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/kms/aws4_request, SignedHeaders=host, Signature=00"), key(""), "IncompleteSignatureException"},
		"long authorization":    {header("Authorization", authorization+strings.Repeat("0", 4096)), key(""), "IncompleteSignatureException"},
		"credential for S3":     {header("Authorization", strings.Replace(authorization, "/kms/", "/s3/", 1)), key(""), "InvalidSignatureException"},
		"credential for nobody": {header("Authorization", strings.Replace(authorization, "eu-central-1", "eu-west-1", 1)), key(""), "InvalidSignatureException"},

		"GET":               {func(r *http.Request) { r.Method = http.MethodGet }, key(""), "UnknownOperationException"},
		"path":              {func(r *http.Request) { r.URL.Path = "/kms" }, key(""), "UnknownOperationException"},
		"no target":         {header("X-Amz-Target", ""), key(""), "UnknownOperationException"},
		"target of others":  {header("X-Amz-Target", "DynamoDB_20120810.GetItem"), key(""), "UnknownOperationException"},
		"unknown operation": {header("X-Amz-Target", "TrentService.Sign"), key(""), "UnknownOperationException"},
		"long operation":    {header("X-Amz-Target", "TrentService."+strings.Repeat("x", 100_000)), key(""), "UnknownOperationException"},

		"no body":           {fine, "", "SerializationException"},
		"null":              {fine, "null", "SerializationException"},
		"array":             {fine, "[]", "SerializationException"},
		"cut short":         {fine, key("")[:30], "SerializationException"},
		"trailing bytes":    {fine, key("") + "x", "SerializationException"},
		"not UTF-8":         {fine, key(",\"EncryptionContext\":{\"a\":\"\xff\"}"), "SerializationException"},
		"breaks off":        {func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(r.Body, brokenReader{})) }, key(""), "SerializationException"},
		"nested":            {fine, strings.Repeat(`{"a":`, 20_000), "SerializationException"},
		"too large":         {fine, key(`,"Other":"` + strings.Repeat("x", 256<<10) + `"`), "RequestEntityTooLargeException"},
		"too large, hidden": {func(r *http.Request) { r.ContentLength = -1 }, key(`,"Other":"` + strings.Repeat("x", 256<<10) + `"`), "RequestEntityTooLargeException"},

		"other case of a name":     {fine, `{"keyid":"` + arn + `","KeySpec":"AES_256"}`, "ValidationException"},
		"KeyId is a number":        {fine, `{"KeyId":7,"KeySpec":"AES_256"}`, "SerializationException"},
		"size is a fraction":       {fine, `{"KeyId":"` + arn + `","NumberOfBytes":32.5}`, "SerializationException"},
		"size is huge":             {fine, `{"KeyId":"` + arn + `","NumberOfBytes":99999999999999999999}`, "SerializationException"},
		"size is text":             {fine, `{"KeyId":"` + arn + `","NumberOfBytes":"32"}`, "SerializationException"},
		"context is a list":        {fine, key(`,"EncryptionContext":["a"]`), "SerializationException"},
		"context value is number":  {fine, key(`,"EncryptionContext":{"a":1}`), "SerializationException"},
		"context value is null":    {fine, key(`,"EncryptionContext":{"a":null}`), "ValidationException"},
		"context name is empty":    {fine, key(`,"EncryptionContext":{"":"a"}`), "ValidationException"},
		"context is too long":      {fine, key(`,"EncryptionContext":{"a":"` + strings.Repeat("x", 8192) + `"}`), "ValidationException"},
		"DryRun is text":           {fine, key(`,"DryRun":"true"`), "SerializationException"},
		"blob is a list":           {header("X-Amz-Target", "TrentService.Decrypt"), `{"CiphertextBlob":[1,2,3]}`, "SerializationException"},
		"blob isn't base64":        {header("X-Amz-Target", "TrentService.Decrypt"), `{"CiphertextBlob":"%%%"}`, "SerializationException"},
		"blob is missing":          {header("X-Amz-Target", "TrentService.Decrypt"), `{}`, "ValidationException"},
		"plaintext is missing":     {header("X-Amz-Target", "TrentService.Encrypt"), key(""), "ValidationException"},
		"deletion in half a day":   {header("X-Amz-Target", "TrentService.ScheduleKeyDeletion"), key(`,"PendingWindowInDays":0.5`), "SerializationException"},
		"deletion in minus 7 days": {header("X-Amz-Target", "TrentService.ScheduleKeyDeletion"), key(`,"PendingWindowInDays":-7`), "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			w := send(srv, test.change, "GenerateDataKey", test.body)
			require.NotEmpty(t, w.Header().Get("X-Amzn-Requestid"))
			require.Less(t, w.Body.Len(), 2000)
			last := srv.Calls()[min(srv.Count(), fakekms.MaxCalls)-1]
			require.Equal(t, test.code, last.Err)
			require.Equal(t, w.Header().Get("X-Amzn-Requestid"), last.RequestID)
			if test.code == "" {
				require.Equal(t, http.StatusOK, w.Code)
				return
			}
			require.GreaterOrEqual(t, w.Code, 400)
			require.Less(t, w.Code, 500)
			require.Equal(t, test.code, codeIn(t, w))
		})
	}
	require.Zero(t, srv.InFlight())
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestWrongCredentials tells apart the callers by their access keys.
func TestWrongCredentials(t *testing.T) {
	srv := pipe(t)
	arn := srv.CreateKey(fakekms.KeyOptions{})
	const revoked = "AKIDREVOKEDEXAMPLE01"
	srv.Inject(fakekms.Fault{AccessKeyID: revoked, Error: "UnrecognizedClientException"})
	cfg := srv.Config()
	require.NoError(t, generate(t, clientOf(cfg), arn))
	cfg.Credentials = credentials(revoked)
	requireCode(t, generate(t, clientOf(cfg), arn), "UnrecognizedClientException")
	cfg.Credentials = aws.AnonymousCredentials{}
	requireCode(t, generate(t, clientOf(cfg), arn), "MissingAuthenticationTokenException")
	calls := srv.Calls()
	require.Equal(t, []string{fakekms.DefaultAccessKeyID, revoked, ""}, []string{calls[0].AccessKeyID, calls[1].AccessKeyID, calls[2].AccessKeyID})
}

// FuzzServe sends any request to every operation. What is answered must be
// JSON, of a bounded length, and never an internal error.
func FuzzServe(f *testing.F) {
	const keyID = `"KeyId":"alias/crm"`
	for op, body := range map[string]string{
		"GenerateDataKey":     `{` + keyID + `,"KeySpec":"AES_256","EncryptionContext":{"tenant":"acme","é":"\u00e9"}}`,
		"Encrypt":             `{` + keyID + `,"Plaintext":"aGVsbG8=","EncryptionContext":{"a":"bc"}}`,
		"Decrypt":             `{"CiphertextBlob":"ZmFrZWttcwE="}`,
		"ReEncrypt":           `{"CiphertextBlob":"ZmFrZWttcwE=","SourceKeyId":"alias/crm","DestinationKeyId":"arn:aws:kms:eu-central-1:111122223333:alias/crm"}`,
		"CreateKey":           `{"MultiRegion":true,"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY","Description":"x"}`,
		"CreateAlias":         `{"AliasName":"alias/a/b_c-d","TargetKeyId":"alias/crm"}`,
		"ReplicateKey":        `{` + keyID + `,"ReplicaRegion":"us-gov-west-1"}`,
		"ScheduleKeyDeletion": `{"KeyId":"none","PendingWindowInDays":7}`,
		"DescribeKey":         `{"KeyId":"arn:aws:kms:eu-central-1:444455556666:key/mrk-0"}`,
		"RotateKeyOnDemand":   `{` + keyID + `}`,
		"Sign":                `{"KeyId":null}`,
		"":                    "\xff",
	} {
		f.Add(op, authorization, []byte(body))
	}
	f.Add("Decrypt", "AWS4-HMAC-SHA256 Credential=////,=,", []byte(`{"CiphertextBlob":7}`))

	srv := fakekms.New(fakekms.Options{})
	f.Cleanup(srv.Close)
	srv.CreateAlias("alias/crm", srv.CreateKey(fakekms.KeyOptions{MultiRegion: true}))
	f.Fuzz(func(t *testing.T, op, auth string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["X-Amz-Target"] = []string{"TrentService." + op}
		r.Header["Authorization"] = []string{auth}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s: status %d", op, w.Code)
		}
		if !json.Valid(w.Body.Bytes()) || w.Body.Len() > 32<<10+len(body) {
			t.Fatalf("%s: %d bytes of answer: %.100q", op, w.Body.Len(), w.Body)
		}
		if w.Code != http.StatusOK && codeIn(t, w) == "" {
			t.Fatalf("%s: a refusal without a code: %q", op, w.Body)
		}
		if srv.InFlight() != 0 {
			t.Fatal("the call hasn't ended")
		}
	})
}
