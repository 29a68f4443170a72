package awskms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswer is more bytes than any answer has that this package asks for.
const maxAnswer = 256 << 10

// An httpClient is the SDK's own interface, which it exports several times.
type httpClient interface {
	Do(*http.Request) (*http.Response, error)
}

// A guard is the last stop before the network, after every setting and
// middleware that could still change where a request goes.
type guard struct {
	next       httpClient
	allowPlain bool
}

func (g guard) Do(r *http.Request) (*http.Response, error) {
	if err := checkPlaintext(r.URL, g.allowPlain); err != nil {
		return nil, err
	}
	answer, err := g.next.Do(r)
	if answer != nil && answer.Body != nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

func checkPlaintext(u *url.URL, allow bool) error {
	if u.Scheme == "https" || allow {
		return nil
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("the endpoint %s://%s is not HTTPS: data keys and credentials would cross the network in the clear; use https, or set Options.AllowPlaintextHTTPEndpoint for an emulator in a network of your own", u.Scheme, u.Host)
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("Options.Endpoint must be a URL such as https://kms.eu-central-1.amazonaws.com or http://127.0.0.1:4566")
	}
	return nil
}

var errProbed = errors.New("a probe is never sent")

// A probe stands for the network and learns where a request would go.
type probe struct{ to *url.URL }

func (p *probe) Do(r *http.Request) (*http.Response, error) {
	p.to = r.URL
	return nil, errProbed
}

// probeCredentials let the probe be signed without a call for real ones.
var probeCredentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "PROBE-NEVER-SENT", SecretAccessKey: "PROBE-NEVER-SENT"}, nil
})

// kmsEndpoint returns where the client sends its requests. Region, FIPS,
// environment, shared configuration, base endpoint and resolvers all have a
// say in that, so the client itself is asked.
func kmsEndpoint(client *kms.Client) (*url.URL, error) {
	var p probe
	_, err := client.DescribeKey(context.Background(), &kms.DescribeKeyInput{KeyId: aws.String("probe")}, func(o *kms.Options) {
		o.HTTPClient, o.Credentials, o.Retryer = &p, probeCredentials, aws.NopRetryer{}
		// The application's own hooks have no part in a call that isn't one.
		o.APIOptions, o.Interceptors = []func(*middleware.Stack) error{}, smithyhttp.InterceptorRegistry{}
	})
	return p.found(err)
}

// stsEndpoint does the same for the client that assumes a role.
func stsEndpoint(client *sts.Client) (*url.URL, error) {
	var p probe
	_, err := client.AssumeRole(context.Background(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::111122223333:role/probe"), RoleSessionName: aws.String("probe")}, func(o *sts.Options) {
		o.HTTPClient, o.Credentials, o.Retryer = &p, probeCredentials, aws.NopRetryer{}
		o.APIOptions, o.Interceptors = []func(*middleware.Stack) error{}, smithyhttp.InterceptorRegistry{}
	})
	return p.found(err)
}

func (p *probe) found(err error) (*url.URL, error) {
	if p.to == nil {
		return nil, fmt.Errorf("the AWS configuration gives no endpoint: %w", err)
	}
	return p.to, nil
}
