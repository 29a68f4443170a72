package awskms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// about returns the finding about one thing.
func about(t *testing.T, found []kmsprovider.Finding, check string) kmsprovider.Finding {
	t.Helper()
	for _, f := range found {
		if f.Check == check {
			require.NotContains(t, f.Found, "\n")
			noSecrets(t, f.Found+f.Mend)
			return f
		}
	}
	require.Failf(t, "nothing about it", "%s: %v", check, found)
	return kmsprovider.Finding{}
}

func TestExamineCredentials(t *testing.T) {
	with := func(from aws.CredentialsProviderFunc) kmsprovider.Finding {
		cfg := configFor(always(http.StatusForbidden, ""))
		cfg.Credentials = from
		p, err := awskms.New(cfg, nil)
		require.NoError(t, err)
		return about(t, p.Examine(t.Context()), "credentials")
	}
	good := aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretKey, Source: "EnvConfigCredentials"}
	f := with(func(context.Context) (aws.Credentials, error) { return good, nil })
	require.Equal(t, kmsprovider.StatusOK, f.Status)
	require.Equal(t, "from EnvConfigCredentials", f.Found)

	f = with(func(context.Context) (aws.Credentials, error) {
		c := good
		c.Source, c.CanExpire, c.Expires = "", true, time.Date(2126, 1, 2, 3, 4, 5, 0, time.UTC)
		return c, nil
	})
	require.Equal(t, kmsprovider.StatusOK, f.Status)
	require.Equal(t, "of the AWS configuration, until 2126-01-02T03:04:05Z", f.Found)

	f = with(func(context.Context) (aws.Credentials, error) {
		c := good
		c.CanExpire, c.Expires = true, time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		return c, nil
	})
	require.Equal(t, kmsprovider.StatusWarning, f.Status)
	require.Equal(t, "from EnvConfigCredentials; they expired at 2020-01-02T03:04:05Z", f.Found)
	require.Equal(t, "renew them, or use a source that renews itself, such as a role", f.Mend)

	f = with(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no such profile")
	})
	require.Equal(t, kmsprovider.StatusFailed, f.Status)
	require.ErrorIs(t, f.Err, kmsprovider.ErrDenied)
	require.Equal(t, "awskms: examine awskms.Provider(eu-central-1, https://kms.eu-central-1.amazonaws.com): no AWS credentials: "+
		"set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role [no such profile]", f.Found)
}

// A role is named: the least policy is for it.
func TestExamineRole(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/crm"
	sts := wire(func(r *http.Request) (*http.Response, error) {
		if !strings.HasPrefix(r.URL.Host, "sts.") {
			return answer(r, http.StatusForbidden, ""), nil
		}
		return answer(r, http.StatusOK, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
			<AccessKeyId>`+accessKeyID+`</AccessKeyId><SecretAccessKey>`+secretKey+`</SecretAccessKey><SessionToken>x</SessionToken>
			<Expiration>2126-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`), nil
	})
	p := newOn(t, sts, &awskms.Options{AssumeRoleARN: role})
	require.Equal(t, "awskms.Provider(eu-central-1, https://kms.eu-central-1.amazonaws.com, as "+role+")", fmt.Sprint(p))
	f := about(t, p.Examine(t.Context()), "credentials")
	require.Equal(t, kmsprovider.StatusOK, f.Status)
	require.Contains(t, f.Found, ", for the role "+role+", until 2126-01-02T03:04:05Z")
}

func TestExamineConnection(t *testing.T) {
	srv := fakekms.Start(t)
	secure := httptest.NewTLSServer(srv)
	t.Cleanup(secure.Close)
	at := func(endpoint string, client aws.HTTPClient) []kmsprovider.Finding {
		cfg := srv.Config()
		cfg.HTTPClient = client
		p, err := awskms.New(cfg, &awskms.Options{Endpoint: endpoint, AllowPlaintextHTTPEndpoint: true})
		require.NoError(t, err)
		return p.Examine(t.Context())
	}

	found := at(secure.URL, secure.Client())
	require.Equal(t, kmsprovider.Finding{Check: "TLS", Status: kmsprovider.StatusOK, Found: "TLS 1.3 to " + secure.URL}, about(t, found, "TLS"))
	require.Equal(t, kmsprovider.StatusOK, about(t, found, "clock").Status)

	found = at(srv.URL(), nil)
	f := about(t, found, "TLS")
	require.Equal(t, kmsprovider.StatusWarning, f.Status)
	require.Equal(t, srv.URL()+" is plain HTTP: who reads that network reads the data keys", f.Found)
	require.Equal(t, "use an endpoint of https, save for an emulator on this machine", f.Mend)
	require.Equal(t, kmsprovider.StatusOK, about(t, found, "clock").Status)

	f = about(t, at(secure.URL, nil), "connection")
	require.Equal(t, kmsprovider.StatusFailed, f.Status)
	require.ErrorIs(t, f.Err, kmsprovider.ErrUnavailable)
	require.Contains(t, f.Found, "KMS shows a certificate that this machine doesn't trust: check for a proxy in between, the configured endpoint, and the CA bundle in use [")

	srv.Close()
	f = about(t, at(srv.URL(), nil), "connection")
	require.ErrorIs(t, f.Err, kmsprovider.ErrUnavailable)
	require.Contains(t, f.Found, "KMS can't be reached: check the network, DNS and the configured endpoint [")
	require.Contains(t, f.Found, "connection refused")
}

func TestExamineClock(t *testing.T) {
	for _, c := range []struct {
		name   string
		date   string
		status kmsprovider.Status
		says   string
	}{
		{"on time", time.Now().UTC().Format(http.TimeFormat), kmsprovider.StatusOK, "within "},
		{"ahead", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), kmsprovider.StatusWarning, " ahead of AWS KMS"},
		{"far behind", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), kmsprovider.StatusFailed, " behind AWS KMS"},
		{"not told", "", kmsprovider.StatusOK, "KMS doesn't tell the time in its answer"},
		{"nonsense", "yesterday", kmsprovider.StatusOK, "KMS doesn't tell the time in its answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []*http.Request
			p := newOn(t, func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r)
				a := answer(r, http.StatusForbidden, "")
				a.Header.Set("Date", c.date)
				return a, nil
			}, nil)
			f := about(t, p.Examine(t.Context()), "clock")
			require.Equal(t, c.status, f.Status)
			require.Contains(t, f.Found, c.says)
			require.Len(t, asked, 1)
			require.Equal(t, "https://kms.eu-central-1.amazonaws.com/", asked[0].URL.String())
			require.Empty(t, asked[0].Header.Get("Authorization"), "a request for nothing needs no signature")
		})
	}
}

func TestExamineEndsWithItsContext(t *testing.T) {
	p := newOn(t, func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	found := p.Examine(ctx)
	f := about(t, found, "connection")
	require.Equal(t, kmsprovider.StatusFailed, f.Status)
	require.ErrorIs(t, f.Err, context.DeadlineExceeded)
	require.Contains(t, f.Found, "no answer from https://kms.eu-central-1.amazonaws.com before the deadline")
	require.Equal(t, kmsprovider.StatusOK, about(t, found, "credentials").Status)
}

// A doc is a policy as a reader of it sees it.
type doc struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
}

func policyOf(t *testing.T, p *awskms.Provider, seal, open []string) (d doc, lines []string) {
	t.Helper()
	text, err := p.Policy(t.Context(), seal, open)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	require.Equal(t, "2012-10-17", d.Version)
	require.NotNil(t, d.Statement)
	for _, s := range d.Statement {
		require.Equal(t, "Allow", s.Effect)
		lines = append(lines, s.Sid+": "+strings.Join(s.Action, " ")+" on "+strings.Join(s.Resource, " "))
	}
	return d, lines
}

func TestPolicy(t *testing.T) {
	srv := fakekms.Start(t)
	a, b := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	srv.CreateAlias("alias/crm", a)
	p, err := awskms.New(srv.Config(), &awskms.Options{Replicas: map[string]string{arnMulti: arnLocal}})
	require.NoError(t, err)
	for _, c := range []struct {
		name       string
		seal, open []string
		want       []string
	}{
		{"one root key", []string{"aws-kms://" + a}, nil, []string{
			"Seal: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + a,
			"RewrapFrom: kms:ReEncryptFrom on " + a,
			"RewrapTo: kms:ReEncryptTo on " + a,
		}},
		{"an older one", []string{"aws-kms://" + a}, []string{"aws-kms://" + b}, []string{
			"Seal: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + a,
			"Open: kms:Decrypt kms:DescribeKey on " + b,
			"RewrapFrom: kms:ReEncryptFrom on " + a + " " + b,
			"RewrapTo: kms:ReEncryptTo on " + a,
		}},
		{"an alias and its key", []string{"aws-kms://alias/crm"}, []string{"aws-kms://" + a}, []string{
			"Seal: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + a,
			"RewrapFrom: kms:ReEncryptFrom on " + a,
			"RewrapTo: kms:ReEncryptTo on " + a,
		}},
		{"a replica", []string{"aws-kms://" + arnMulti}, nil, []string{
			"Seal: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + arnLocal,
			"RewrapFrom: kms:ReEncryptFrom on " + arnLocal,
			"RewrapTo: kms:ReEncryptTo on " + arnLocal,
		}},
		{"only to open", nil, []string{"aws-kms://" + b}, []string{"Open: kms:Decrypt kms:DescribeKey on " + b}},
		{"of other services and regions", []string{"local-kms://x/default", "aws-kms://arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}, nil, nil},
		{"none", nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, lines := policyOf(t, p, c.seal, c.open)
			require.Equal(t, c.want, lines)
		})
	}

	t.Run("aliases that can't be resolved", func(t *testing.T) {
		const any = "arn:aws:kms:eu-central-1:*:key/*"
		d, lines := policyOf(t, p, []string{"aws-kms://" + a, "aws-kms://alias/none", "aws-kms://arn:aws:kms:eu-central-1:444455556666:alias/theirs"}, nil)
		require.Equal(t, []string{
			"Seal: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + a,
			"SealByAlias1: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on " + any,
			"SealByAlias2: kms:GenerateDataKey kms:Decrypt kms:DescribeKey on arn:aws:kms:eu-central-1:444455556666:key/*",
		}, lines[:3])
		require.Equal(t, map[string]map[string][]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": {"alias/none"}}}, d.Statement[1].Condition)
		require.Equal(t, map[string]map[string][]string{"ForAnyValue:StringEquals": {"kms:ResourceAliases": {"alias/theirs"}}}, d.Statement[2].Condition)
		require.Empty(t, d.Statement[0].Condition)
	})
}

// The policy is least: a caller who has it can do everything, and one who lacks
// any action of it can't.
func TestPolicyIsWhatIsCalled(t *testing.T) {
	srv := fakekms.Start(t)
	seal, old := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	p, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	wrapped, err := p.GenerateDataKey(t.Context(), "aws-kms://"+old, ec) // by somebody who was allowed to
	require.NoError(t, err)
	d, _ := policyOf(t, p, []string{"aws-kms://" + seal}, []string{"aws-kms://" + old})
	granted := map[string]bool{}
	for _, s := range d.Statement {
		for _, action := range s.Action {
			for _, arn := range s.Resource {
				granted[strings.TrimPrefix(action, "kms:")+" "+arn] = true
			}
		}
	}
	for _, op := range []string{"GenerateDataKey", "Decrypt", "DescribeKey", "Encrypt", "ReEncrypt"} {
		for _, arn := range []string{seal, old} {
			if !granted[op+" "+arn] && !(op == "ReEncrypt" && granted["ReEncryptFrom "+arn]) {
				srv.Deny(arn, op)
			}
		}
	}
	use := func() error {
		dk, err := p.GenerateDataKey(t.Context(), "aws-kms://"+seal, ec)
		if err != nil {
			return err
		}
		_, err = p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		_, err2 := p.Unwrap(t.Context(), wrapped.RootKey, wrapped.Wrapped, ec)
		_, _, err3 := p.Rewrap(t.Context(), wrapped.RootKey, wrapped.Wrapped, "aws-kms://"+seal, ec)
		return errors.Join(err, err2, err3, p.Check(t.Context(), "aws-kms://"+seal), p.Check(t.Context(), "aws-kms://"+old))
	}
	require.NoError(t, use())
	for right := range granted {
		action, arn, _ := strings.Cut(right, " ")
		if strings.HasPrefix(action, "ReEncrypt") {
			action = "ReEncrypt"
		}
		allow := srv.Deny(arn, action)
		require.ErrorIs(t, use(), kmsprovider.ErrDenied, right)
		allow()
	}
	require.NoError(t, use())
}
