package awskms

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A credentialsSource marks the errors of a credentials provider, which are
// told from those of KMS itself by that mark alone.
type credentialsSource struct {
	from aws.CredentialsProvider
	had  atomic.Bool // it has given credentials before
}

// A credentialsError says that no credentials could be had.
type credentialsError struct {
	err error
	had bool
}

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func (s *credentialsSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := s.from.Retrieve(ctx)
	if err != nil {
		return creds, &credentialsError{err: err, had: s.had.Load()}
	}
	s.had.Store(true)
	return creds, nil
}

// assumeRole returns a source of credentials for the role, which renews them.
func assumeRole(client *sts.Client, roleARN, externalID string) aws.CredentialsProvider {
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "fieldcrypt"
		if externalID != "" {
			o.ExternalID = aws.String(externalID)
		}
	}))
}

// classifyCredentials tells "there are none" and "AWS refuses them", which are
// ErrDenied, from an outage of the service that issues them.
func classifyCredentials(op operation, ce *credentialsError) failure {
	if process, ok := errors.AsType[*processcreds.ProviderError](ce.err); ok && process != nil {
		// Its text can hold what the process printed: the credentials.
		return failure{class: kmsprovider.ErrDenied, what: "no AWS credentials", advice: "the credential_process of the profile in use failed: run it by hand"}
	}
	if _, ok := errors.AsType[smithy.APIError](ce.err); ok {
		f := classifyCause(op, ce.err)
		f.what, f.advice = "no AWS credentials: "+f.what, ""
		if !errors.Is(f.class, kmsprovider.ErrThrottled) && !errors.Is(f.class, kmsprovider.ErrUnavailable) {
			f.class, f.advice = kmsprovider.ErrDenied, "check the trust policy of the role, its external ID, and the right to assume it"
		}
		return f
	}
	f := failure{
		class:  kmsprovider.ErrDenied,
		what:   "no AWS credentials",
		advice: "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
		detail: printable(ce.err.Error()),
		cause:  ce.err,
	}
	// A machine that isn't in EC2 has no metadata service to ask: that is no
	// outage, unless the service has answered before.
	if isOutage(ce.err) && (ce.had || !fromMetadataService(ce.err)) {
		f.class, f.what = kmsprovider.ErrUnavailable, "AWS credentials couldn't be had in time"
	}
	return f
}

// isOutage reports whether err says that a service couldn't be reached, gave
// no answer in time, or failed.
func isOutage(err error) bool {
	_, unsent := errors.AsType[*smithyhttp.RequestSendError](err)
	return unsent || statusOf(err) >= http.StatusInternalServerError ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fromMetadataService reports whether any error in the chain is one of a call
// to the instance metadata service.
func fromMetadataService(err error) bool {
	for {
		call, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return false
		}
		if call.ServiceID == imds.ServiceID {
			return true
		}
		err = call.Err
	}
}
