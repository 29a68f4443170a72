package awskms

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithy "github.com/aws/smithy-go"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A failure is what classify made of an error.
type failure struct {
	class     error // a class of kmsprovider, or the caller's own context error
	also      error // context.DeadlineExceeded beside ErrThrottled; else nil
	what      string
	advice    string
	detail    string // the cause in its own words
	requestID string
	cause     error // the SDK's error; nil if it isn't fit for the chain
	skewed    bool  // the SDK saw that the clock is wrong, and has corrected itself
}

// An answerError is an answer of the service that makes no sense.
type answerError string

func (e answerError) Error() string { return string(e) }

// A contentError is a wrapped key that KMS could unwrap, but which holds this
// many bytes and so is no data key.
type contentError int

func (e contentError) Error() string {
	return fmt.Sprintf("it holds %d bytes instead of the %d of a data key", int(e), kmsprovider.DataKeySize)
}

// classify gives err, with which an attempt at op has ended, exactly one
// class. caller is the caller's context, not the attempt's.
func classify(caller context.Context, op operation, err error) failure {
	f := classifyCause(op, err)
	f.requestID = printable(RequestID(err))
	if errors.Is(f.class, kmsprovider.ErrUnavailable) {
		// What looks like an outage may be the caller's own doing. A clear
		// answer stays what it is, even if it came at the last moment.
		if end := ended(caller); end != nil {
			return failure{class: end, what: end.Error()}
		}
	}
	// The end of an attempt's context, or of a socket's deadline (which claims
	// to be context.DeadlineExceeded), must not pass for the caller's.
	if errors.Is(f.cause, context.Canceled) || errors.Is(f.cause, context.DeadlineExceeded) {
		f.cause = nil
	}
	return f
}

// ended returns how the caller's context ended, or nil. A socket can notice a
// deadline before the context's own timer has fired.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func classifyCause(op operation, err error) failure {
	if ce, ok := errors.AsType[*credentialsError](err); ok {
		return classifyCredentials(op, ce)
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		return classifyAPI(op, api, err)
	}
	if answer, ok := errors.AsType[answerError](err); ok {
		return failure{class: kmsprovider.ErrUnavailable, what: "the answer makes no sense: " + string(answer)}
	}
	if content, ok := errors.AsType[contentError](err); ok {
		return failure{class: kmsprovider.ErrInvalidCiphertext, what: "the wrapped key is no data key: " + content.Error()}
	}
	if status := statusOf(err); status != 0 {
		return classifyStatus(status)
	}
	return classifyNetwork(err)
}

// refusals holds the error codes of KMS and of AWS's common errors that don't
// follow from the HTTP status: 4xx is ErrDenied, 5xx ErrUnavailable.
var refusals = map[string]failure{
	"InvalidCiphertextException": {class: kmsprovider.ErrInvalidCiphertext, what: "ciphertext not accepted", advice: "the wrapped key is damaged, was made under another root key, or was bound to another encryption context"},
	"IncorrectKeyException":      {class: kmsprovider.ErrInvalidCiphertext, what: "ciphertext of another key", advice: "the wrapped key was made under another root key"},

	"DisabledException":             {class: kmsprovider.ErrKeyUnusable, what: "the root key is disabled", advice: "enable it with kms:EnableKey"},
	"KMSInvalidStateException":      {class: kmsprovider.ErrKeyUnusable, what: "the root key is pending deletion, or in another state that forbids the call", advice: "cancel the deletion with kms:CancelKeyDeletion while it is pending"},
	"NotFoundException":             {class: kmsprovider.ErrKeyUnusable, what: "no such root key or alias", advice: "check the account, region and key ID in the configuration"},
	"InvalidArnException":           {class: kmsprovider.ErrKeyUnusable, what: "KMS takes no such ARN", advice: "check the root key's ARN in the configuration"},
	"InvalidKeyUsageException":      {class: kmsprovider.ErrKeyUnusable, what: "the root key is of the wrong kind", advice: wantedKind},
	"UnsupportedOperationException": {class: kmsprovider.ErrKeyUnusable, what: "the root key doesn't support the call", advice: wantedKind},

	"KeyUnavailableException":    {class: kmsprovider.ErrUnavailable, what: "the root key is not available for now"},
	"DependencyTimeoutException": {class: kmsprovider.ErrUnavailable, what: "KMS timed out internally"},
	"KMSInternalException":       {class: kmsprovider.ErrUnavailable, what: "KMS failed internally"},
	"InternalFailure":            {class: kmsprovider.ErrUnavailable, what: "KMS failed internally"},
	"ServiceUnavailable":         {class: kmsprovider.ErrUnavailable, what: "KMS is not available"},

	"UnrecognizedClientException": {class: kmsprovider.ErrDenied, what: badCredentials, advice: otherCredentials},
	"InvalidClientTokenId":        {class: kmsprovider.ErrDenied, what: badCredentials, advice: otherCredentials},
	"MissingAuthenticationToken":  {class: kmsprovider.ErrDenied, what: badCredentials, advice: otherCredentials},
	"IncompleteSignature":         {class: kmsprovider.ErrDenied, what: badCredentials, advice: otherCredentials},
	"InvalidSignatureException":   {class: kmsprovider.ErrDenied, what: badCredentials, advice: otherCredentials + ", and this machine's clock"},
	"ExpiredTokenException":       {class: kmsprovider.ErrDenied, what: "the AWS credentials have expired", advice: "renew them, or use a source that renews itself, such as a role"},
}

const (
	throttledAdvice  = "ask for a higher KMS request quota, or cache data keys longer"
	wantedKind       = "a root key is a symmetric encryption key: KeySpec SYMMETRIC_DEFAULT, KeyUsage ENCRYPT_DECRYPT"
	badCredentials   = "AWS doesn't accept the credentials"
	otherCredentials = "check which credentials are in use"
)

func classifyAPI(op operation, api smithy.APIError, err error) failure {
	code := api.ErrorCode()
	f, known := refusals[code]
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	_, timedOut := retry.DefaultRetryableErrorCodes[code]
	status := statusOf(err)
	switch {
	case code == "KMSInvalidStateException":
		f = invalidState(api.ErrorMessage())
	case known:
	case throttled || status == http.StatusTooManyRequests:
		f = failure{class: kmsprovider.ErrThrottled, what: "throttled", advice: throttledAdvice}
	case timedOut || status >= http.StatusInternalServerError:
		f = failure{class: kmsprovider.ErrUnavailable, what: "KMS failed"}
	default:
		f = failure{
			class:  kmsprovider.ErrDenied,
			what:   "access denied",
			advice: "grant " + op.permission + " to the caller, in its IAM policies and in the key's policy",
		}
		if code != "AccessDeniedException" {
			f.what, f.advice = "refused", ""
		}
	}
	var skew interface{ RetryableError() bool }
	f.skewed = errors.Is(f.class, kmsprovider.ErrDenied) && errors.As(err, &skew) && skew.RetryableError()
	message := api.ErrorMessage()
	f.cause = err
	if echoes(message) {
		message = "its message holds what the request was signed with, and isn't shown"
		f.cause = &smithy.GenericAPIError{Code: code, Message: message}
	}
	f.detail = printable(code + ": " + message)
	return f
}

// echoes reports a message that repeats the request's headers, as AWS's about
// wrong signatures do: they hold the session token.
func echoes(message string) bool {
	message = strings.ToLower(message)
	for _, words := range []string{"x-amz-security-token", "canonical string", "authorization header"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

// states tells by words in a message what a KMSInvalidStateException is about.
// KMS gives the same code for a key that is pending deletion, for one whose
// custom key store is disconnected, and for all that an external key store
// answers: also that its owner has revoked the key. The first that matches counts:
// a refusal before an outage.
var states = []struct {
	words []string
	failure
}{
	{
		[]string{"pending deletion", "pendingdeletion", "pending replica deletion", "pendingreplicadeletion", "pending import", "pendingimport", "disabled"},
		refusals["KMSInvalidStateException"],
	},
	{
		[]string{"denied access", "could not authenticate"},
		failure{class: kmsprovider.ErrDenied, what: "the external key store refused the call", advice: "its owner decides who may use the key"},
	},
	{
		[]string{"not enabled", "could not find the external key", "does not support"},
		failure{class: kmsprovider.ErrKeyUnusable, what: "the external key of the root key can't be used", advice: "its owner can enable it in the external key manager"},
	},
	{
		[]string{"ciphertext"},
		refusals["InvalidCiphertextException"],
	},
	{
		[]string{"high request rate"},
		failure{class: kmsprovider.ErrThrottled, what: "throttled by the external key store", advice: throttledAdvice},
	},
	{
		[]string{"custom key store", "external key store", "unavailable", "creating", "updating"},
		failure{class: kmsprovider.ErrUnavailable, what: "the root key is not available for now", advice: "look at the key's state, and at its custom key store's connection"},
	},
}

// invalidState judges a KMSInvalidStateException. What it doesn't say clearly is
// taken for a refusal.
func invalidState(message string) failure {
	message = strings.ToLower(message)
	for _, s := range states {
		for _, words := range s.words {
			if strings.Contains(message, words) {
				return s.failure
			}
		}
	}
	return refusals["KMSInvalidStateException"]
}

// statusOf returns the HTTP status of the answer that err is about, or 0.
func statusOf(err error) int {
	var with interface{ HTTPStatusCode() int }
	if errors.As(err, &with) {
		return with.HTTPStatusCode()
	}
	return 0
}

// classifyStatus judges an answer that KMS's protocol doesn't know: it comes
// from something between here and KMS, whatever its status. Its error can hold
// a part of the answer, and so of a key: none of it is kept.
func classifyStatus(status int) failure {
	f := failure{
		class:  kmsprovider.ErrUnavailable,
		what:   fmt.Sprintf("the answer (HTTP status %d) is not one of AWS KMS", status),
		advice: "check for a proxy in between, and the configured endpoint",
	}
	if status == http.StatusTooManyRequests {
		f.class, f.what = kmsprovider.ErrThrottled, "throttled"
	}
	return f
}

func classifyNetwork(err error) failure {
	f := failure{
		class:  kmsprovider.ErrUnavailable,
		what:   "KMS can't be reached",
		advice: "check the network, DNS and the configured endpoint",
		cause:  err,
	}
	// The words of the network layer only: an SDK error around them repeats
	// what this package says already.
	if inner, ok := errors.AsType[*net.OpError](err); ok {
		f.detail = printable(inner.Error())
	} else if inner, ok := errors.AsType[*net.DNSError](err); ok {
		f.detail = printable(inner.Error())
	} else {
		f.detail = printable(err.Error())
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		f.what, f.detail = "KMS didn't answer in time", ""
	}
	return f
}

// printable makes text from outside fit for one line of a log.
func printable(s string) string {
	const most = 600
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // controls, line separators, marks that turn the text around
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
