package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	smithy "github.com/aws/smithy-go"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

func counting(n *int, w wire) wire {
	return func(r *http.Request) (*http.Response, error) {
		*n++
		return w(r)
	}
}

// ownEnvironment keeps the settings of the machine out of a test.
func ownEnvironment(t *testing.T, settings ...string) {
	t.Helper()
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for _, s := range append([]string{
		"AWS_CONFIG_FILE=" + nowhere, "AWS_SHARED_CREDENTIALS_FILE=" + nowhere, "AWS_EC2_METADATA_DISABLED=true",
	}, settings...) {
		name, value, _ := strings.Cut(s, "=")
		t.Setenv(name, value)
	}
}

func TestNewRefuses(t *testing.T) {
	good := configFor(always(200, "{}"))
	for _, c := range []struct {
		name string
		cfg  func(*aws.Config)
		opts awskms.Options
		says string
	}{
		{"no region", func(c *aws.Config) { c.Region = "" }, awskms.Options{}, "AWS_REGION"},
		{"no credentials", func(c *aws.Config) { c.Credentials = nil }, awskms.Options{}, "credentials"},
		{"anonymous", func(c *aws.Config) { c.Credentials = aws.AnonymousCredentials{} }, awskms.Options{}, "credentials"},
		{"negative time", nil, awskms.Options{UnreachableAfter: -1}, "negative"},
		{"negative throttle time", nil, awskms.Options{ThrottledFor: -1}, "negative"},
		{"external ID without role", nil, awskms.Options{ExternalID: "x"}, "AssumeRoleARN"},
		{"endpoint without scheme", nil, awskms.Options{Endpoint: "127.0.0.1:4566"}, "Options.Endpoint"},
		{"endpoint without host", nil, awskms.Options{Endpoint: "https://"}, "Options.Endpoint"},
		{"endpoint with password", nil, awskms.Options{Endpoint: "https://user:pw@kms.example.com"}, "Options.Endpoint"},
		{"endpoint of another scheme", nil, awskms.Options{Endpoint: "ftp://kms.example.com"}, "Options.Endpoint"},
		{"FIPS with an endpoint", func(c *aws.Config) {
			c.ConfigSources = []any{config.EnvConfig{UseFIPSEndpoint: aws.FIPSEndpointStateEnabled}}
		}, awskms.Options{Endpoint: "https://kms.example.com"}, "FIPS"},
		{"replica: no ARN", nil, awskms.Options{Replicas: map[string]string{"x": arnLocal}}, "root key"},
		{"replica: URI instead of ARN", nil, awskms.Options{Replicas: map[string]string{arnMulti: "aws-kms://" + arnLocal}}, "replica"},
		{"replica: single-Region key", nil, awskms.Options{Replicas: map[string]string{arnA: arnLocal}}, "mrk-"},
		{"replica: other key", nil, awskms.Options{Replicas: map[string]string{arnMulti: strings.Replace(arnLocal, "mrk-1", "mrk-2", 1)}}, "not the same key"},
		{"replica: other account", nil, awskms.Options{Replicas: map[string]string{arnMulti: strings.Replace(arnLocal, "1111", "9999", 1)}}, "not the same key"},
		{"replica: elsewhere", nil, awskms.Options{Replicas: map[string]string{arnMulti: strings.Replace(arnLocal, region, "eu-west-1", 1)}}, "eu-west-1"},
		{"replica: of itself", nil, awskms.Options{Replicas: map[string]string{arnLocal: arnLocal}}, "needs no replica"},
		{"replica: an alias", nil, awskms.Options{Replicas: map[string]string{arnMulti: "arn:aws:kms:eu-central-1:111122223333:alias/crm"}}, "mrk-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good.Copy()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			p, err := awskms.New(cfg, &c.opts)
			require.ErrorContains(t, err, "awskms: ")
			require.ErrorContains(t, err, c.says)
			require.Nil(t, p)
		})
	}
	t.Run("control", func(t *testing.T) {
		p, err := awskms.New(good, &awskms.Options{Replicas: map[string]string{arnMulti: arnLocal}, Endpoint: "https://kms.example.com"})
		require.NoError(t, err)
		require.NotNil(t, p)
	})
}

func TestOpen(t *testing.T) {
	t.Run("no region", func(t *testing.T) {
		ownEnvironment(t)
		_, err := awskms.Open(t.Context(), nil)
		require.ErrorContains(t, err, "AWS_REGION")
	})
	t.Run("unreadable profile", func(t *testing.T) {
		ownEnvironment(t, "AWS_PROFILE=none-such")
		_, err := awskms.Open(t.Context(), nil)
		require.ErrorContains(t, err, "load the AWS configuration")
	})
	t.Run("environment", func(t *testing.T) {
		ownEnvironment(t, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID="+accessKeyID, "AWS_SECRET_ACCESS_KEY="+secretKey)
		p, err := awskms.Open(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, "awskms.Provider(eu-west-1, https://kms.eu-west-1.amazonaws.com)", fmt.Sprint(p))
	})
	t.Run("no credentials", func(t *testing.T) {
		ownEnvironment(t, "AWS_REGION="+region)
		p, err := awskms.Open(t.Context(), nil)
		require.NoError(t, err, "credentials may come later")
		_, err = p.GenerateDataKey(t.Context(), keyA, ec)
		require.ErrorIs(t, err, kmsprovider.ErrDenied)
		require.ErrorContains(t, err, "AWS_PROFILE")
	})
}

// A resolverFunc is an endpoint resolver of the application's own.
type resolverFunc func() string

func (f resolverFunc) ResolveEndpoint(context.Context, kms.EndpointParameters) (smithyendpoints.Endpoint, error) {
	u, err := url.Parse(f())
	if err != nil {
		return smithyendpoints.Endpoint{}, err
	}
	return smithyendpoints.Endpoint{URI: *u}, nil
}

func resolver(f resolverFunc) func(string, any) {
	return func(_ string, o any) {
		if o, ok := o.(*kms.Options); ok {
			o.EndpointResolverV2 = f
		}
	}
}

// A3: whoever sees the network must not see keys. The client is asked where it
// really sends, whatever told it to.
func TestPlaintextHTTPIsRefused(t *testing.T) {
	const remote = "http://kms.example.com:4566"
	profile := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(profile, []byte("[default]\nservices = here\n[services here]\nkms =\n  endpoint_url = "+remote+"\n"), 0o600))

	for _, c := range []struct {
		name string
		env  []string
		cfg  func(*aws.Config)
		opts awskms.Options
	}{
		{"option", nil, nil, awskms.Options{Endpoint: remote}},
		{"AWS_ENDPOINT_URL", []string{"AWS_ENDPOINT_URL=" + remote}, nil, awskms.Options{}},
		{"AWS_ENDPOINT_URL_KMS", []string{"AWS_ENDPOINT_URL_KMS=" + remote}, nil, awskms.Options{}},
		{"shared configuration", []string{"AWS_CONFIG_FILE=" + profile}, nil, awskms.Options{}},
		{"base endpoint", nil, func(c *aws.Config) { c.BaseEndpoint = aws.String(remote) }, awskms.Options{}},
		{"resolver", nil, func(c *aws.Config) {
			c.ServiceOptions = append(c.ServiceOptions, resolver(func() string { return remote }))
		}, awskms.Options{}},
		{"a name that begins like loopback", nil, nil, awskms.Options{Endpoint: "http://127.0.0.1.example.com"}},
		{"a name that ends like loopback", nil, nil, awskms.Options{Endpoint: "http://notlocalhost"}},
		{"any address", nil, nil, awskms.Options{Endpoint: "http://0.0.0.0:4566"}},
		{"private address", nil, nil, awskms.Options{Endpoint: "http://10.0.0.1:4566"}},
		{"IPv6", nil, nil, awskms.Options{Endpoint: "http://[2001:db8::1]:4566"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownEnvironment(t, c.env...)
			cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithCredentialsProvider(configFor(nil).Credentials))
			require.NoError(t, err)
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			_, err = awskms.New(cfg, &c.opts)
			require.ErrorContains(t, err, "is not HTTPS")

			// The control: the same settings where plain HTTP is allowed.
			c.opts.AllowPlaintextHTTPEndpoint = true
			_, err = awskms.New(cfg, &c.opts)
			require.NoError(t, err)
		})
	}
	for _, loopback := range []string{"http://127.0.0.1:4566", "http://127.8.9.10", "http://[::1]:4566", "http://localhost:4566"} {
		t.Run("allowed/"+loopback, func(t *testing.T) {
			_, err := awskms.New(configFor(nil), &awskms.Options{Endpoint: loopback})
			require.NoError(t, err)
		})
	}
	t.Run("role", func(t *testing.T) {
		ownEnvironment(t, "AWS_ENDPOINT_URL_STS="+remote)
		cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithCredentialsProvider(configFor(nil).Credentials))
		require.NoError(t, err)
		_, err = awskms.New(cfg, &awskms.Options{AssumeRoleARN: "arn:aws:iam::111122223333:role/crm"})
		require.ErrorContains(t, err, "is not HTTPS")
	})
	t.Run("changed later", func(t *testing.T) {
		// A resolver that changes its mind after New is stopped at the last
		// gate before the network.
		to := "https://kms.example.com"
		requests := 0
		cfg := configFor(counting(&requests, always(400, apiError("NotFoundException", "no"))))
		cfg.ServiceOptions = append(cfg.ServiceOptions, resolver(func() string { return to }))
		p, err := awskms.New(cfg, &awskms.Options{UnreachableAfter: 100 * time.Millisecond})
		require.NoError(t, err)
		require.ErrorIs(t, p.Check(t.Context(), keyA), kmsprovider.ErrKeyUnusable)
		require.Equal(t, 1, requests)
		to = remote
		err = p.Check(t.Context(), keyA)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.ErrorContains(t, err, "is not HTTPS")
		require.Equal(t, 1, requests, "a request left in the clear")
	})
}

// What the SDK makes of regions, FIPS and roles must survive this package.
func TestWhereCallsGo(t *testing.T) {
	const uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, c := range []struct {
		name, region, arn, host string
		env                     []string
		load                    []func(*config.LoadOptions) error
	}{
		{name: "standard", region: region, arn: arnA, host: "kms.eu-central-1.amazonaws.com"},
		{name: "FIPS option", region: "us-east-1", arn: "arn:aws:kms:us-east-1:111122223333:key/" + uuid, host: "kms-fips.us-east-1.amazonaws.com", load: []func(*config.LoadOptions) error{config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled)}},
		{name: "FIPS environment", region: "us-west-2", arn: "arn:aws:kms:us-west-2:111122223333:key/" + uuid, host: "kms-fips.us-west-2.amazonaws.com", env: []string{"AWS_USE_FIPS_ENDPOINT=true"}},
		{name: "GovCloud", region: "us-gov-west-1", arn: "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" + uuid, host: "kms.us-gov-west-1.amazonaws.com"},
		{name: "China", region: "cn-north-1", arn: "arn:aws-cn:kms:cn-north-1:111122223333:key/" + uuid, host: "kms.cn-north-1.amazonaws.com.cn"},
		{name: "another account's key", region: region, arn: "arn:aws:kms:eu-central-1:999988887777:key/" + uuid, host: "kms.eu-central-1.amazonaws.com"},
		{name: "endpoint of the environment", region: region, arn: arnA, host: "vpce-1.kms.example.com", env: []string{"AWS_ENDPOINT_URL_KMS=https://vpce-1.kms.example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownEnvironment(t, c.env...)
			var sent []string
			w := wire(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				sent = append(sent, r.URL.Scheme+" "+r.URL.Host)
				require.Contains(t, string(body), c.arn)
				return answer(r, 200, dataKey(c.arn, plainKey, []byte("wrapped"))), nil
			})
			cfg, err := config.LoadDefaultConfig(t.Context(), append(c.load, config.WithRegion(c.region), config.WithHTTPClient(w),
				config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(accessKeyID, secretKey, "")))...)
			require.NoError(t, err)
			p, err := awskms.New(cfg, nil)
			require.NoError(t, err)
			require.Empty(t, sent, "New made a call")
			dk, err := p.GenerateDataKey(t.Context(), "aws-kms://"+c.arn, ec)
			require.NoError(t, err)
			require.Equal(t, "aws-kms://"+c.arn, dk.RootKey)
			require.Equal(t, []string{"https " + c.host}, sent)
		})
	}
}

func TestAssumeRole(t *testing.T) {
	const role = "arn:aws:iam::999988887777:role/crm-keys"
	var form string
	var signedBy []string
	stsAnswer := `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>` +
		`<AccessKeyId>ASIAROLEEXAMPLE00001</AccessKeyId><SecretAccessKey>another-example-of-a-secret-key</SecretAccessKey>` +
		`<SessionToken>example-session-token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>` +
		`</Credentials></AssumeRoleResult></AssumeRoleResponse>`
	stsStatus := 200
	w := wire(func(r *http.Request) (*http.Response, error) {
		auth := r.Header.Get("Authorization")
		if strings.HasPrefix(r.URL.Host, "sts.") {
			body, _ := io.ReadAll(r.Body)
			form = string(body)
			require.Contains(t, auth, accessKeyID)
			return answer(r, stsStatus, stsAnswer), nil
		}
		signedBy = append(signedBy, auth+r.Header.Get("X-Amz-Security-Token"))
		return answer(r, 200, dataKey(arnA, plainKey, []byte("wrapped"))), nil
	})
	opts := &awskms.Options{AssumeRoleARN: role, ExternalID: "crm-4711"}
	p := newOn(t, w, opts)
	require.Empty(t, form, "New made a call")
	for range 2 {
		_, err := p.GenerateDataKey(t.Context(), keyA, ec)
		require.NoError(t, err)
	}
	require.Contains(t, form, "ExternalId=crm-4711")
	require.Contains(t, form, "RoleArn=arn%3Aaws%3Aiam%3A%3A999988887777%3Arole%2Fcrm-keys")
	require.Len(t, signedBy, 2)
	for _, s := range signedBy {
		require.Contains(t, s, "ASIAROLEEXAMPLE00001")
		require.Contains(t, s, "example-session-token")
		require.NotContains(t, s, accessKeyID)
	}

	stsError := func(code string) string {
		return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>no</Message></Error><RequestId>99998888-7777-6666-5555-444433332222</RequestId></ErrorResponse>`
	}
	for _, c := range []struct {
		name   string
		status int
		code   string
		class  error
	}{
		{"not allowed to assume", 403, "AccessDenied", kmsprovider.ErrDenied},
		{"wrong credentials", 403, "InvalidClientTokenId", kmsprovider.ErrDenied},
		{"expired", 403, "ExpiredTokenException", kmsprovider.ErrDenied},
		{"no such thing", 404, "NotFoundException", kmsprovider.ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			stsStatus, stsAnswer = c.status, stsError(c.code)
			_, err := newOn(t, w, opts).GenerateDataKey(t.Context(), keyA, ec)
			require.ErrorIs(t, err, c.class)
			require.ErrorContains(t, err, "trust policy")
			require.Equal(t, "11112222-3333-4444-5555-666677778888", awskms.RequestID(err))
		})
	}
}

// An outage of STS is an outage, not a denial.
func TestAssumeRoleDuringOutage(t *testing.T) {
	for name, c := range map[string]struct {
		w     wire
		class error
	}{
		"5xx":       {always(503, "<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>"), kmsprovider.ErrUnavailable},
		"drop":      {fails(io.EOF), kmsprovider.ErrUnavailable},
		"hang":      {hanging, kmsprovider.ErrUnavailable},
		"throttled": {always(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"), kmsprovider.ErrThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				// The SDK goes on after the caller has left; the bubble must see
				// its end.
				w := wire(func(r *http.Request) (*http.Response, error) {
					ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
					defer cancel()
					return c.w(r.WithContext(ctx))
				})
				p := newOn(t, w, &awskms.Options{AssumeRoleARN: "arn:aws:iam::111122223333:role/crm", UnreachableAfter: 20 * time.Second})
				err := generate(t.Context(), p)
				require.Equal(t, c.class, providertest.ClassOf(err), "%v", err)
				require.ErrorContains(t, err, "AWS credentials")
				time.Sleep(time.Hour)
			})
		})
	}
}

// The errors of credentials providers, told from those of KMS.
func TestCredentialFailures(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		class error
	}{
		{"none", errors.New("no profile, no environment"), kmsprovider.ErrDenied},
		{"provider timed out", context.DeadlineExceeded, kmsprovider.ErrUnavailable},
		{"provider canceled", &aws.RequestCanceledError{Err: context.Canceled}, kmsprovider.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { // a busy machine would be an outage of its own
				cfg := configFor(always(200, "{}"))
				cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, c.err })
				p, err := awskms.New(cfg, &awskms.Options{UnreachableAfter: 10 * time.Millisecond})
				require.NoError(t, err)
				_, err = p.GenerateDataKey(t.Context(), keyA, ec)
				require.ErrorIs(t, err, c.class)
				require.ErrorContains(t, err, "AWS credentials")
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, context.Canceled)
			})
		})
	}
	t.Run("no metadata service", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			unreachable := &smithy.OperationError{ServiceID: imds.ServiceID, OperationName: "GetMetadata", Err: &smithyhttp.RequestSendError{Err: errors.New("no route to host")}}
			n := 0
			cfg := configFor(good)
			cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				if n++; n == 2 {
					return configFor(nil).Credentials.Retrieve(ctx)
				}
				return aws.Credentials{}, unreachable
			})
			p, err := awskms.New(cfg, &awskms.Options{UnreachableAfter: 10 * time.Millisecond})
			require.NoError(t, err)
			require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(generate(t.Context(), p)), "a machine outside EC2 has none")
			require.NoError(t, generate(t.Context(), p))
			require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(generate(t.Context(), p)), "it was there before: an outage is no denial")
		})
	})
	t.Run("slow provider", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			cfg := configFor(good)
			cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				time.Sleep(1500 * time.Millisecond)
				return configFor(nil).Credentials.Retrieve(ctx)
			}))
			p, err := awskms.New(cfg, nil)
			require.NoError(t, err)
			require.NoError(t, generate(t.Context(), p), "the second attempt finds what the first has begun")
		})
	})
	t.Run("what a credential process prints", func(t *testing.T) {
		profile := filepath.Join(t.TempDir(), "config")
		require.NoError(t, os.WriteFile(profile, []byte("[default]\nregion = "+region+"\ncredential_process = echo "+secretKey+"\n"), 0o600))
		ownEnvironment(t, "AWS_CONFIG_FILE="+profile)
		p, err := awskms.Open(t.Context(), nil)
		require.NoError(t, err)
		_, err = p.GenerateDataKey(t.Context(), keyA, ec)
		require.ErrorIs(t, err, kmsprovider.ErrDenied)
		require.ErrorContains(t, err, "credential_process")
		noSecrets(t, fmt.Sprintf("%v %+v %#v", err, err, err))
	})
}

func TestProviderPrintsNoSecrets(t *testing.T) {
	p := newOn(t, always(200, "{}"), nil)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("kms", "provider", p)
	slog.New(slog.NewTextHandler(&log, nil)).Info("kms", "provider", p)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+" ", p)
		fmt.Fprintf(&log, verb+" ", struct{ P *awskms.Provider }{p})
	}
	noSecrets(t, log.String())
	require.Contains(t, log.String(), "awskms.Provider("+region)
	require.Equal(t, "awskms.Provider(nil)", fmt.Sprint((*awskms.Provider)(nil)))
}

// The SDK can log whole requests and answers, which hold the key in base64.
func TestBodiesAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	cfg := configFor(always(200, dataKey(arnA, plainKey, []byte("wrapped"))))
	cfg.Logger = logging.NewStandardLogger(&log)
	cfg.ClientLogMode = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogResponse | aws.LogRetries
	p, err := awskms.New(cfg, nil)
	require.NoError(t, err)
	_, err = p.GenerateDataKey(t.Context(), keyA, ec)
	require.NoError(t, err)
	_, _, err = p.Wrap(t.Context(), keyA, plainKey, ec)
	require.NoError(t, err)
	require.Contains(t, log.String(), "TrentService.GenerateDataKey", "the control: the log is on")
	require.Contains(t, log.String(), "TrentService.Encrypt")
	require.NotContains(t, log.String(), "Plaintext")
}
