package awskms_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// Every answer and every failure of the network has one class.
func TestClasses(t *testing.T) {
	unavailable, throttled, denied := kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied
	unusable, invalid := kmsprovider.ErrKeyUnusable, kmsprovider.ErrInvalidCiphertext
	for _, c := range []struct {
		status int
		code   string
		class  error
	}{
		{400, "InvalidCiphertextException", invalid},
		{400, "IncorrectKeyException", invalid},

		{400, "DisabledException", unusable},
		{400, "KMSInvalidStateException", unusable},
		{409, "KMSInvalidStateException", unusable},
		{400, "NotFoundException", unusable},
		{400, "InvalidArnException", unusable},
		{400, "InvalidKeyUsageException", unusable},
		{400, "UnsupportedOperationException", unusable},

		{400, "AccessDeniedException", denied},
		{403, "AccessDeniedException", denied},
		{400, "NotAuthorized", denied},
		{400, "UnrecognizedClientException", denied},
		{403, "InvalidClientTokenId", denied},
		{403, "MissingAuthenticationToken", denied},
		{400, "IncompleteSignature", denied},
		{400, "InvalidSignatureException", denied},
		{400, "ExpiredTokenException", denied},
		{400, "OptInRequired", denied},
		{400, "InvalidGrantTokenException", denied},
		{400, "ValidationException", denied},
		{400, "SomethingNewException", denied},

		{400, "ThrottlingException", throttled},
		{400, "Throttling", throttled},
		{429, "ThrottlingException", throttled},
		{503, "SlowDown", throttled},
		{400, "RequestLimitExceeded", throttled},
		{400, "TooManyRequestsException", throttled},
		{429, "SomethingNewException", throttled},

		{500, "KeyUnavailableException", unavailable},
		{400, "KeyUnavailableException", unavailable},
		{503, "DependencyTimeoutException", unavailable},
		{500, "KMSInternalException", unavailable},
		{500, "InternalFailure", unavailable},
		{503, "ServiceUnavailable", unavailable},
		{503, "ServiceUnavailableException", unavailable},
		{400, "RequestTimeout", unavailable},
		{500, "SomethingNewException", unavailable},
		{599, "SomethingNewException", unavailable},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			checkClass(t, always(c.status, apiError(c.code, "a message from KMS")), c.class, func(err error) {
				api, ok := errors.AsType[smithy.APIError](err)
				require.True(t, ok, "the SDK's error is not in the chain")
				require.Equal(t, c.code, api.ErrorCode())
				require.ErrorContains(t, err, c.code)
				require.ErrorContains(t, err, "a message from KMS")
				require.ErrorContains(t, err, "(request ID 11112222-3333-4444-5555-666677778888)")
				require.Equal(t, "11112222-3333-4444-5555-666677778888", awskms.RequestID(err))
			})
		})
	}

	b64 := base64.StdEncoding.EncodeToString(plainKey)
	for name, c := range map[string]struct {
		w     wire
		class error
	}{
		"429 without a code":      {always(429, "slow down"), throttled},
		"403 of a proxy":          {always(403, "<html>blocked</html>"), unavailable},
		"404 without a code":      {always(404, "{}"), unavailable},
		"400 with an empty body":  {always(400, ""), unavailable},
		"400 with an empty code":  {always(400, `{"__type":""}`), unavailable},
		"302":                     {always(302, ""), unavailable},
		"500 without a code":      {always(500, "oops"), unavailable},
		"502 of a load balancer":  {always(502, "<html>bad gateway</html>"), unavailable},
		"200 with HTML":           {always(200, "<html>log in</html>"), unavailable},
		"200 with nothing":        {always(200, ""), unavailable},
		"200 with {}":             {always(200, "{}"), unavailable},
		"200 with null":           {always(200, "null"), unavailable},
		"200 with an array":       {always(200, "[]"), unavailable},
		"200 cut off":             {always(200, `{"Plaintext":"`+b64+`","KeyId`), unavailable},
		"200 with bad base64":     {always(200, `{"KeyId":"`+arnA+`","Plaintext":"`+b64+`!","CiphertextBlob":"AAA!"}`), unavailable},
		"200 with wrong types":    {always(200, `{"KeyId":5,"Plaintext":"`+b64+`","CiphertextBlob":"AAAA"}`), unavailable},
		"200 that never ends":     {func(r *http.Request) (*http.Response, error) { return endless(r), nil }, unavailable},
		"connection refused":      {fails(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), unavailable},
		"no such host":            {fails(&net.DNSError{Err: "no such host", Name: "kms.example.com", IsNotFound: true}), unavailable},
		"connection closed":       {fails(io.EOF), unavailable},
		"cut off":                 {fails(io.ErrUnexpectedEOF), unavailable},
		"socket's own deadline":   {fails(&net.OpError{Op: "read", Net: "tcp", Err: timeoutError{}}), unavailable},
		"transport's own timeout": {fails(fmt.Errorf("the transport gave up: %w", context.DeadlineExceeded)), unavailable},
		"transport's own cancel":  {fails(fmt.Errorf("the transport gave up: %w", context.Canceled)), unavailable},
		"anything else":           {fails(errors.New("something new")), unavailable},
	} {
		t.Run(name, func(t *testing.T) { checkClass(t, c.w, c.class, func(error) {}) })
	}
}

// checkClass makes every kind of call on a service that answers so. Time is
// virtual: a throttled call takes its 30 seconds.
func checkClass(t *testing.T, w wire, class error, more func(error)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		p := newOn(t, w, nil)
		for _, c := range calls([]byte("wrapped")) {
			err := c.do(t.Context(), p)
			require.ErrorIs(t, err, class, c.name)
			require.Equal(t, class, providertest.ClassOf(err), "%s: one class only: %v", c.name, err)
			require.ErrorContains(t, err, "awskms: ")
			require.NotContains(t, err.Error(), "\n")
			noSecrets(t, fmt.Sprintf("%v %+v %#v %s", err, err, err, everythingIn(err)))
			more(err)
		}
	})
}

// everythingIn prints each error of a chain with all verbs.
func everythingIn(err error) string {
	var b strings.Builder
	var walk func(error)
	walk = func(err error) {
		fmt.Fprintf(&b, "%v %+v %#v\n", err, err, err)
		switch u := err.(type) { //nolint:errorlint // walks the chain itself
		case interface{ Unwrap() error }:
			if u.Unwrap() != nil {
				walk(u.Unwrap())
			}
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return b.String()
}

func fails(err error) wire {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// timeoutError is what a socket says when its deadline has passed.
type timeoutError struct{}

func (timeoutError) Error() string        { return "i/o timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func endless(r *http.Request) *http.Response {
	a := answer(r, 200, "")
	a.Body, a.ContentLength = io.NopCloser(blanks{}), -1
	return a
}

// Answers that parse but aren't the answer to what was asked.
func TestAnswersThatMakeNoSense(t *testing.T) {
	wrapped := []byte("wrapped")
	reEncrypt := func(source, key string, wrapped []byte) string {
		return fmt.Sprintf(`{"SourceKeyId":%q,"KeyId":%q,"CiphertextBlob":%q}`, source, key, base64.StdEncoding.EncodeToString(wrapped))
	}
	all := calls(wrapped)
	generate, unwrap, rewrap, check, resolve, wrap := all[0], all[1], all[2], all[3], all[4], all[5]
	for _, c := range []struct {
		name string
		call call
		body string
		says string
	}{
		{"another key", generate, dataKey(arnB, plainKey, wrapped), "another key"},
		{"no key ID", generate, dataKey("", plainKey, wrapped), "another key"},
		{"key ID instead of ARN", generate, dataKey(arnA[len(arnA)-36:], plainKey, wrapped), "another key"},
		{"an alias", generate, dataKey("arn:aws:kms:eu-central-1:111122223333:alias/crm", plainKey, wrapped), "another key"},
		{"31 bytes", generate, dataKey(arnA, plainKey[:31], wrapped), "31 bytes"},
		{"33 bytes", generate, dataKey(arnA, append(plainKey[:32:32], 1), wrapped), "33 bytes"},
		{"16 bytes", generate, dataKey(arnA, plainKey[:16], wrapped), "16 bytes"},
		{"0 bytes", generate, dataKey(arnA, nil, wrapped), "0 bytes"},
		{"nothing wrapped", generate, dataKey(arnA, plainKey, nil), "wrapped key has 0 bytes"},
		{"too long wrapped", generate, dataKey(arnA, plainKey, make([]byte, 6145)), "6145 bytes"},
		{"wrapped under another key", wrap, dataKey(arnB, nil, wrapped), "another key"},
		{"wrapped under no key", wrap, dataKey("", nil, wrapped), "another key"},
		{"wrapped to nothing", wrap, dataKey(arnA, nil, nil), "wrapped key has 0 bytes"},
		{"wrapped to too much", wrap, dataKey(arnA, nil, make([]byte, 6145)), "6145 bytes"},
		{"another key", unwrap, dataKey(arnB, plainKey, nil), "another key"},
		{"another key, wrong length", unwrap, dataKey(arnB, plainKey[:31], nil), "another key"},
		{"0 bytes", unwrap, dataKey(arnA, nil, nil), "no data key"},
		{"another source", rewrap, reEncrypt(arnB, arnB, wrapped), "another key"},
		{"another destination", rewrap, reEncrypt(arnA, arnA, wrapped), "another key"},
		{"nothing rewrapped", rewrap, reEncrypt(arnA, arnB, nil), "wrapped key has 0 bytes"},
		{"too long rewrapped", rewrap, reEncrypt(arnA, arnB, make([]byte, 6145)), "6145 bytes"},
		{"another key", check, `{"KeyMetadata":{"Arn":"` + arnB + `","KeyState":"Enabled","KeyUsage":"ENCRYPT_DECRYPT","KeySpec":"SYMMETRIC_DEFAULT"}}`, "another key"},
		{"no metadata", check, `{}`, "no key"},
		{"no metadata", resolve, `{}`, "no key"},
		{"no ARN", resolve, `{"KeyMetadata":{"KeyId":"x"}}`, "ARN"},
		{"an alias", resolve, `{"KeyMetadata":{"Arn":"arn:aws:kms:eu-central-1:111122223333:alias/crm"}}`, "ARN"},
		{"another region", resolve, `{"KeyMetadata":{"Arn":"` + strings.Replace(arnA, region, "us-east-1", 1) + `"}}`, "another region"},
	} {
		t.Run(c.call.name+"/"+c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				err := c.call.do(t.Context(), newOn(t, always(200, c.body), nil))
				require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
				require.ErrorContains(t, err, c.says)
				noSecrets(t, everythingIn(err))
			})
		})
	}
	t.Run("control", func(t *testing.T) {
		require.NoError(t, generate.do(t.Context(), newOn(t, always(200, dataKey(arnA, plainKey, wrapped)), nil)))
		require.NoError(t, unwrap.do(t.Context(), newOn(t, always(200, dataKey(arnA, plainKey, nil)), nil)))
		require.NoError(t, rewrap.do(t.Context(), newOn(t, always(200, reEncrypt(arnA, arnB, wrapped)), nil)))
	})
}

// Somebody who may encrypt under the root key can have anything wrapped. That
// is final: it must not cost each reader the time of an outage.
func TestWrappedKeyThatIsNoDataKey(t *testing.T) {
	for _, n := range []int{1, 16, 31, 33, 64, 4096} {
		sent := 0
		p := newOn(t, counting(&sent, always(200, dataKey(arnA, make([]byte, n), nil))), nil)
		_, err := p.Unwrap(t.Context(), keyA, []byte("wrapped"), ec)
		require.Equal(t, kmsprovider.ErrInvalidCiphertext, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, fmt.Sprintf("%d bytes", n))
		require.Equal(t, 1, sent)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	describe := func(state, usage, spec, more string) string {
		return fmt.Sprintf(`{"KeyMetadata":{"Arn":%q,"KeyState":%q,"KeyUsage":%q,"KeySpec":%q%s}}`, arnA, state, usage, spec, more)
	}
	for _, c := range []struct{ name, body, says string }{
		{"disabled", describe("Disabled", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "kms:EnableKey"},
		{"pending deletion", describe("PendingDeletion", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", `,"DeletionDate":1735689600`), "pending deletion on 2025-01-01"},
		{"pending deletion without a date", describe("PendingDeletion", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "pending deletion:"},
		{"replica pending deletion", describe("PendingReplicaDeletion", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "pending deletion"},
		{"pending import", describe("PendingImport", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "import"},
		{"key store away", describe("Unavailable", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "key store"},
		{"creating", describe("Creating", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "Creating"},
		{"no state", describe("", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", ""), "state"},
		{"signing key", describe("Enabled", "SIGN_VERIFY", "ECC_NIST_P256", ""), "SIGN_VERIFY"},
		{"HMAC key", describe("Enabled", "GENERATE_VERIFY_MAC", "HMAC_256", ""), "GENERATE_VERIFY_MAC"},
		{"asymmetric encryption key", describe("Enabled", "ENCRYPT_DECRYPT", "RSA_4096", ""), "RSA_4096"},
		{"no usage", describe("Enabled", "", "SYMMETRIC_DEFAULT", ""), "ENCRYPT_DECRYPT"},
		{"no spec", describe("Enabled", "ENCRYPT_DECRYPT", "", ""), "SYMMETRIC_DEFAULT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := newOn(t, always(200, c.body), nil).Check(t.Context(), keyA)
			require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
		})
	}
	for _, state := range []string{"Enabled", "Updating"} {
		require.NoError(t, newOn(t, always(200, describe(state, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "")), nil).Check(t.Context(), keyA))
	}
}

// A caller that goes away gets its own context's error whatever KMS was doing,
// unless KMS has given a clear answer.
func TestCallersContext(t *testing.T) {
	hang := wire(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	faults := map[string]wire{
		"hang":     hang,
		"drop":     fails(io.EOF),
		"5xx":      always(500, apiError("KMSInternalException", "x")),
		"throttle": always(400, apiError("ThrottlingException", "x")),
		"nonsense": always(200, "{}"),
	}
	for name, w := range faults {
		t.Run("cancel during "+name, func(t *testing.T) {
			for _, c := range calls([]byte("wrapped")) {
				bubble.Test(t, func(t *testing.T) {
					p := newOn(t, w, nil)
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(777*time.Millisecond, cancel)
					start := time.Now()
					err := c.do(ctx, p)
					require.Equal(t, context.Canceled, providertest.ClassOf(err), "%s: %v", c.name, err)
					require.Equal(t, 777*time.Millisecond, time.Since(start), "%s", c.name)
				})
			}
		})
		t.Run("deadline during "+name, func(t *testing.T) {
			for _, c := range calls([]byte("wrapped")) {
				bubble.Test(t, func(t *testing.T) {
					p := newOn(t, w, nil)
					ctx, cancel := context.WithTimeout(t.Context(), 777*time.Millisecond)
					defer cancel()
					start := time.Now()
					err := c.do(ctx, p)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Equal(t, 777*time.Millisecond, time.Since(start), "%s", c.name)
					require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
					require.Equal(t, name == "throttle", errors.Is(err, kmsprovider.ErrThrottled), "%s: %v", c.name, err)
				})
			}
		})
	}
	t.Run("deadline just before ours", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 1950*time.Millisecond)
			defer cancel()
			err := generate(ctx, newOn(t, hang, nil))
			require.Equal(t, context.DeadlineExceeded, providertest.ClassOf(err), "%v", err)
		})
	})
	t.Run("deadline that its timer hasn't noticed", func(t *testing.T) {
		requests := 0
		err := generate(lateContext{t.Context()}, newOn(t, counting(&requests, hang), nil))
		require.Equal(t, context.DeadlineExceeded, providertest.ClassOf(err), "%v", err)
		require.Zero(t, requests)
	})
	t.Run("ended before the call", func(t *testing.T) {
		requests := 0
		p := newOn(t, counting(&requests, always(500, "")), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range calls([]byte("wrapped")) {
			require.Equal(t, context.Canceled, providertest.ClassOf(c.do(ctx, p)), c.name)
		}
		require.Zero(t, requests)
	})
	t.Run("a clear answer at the last moment", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newOn(t, func(r *http.Request) (*http.Response, error) {
			cancel()
			return answer(r, 400, apiError("DisabledException", "x")), nil
		}, nil)
		_, err := p.GenerateDataKey(ctx, keyA, ec)
		require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
	})
}

// A lateContext is past its deadline, and doesn't know it yet.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Nanosecond), true }

func TestRequestID(t *testing.T) {
	require.Empty(t, awskms.RequestID(nil))
	require.Empty(t, awskms.RequestID(errors.New("x")))
	_, err := newOn(t, fails(io.EOF), &awskms.Options{UnreachableAfter: time.Millisecond}).GenerateDataKey(t.Context(), keyA, ec)
	require.Error(t, err)
	require.Empty(t, awskms.RequestID(err))
	_, err = newOn(t, always(400, apiError("DisabledException", "x")), nil).GenerateDataKey(t.Context(), keyA, ec)
	require.Equal(t, "11112222-3333-4444-5555-666677778888", awskms.RequestID(fmt.Errorf("wrapped once more: %w", err)))
}

func TestErrorText(t *testing.T) {
	_, err := newOn(t, always(400, apiError("AccessDeniedException", "User: arn:aws:iam::111122223333:user/crm is not authorized")), nil).Unwrap(t.Context(), keyA, []byte("wrapped"), ec)
	require.EqualError(t, err, "awskms: decrypt under "+keyA+": access denied (request ID 11112222-3333-4444-5555-666677778888): "+
		"grant kms:Decrypt to the caller, in its IAM policies and in the key's policy "+
		"[AccessDeniedException: User: arn:aws:iam::111122223333:user/crm is not authorized]")

	// Text from outside can't forge lines of a log, nor flood it.
	_, err = newOn(t, always(400, apiError("AccessDeniedException", "a\nb\x1b[31m"+strings.Repeat("x", 10_000))), nil).Unwrap(t.Context(), keyA, []byte("wrapped"), ec)
	require.Less(t, len(err.Error()), 1500)
	_, err2 := newOn(t, good, nil).Unwrap(t.Context(), "aws-kms://\n\x00\xff"+strings.Repeat("y", 10_000), []byte("wrapped"), ec)
	require.Less(t, len(err2.Error()), 1500)
	for _, err := range []error{err, err2} {
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x1b")
		require.NotContains(t, err.Error(), "\x00")
		require.True(t, utf8.ValidString(err.Error()))
	}
}
