// Package awskms keeps root keys in AWS KMS, with the AWS SDK for Go v2.
//
// [Open] takes credentials and region from where every AWS tool takes them
// (environment, profile, instance role); [New] takes a configuration that the
// application has loaded itself. Both check at once what can be checked without
// a call: a region is set, and the endpoint is HTTPS or on this machine.
//
// # Root keys
//
// A root key is named by "aws-kms://" and the key's ARN, as in
// aws-kms://arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab.
// It must be a symmetric encryption key in the region of the provider. Where a
// data key is made, aws-kms://alias/NAME and the ARN of an alias are accepted
// too: the alias is looked up once and pinned, and the data key comes back
// under the key's own URI, which is the one to store. What is stored never
// names an alias: before an alias is moved to another key, list the one that it
// leaves among those to open with.
//
// The caller needs kms:GenerateDataKey, kms:Decrypt and kms:DescribeKey, and
// for a change of root keys kms:ReEncryptFrom and kms:ReEncryptTo. Only data
// keys that come from another key service need kms:Encrypt. [Provider.Policy]
// writes this down for given root keys.
//
// # Errors
//
// Each error matches exactly one class of package kmsprovider, or is the
// caller's own [context.Canceled] or [context.DeadlineExceeded]. One case is
// both: a call that KMS throttled until the caller's deadline matches
// [kmsprovider.ErrThrottled] and context.DeadlineExceeded. The SDK's error is
// in the chain where the service has given one, for
// errors.As with smithy.APIError; [RequestID] finds the ID to give AWS support.
//
// # Retries
//
// A service that can't be reached, fails or gives nonsense is tried again for
// [Options.UnreachableAfter] in all; a service that throttles is tried, with
// exponential back-off and full jitter, until the caller's deadline, or for
// [Options.ThrottledFor] if it has none. Refusals are never tried again. The
// SDK's own retries are off, and retry settings of the AWS configuration have no
// effect.
//
// While KMS throttles, all callers of a Provider share a limit: about two calls
// are made for each that KMS takes, those of the oldest callers first. A root key
// that is throttled by itself doesn't hold up others.
package awskms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Options says what the AWS configuration doesn't. The zero value is right for
// most.
type Options struct {
	// Endpoint is the URL of KMS, for emulators and VPC endpoints. Empty means
	// what the AWS configuration says (AWS_ENDPOINT_URL_KMS among others), or
	// AWS's own.
	Endpoint string

	// AllowPlaintextHTTPEndpoint permits an endpoint without TLS that is not
	// on this machine (127.0.0.0/8, ::1, localhost). Whoever can read that
	// network reads the data keys. It is for emulators in test networks.
	AllowPlaintextHTTPEndpoint bool

	// AssumeRoleARN is a role to assume for all calls, with the credentials of
	// the AWS configuration; ExternalID goes with it if its trust policy asks
	// for one.
	AssumeRoleARN string
	ExternalID    string

	// UnreachableAfter bounds how long a call goes on without hearing from KMS
	// before it fails with kmsprovider.ErrUnavailable; 0 means 2 seconds. One
	// attempt takes at most half of it.
	UnreachableAfter time.Duration

	// ThrottledFor bounds how long a call goes on while KMS throttles it, if the
	// caller's context has no deadline, before it fails with
	// kmsprovider.ErrThrottled; 0 means 30 seconds. With a deadline, the
	// deadline bounds it.
	ThrottledFor time.Duration

	// Replicas maps the ARN of a multi-Region root key to the ARN of its
	// replica in this provider's region, which is called in its place. The
	// root key keeps its name: data keys made by the replica are stored under
	// the URI of the root key.
	Replicas map[string]string
}

// A Provider makes and unwraps data keys with AWS KMS. It implements
// kmsprovider.Provider, Rewrapper, Wrapper, Checker, Resolver, Examiner and
// PolicyWriter, is safe for concurrent use, and prints neither credentials nor
// settings.
type Provider struct {
	client           *kms.Client
	region           string
	endpoint         string // scheme and host
	role             string // the ARN of the role to assume, if there is one
	replicas         map[string]string
	unreachableAfter time.Duration
	throttledFor     time.Duration
	pins             pins
	limiter          *limiter
}

var (
	_ kmsprovider.Provider     = (*Provider)(nil)
	_ kmsprovider.Rewrapper    = (*Provider)(nil)
	_ kmsprovider.Wrapper      = (*Provider)(nil)
	_ kmsprovider.Checker      = (*Provider)(nil)
	_ kmsprovider.Resolver     = (*Provider)(nil)
	_ kmsprovider.Examiner     = (*Provider)(nil)
	_ kmsprovider.PolicyWriter = (*Provider)(nil)
)

// Open returns a Provider with the default AWS configuration: environment,
// shared files, container and instance roles. ctx bounds the loading only; KMS
// is not called. opts may be nil.
func Open(ctx context.Context, opts *Options) (*Provider, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("awskms: load the AWS configuration: %w", err)
	}
	return New(cfg, opts)
}

// New returns a Provider with the given AWS configuration, which it copies. KMS
// is not called. opts may be nil. The configuration's retry settings have no
// effect, and its logger never gets the bodies of requests and answers, which
// hold keys.
func New(cfg aws.Config, opts *Options) (*Provider, error) {
	if opts == nil {
		opts = &Options{}
	}
	p, err := newProvider(cfg.Copy(), *opts)
	if err != nil {
		return nil, fmt.Errorf("awskms: %w", err)
	}
	return p, nil
}

func newProvider(cfg aws.Config, o Options) (*Provider, error) {
	switch {
	case cfg.Region == "":
		return nil, errors.New("no AWS region: set AWS_REGION, or region in the profile, or aws.Config.Region")
	case cfg.Credentials == nil || aws.IsCredentialsProvider(cfg.Credentials, (*aws.AnonymousCredentials)(nil)):
		return nil, errors.New("no credentials provider in the AWS configuration: load it with config.LoadDefaultConfig, or set aws.Config.Credentials")
	case o.UnreachableAfter < 0 || o.ThrottledFor < 0:
		return nil, errors.New("Options.UnreachableAfter and ThrottledFor must not be negative")
	case o.ExternalID != "" && o.AssumeRoleARN == "":
		return nil, errors.New("Options.ExternalID is for a role: set Options.AssumeRoleARN")
	}
	if o.Endpoint != "" {
		if err := checkEndpoint(o.Endpoint); err != nil {
			return nil, err
		}
	}
	if o.AssumeRoleARN != "" {
		roleCredentials, err := credentialsOfRole(cfg, o)
		if err != nil {
			return nil, err
		}
		cfg.Credentials = roleCredentials
	}
	client := kms.NewFromConfig(cfg, func(ko *kms.Options) {
		if o.Endpoint != "" {
			ko.BaseEndpoint = aws.String(o.Endpoint)
		}
		ko.Retryer, ko.RetryMaxAttempts = aws.NopRetryer{}, 0
		withoutBodies(&ko.ClientLogMode)
		ko.Credentials = &credentialsSource{from: cfg.Credentials}
		ko.HTTPClient = guard{next: ko.HTTPClient, allowPlain: o.AllowPlaintextHTTPEndpoint}
	})
	endpoint, err := kmsEndpoint(client)
	if err != nil {
		return nil, err
	}
	if err := checkPlaintext(endpoint, o.AllowPlaintextHTTPEndpoint); err != nil {
		return nil, err
	}
	p := &Provider{
		client:           client,
		region:           client.Options().Region,
		endpoint:         endpoint.Scheme + "://" + endpoint.Host,
		role:             o.AssumeRoleARN,
		unreachableAfter: cmp.Or(o.UnreachableAfter, defaultUnreachableAfter),
		throttledFor:     cmp.Or(o.ThrottledFor, defaultThrottledFor),
		pins:             pins{keys: map[string]name{}, flights: map[string]*flight{}},
		limiter:          newLimiter(),
	}
	p.replicas, err = replicas(o.Replicas, p.region)
	return p, err
}

// withoutBodies takes what holds keys out of the SDK's log: answers hold new
// and unwrapped ones, requests those that are to be wrapped.
func withoutBodies(mode *aws.ClientLogMode) {
	if mode.IsRequestWithBody() {
		*mode |= aws.LogRequest
	}
	mode.ClearRequestWithBody()
	mode.ClearResponseWithBody()
}

func credentialsOfRole(cfg aws.Config, o Options) (aws.CredentialsProvider, error) {
	client := sts.NewFromConfig(cfg, func(so *sts.Options) {
		so.ClientLogMode.ClearResponseWithBody()
		so.HTTPClient = guard{next: so.HTTPClient, allowPlain: o.AllowPlaintextHTTPEndpoint}
	})
	endpoint, err := stsEndpoint(client)
	if err != nil {
		return nil, err
	}
	if err := checkPlaintext(endpoint, o.AllowPlaintextHTTPEndpoint); err != nil {
		return nil, err
	}
	return assumeRole(client, o.AssumeRoleARN, o.ExternalID), nil
}

// Location returns the region that the Provider calls. Package residency holds it
// to that.
func (p *Provider) Location() string { return p.region }

// Format implements fmt.Formatter: no verb prints credentials.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.describe()) }

// LogValue implements slog.LogValuer.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(p.describe()) }

func (p *Provider) describe() string {
	if p == nil {
		return "awskms.Provider(nil)"
	}
	as := ""
	if p.role != "" { // two that differ in nothing else are common
		as = ", as " + printable(p.role)
	}
	return "awskms.Provider(" + p.region + ", " + p.endpoint + as + ")"
}
