package envelope

import (
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// A patient is a key ring on fakekms, which a test makes ill.
type patient struct {
	kms       *fakekms.Server
	seal, old string // URIs
	ring      *KeyRing
}

func newPatient(t *testing.T, opts *Options) *patient {
	t.Helper()
	p := &patient{kms: fakekms.New(fakekms.Options{})}
	t.Cleanup(p.kms.Close)
	p.seal, p.old = "aws-kms://"+p.kms.CreateKey(fakekms.KeyOptions{}), "aws-kms://"+p.kms.CreateKey(fakekms.KeyOptions{})
	p.ring = p.ringFor(t, RootKeys{Seal: p.seal, Open: []string{p.old}}, opts)
	return p
}

func (p *patient) provider(t *testing.T, opts *awskms.Options) *awskms.Provider {
	t.Helper()
	provider, err := awskms.New(p.kms.Config(), opts)
	require.NoError(t, err)
	return provider
}

func (p *patient) ringFor(t *testing.T, roots RootKeySource, opts *Options) *KeyRing {
	t.Helper()
	return ringOn(t, p.provider(t, &awskms.Options{UnreachableAfter: 400 * time.Millisecond}), roots, opts)
}

func ringOn(t *testing.T, provider kmsprovider.Provider, roots RootKeySource, opts *Options) *KeyRing {
	t.Helper()
	r, err := NewKeyRing(provider, roots, opts)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// finding returns the one finding of a report whose subject and check begin so.
func finding(t *testing.T, r *DoctorReport, subject, check string) kmsprovider.Finding {
	t.Helper()
	var found []kmsprovider.Finding
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Subject, subject) && strings.HasPrefix(f.Check, check) {
			found = append(found, f)
		}
	}
	require.Len(t, found, 1, "%s: %s\n%s", subject, check, r)
	return found[0]
}

// statuses lists what isn't well in a report: status, subject and check. What
// fakekms has by nature is left out: it speaks plain HTTP.
func statuses(r *DoctorReport) (all []string) {
	for _, f := range r.Findings {
		if f.Status != kmsprovider.StatusOK && f.Check != "TLS" {
			all = append(all, string(f.Status)+" "+f.Subject+": "+f.Check)
		}
	}
	return all
}

// TestDoctorOfHealthyKMS is the control of the tests below: nothing fails.
func TestDoctorOfHealthyKMS(t *testing.T) {
	p := newPatient(t, nil)
	report := p.ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	require.Empty(t, statuses(report), report)
	require.Equal(t, 5+5+2, p.kms.Count("DescribeKey", "GenerateDataKey", "Decrypt", "ReEncrypt"), "what docs/doctor.md says: each root key, and the round trip")

	service := "key service awskms.Provider(eu-central-1, " + p.kms.URL() + ")"
	text := report.String()
	for _, line := range []string{
		"doctor: 12 checks, 0 failed, 1 warning\n",
		service + "\n  ok       credentials          from fakekms\n",
		"  warning  TLS                  " + p.kms.URL() + " is plain HTTP: who reads that network reads the data keys\n" +
			"                                mend: use an endpoint of https, save for an emulator on this machine\n",
		"  ok       clock                within ",
		"root key " + p.seal + "\n  ok       state                it is there and can be used\n" +
			"  ok       generate a data key  it is 184 bytes long, wrapped\n" +
			"  ok       unwrap a data key    the same data key\n" +
			"  ok       rewrap a data key    it unwraps again\n",
		"root key " + p.old + "\n  ok       state                it is there and can be used\n" +
			"  ok       unwrap a data key    the same data key\n" +
			"  ok       rewrap a data key    it unwraps again, by " + p.seal + "\n",
		"key store\n  ok       store                there is none: each envelope carries its wrapped data key\n",
		"round trip of a value\n  ok       inline               sealed with data key ",
		"… (inline), and opened, under " + p.seal,
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "least policy", "nothing was denied")
	require.Len(t, report.Policies, 1)
	require.Equal(t, service, "key service "+report.Policies[0].Provider)
}

func TestDoctorOfFaultsOfKMS(t *testing.T) {
	keyOf := func(uri string) string { return strings.TrimPrefix(uri, "aws-kms://") }
	for _, c := range []struct {
		name  string
		spoil func(p *patient)
		ill   []string // statuses, with SEAL and OLD for the root keys
		is    error    // the class of what failed
		check string   // of the root key that seals, or else of the round trip
		says  string
		mend  string
	}{
		{"all denied", func(p *patient) { p.kms.Deny("") }, []string{
			"warning root key SEAL: state", "failed root key SEAL: generate a data key",
			"warning root key OLD: state", "warning root key OLD: unwrap a data key",
			"failed round trip of a value: inline",
		}, kmsprovider.ErrDenied, checkGenerate, "grant kms:GenerateDataKey to the caller, in its IAM policies and in the key's policy", "see that the credentials in use are the right ones, and have this permission; the report's policy has all that are needed"},
		{"GenerateDataKey denied", func(p *patient) { p.kms.Deny("", "GenerateDataKey") }, []string{
			"failed root key SEAL: generate a data key", "warning root key OLD: unwrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrDenied, checkGenerate, "grant kms:GenerateDataKey to the caller", "and have this permission"},
		{"Decrypt denied", func(p *patient) { p.kms.Deny("", "Decrypt") }, []string{
			"failed root key SEAL: unwrap a data key", "failed root key OLD: unwrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrDenied, checkUnwrap, "grant kms:Decrypt to the caller", "and have this permission"},
		{"DescribeKey denied", func(p *patient) { p.kms.Deny("", "DescribeKey") }, []string{
			"warning root key SEAL: state", "warning root key OLD: state",
		}, nil, checkState, "grant kms:DescribeKey to the caller", "sealing and opening may do without this permission"},
		{"ReEncrypt denied", func(p *patient) { p.kms.Deny("", "ReEncrypt") }, []string{
			"warning root key SEAL: rewrap a data key", "warning root key OLD: rewrap a data key",
		}, nil, checkRewrap, "grant kms:ReEncryptFrom on the old key and kms:ReEncryptTo on the new one", "needed only when data keys move to another root key: give the permission before that"},
		{"only the root key to open with denied", func(p *patient) { p.kms.Deny(keyOf(p.old), "Decrypt") }, []string{
			"failed root key OLD: unwrap a data key",
		}, kmsprovider.ErrDenied, "", "", ""},
		{"disabled", func(p *patient) { p.kms.Disable(keyOf(p.seal)) }, []string{
			"failed root key SEAL: state", "failed root key OLD: rewrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrKeyUnusable, checkState, "the root key is disabled: enable it with kms:EnableKey", "put the root key right where it is kept, or name another one in the configuration"},
		{"pending deletion", func(p *patient) { p.kms.ScheduleDeletion(keyOf(p.seal), 7) }, []string{
			"failed root key SEAL: state", "failed root key OLD: rewrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrKeyUnusable, checkState, "cancel that with kms:CancelKeyDeletion, or every data key under it is lost", "put the root key right"},
		{"credentials that AWS doesn't know", func(p *patient) { p.kms.Inject(fakekms.Fault{Error: "UnrecognizedClientException"}) }, []string{
			"warning root key SEAL: state", "failed root key SEAL: generate a data key",
			"warning root key OLD: state", "warning root key OLD: unwrap a data key",
			"failed round trip of a value: inline",
		}, kmsprovider.ErrDenied, checkGenerate, "check which credentials are in use [UnrecognizedClientException: ", "see that the credentials in use are the right ones"},
		{"throttled", func(p *patient) { p.kms.Inject(fakekms.Fault{Error: "ThrottlingException"}) }, []string{
			"failed root key SEAL: state", "failed root key OLD: state", "failed round trip of a value: inline",
		}, kmsprovider.ErrThrottled, checkState, "key service throttled the call: no answer within 1s: awskms: check ", "try again later; if it goes on, ask for a higher quota"},
		{"5xx", func(p *patient) { p.kms.Inject(fakekms.Fault{Error: "KMSInternalException"}) }, []string{
			"failed root key SEAL: state", "failed root key OLD: state", "failed round trip of a value: inline",
		}, kmsprovider.ErrUnavailable, checkState, "KMS failed internally", "see that the key service can be reached from here and answers, then try again"},
		{"hanging", func(p *patient) { p.kms.Inject(fakekms.Fault{Break: fakekms.Hang}) }, []string{
			"failed root key SEAL: state", "failed root key OLD: state", "failed round trip of a value: inline",
		}, kmsprovider.ErrUnavailable, checkState, "KMS didn't answer in time", "see that the key service can be reached"},
		{"another key in the answer", func(p *patient) {
			p.kms.Inject(fakekms.Fault{Ops: []string{"Decrypt"}, Keys: []string{keyOf(p.seal)}, Break: fakekms.OtherKey})
		}, []string{
			"failed root key SEAL: unwrap a data key", "failed root key OLD: rewrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrUnavailable, checkUnwrap, "the data key that was unwrapped is not the one that was wrapped", ""},
		{"hanging for Decrypt alone", func(p *patient) { p.kms.Inject(fakekms.Fault{Ops: []string{"Decrypt"}, Break: fakekms.Hang}) }, []string{
			"failed root key SEAL: unwrap a data key", "failed root key OLD: unwrap a data key", "failed round trip of a value: inline",
		}, kmsprovider.ErrUnavailable, checkUnwrap, "KMS didn't answer in time", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPatient(t, nil)
			c.spoil(p)
			report := p.ring.Doctor(t.Context(), &DoctorOptions{Timeout: time.Second})
			var want []string
			for _, line := range c.ill {
				want = append(want, strings.NewReplacer("SEAL", p.seal, "OLD", p.old).Replace(line))
			}
			require.Equal(t, want, statuses(report), report)
			if c.is == nil {
				require.NoError(t, report.Err())
			} else {
				require.ErrorIs(t, report.Err(), c.is)
				require.ErrorContains(t, report.Err(), "doctor: ")
				require.NotErrorIs(t, report.Err(), context.DeadlineExceeded, "of the check, not of the caller")
			}
			if c.check != "" {
				f := finding(t, report, "root key "+p.seal, c.check)
				require.Contains(t, f.Found, c.says)
				require.Contains(t, f.Mend, c.mend)
			}
			require.Equal(t, strings.Contains(report.String(), "\n\nleast policy for awskms.Provider("),
				strings.Contains(report.String(), "access denied") || c.name == "credentials that AWS doesn't know", "the policy is there when something was denied")
		})
	}
}

func TestDoctorOfMissingKeys(t *testing.T) {
	p := newPatient(t, nil)
	missing := strings.Replace(p.seal, p.seal[len(p.seal)-4:], "0000", 1)
	for _, c := range []struct{ name, uri, says string }{
		{"key", missing, "check the account, region and key ID in the configuration [NotFoundException: "},
		{"alias", "aws-kms://alias/none", "no such root key or alias"},
		{"region", "aws-kms://arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "the key is in us-east-1, but this provider calls eu-central-1"},
		{"not of AWS", "local-kms://2dk4cvmzaxrkz2ecygilfnkmpm/default", "a root key of AWS KMS is written aws-kms:// and the key's ARN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := p.ringFor(t, RootKeys{Seal: c.uri}, nil).Doctor(t.Context(), nil)
			require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
			require.Equal(t, []string{"failed root key " + c.uri + ": state", "failed round trip of a value: inline"}, statuses(report))
			require.Contains(t, finding(t, report, "root key ", checkState).Found, c.says)
		})
	}
}

func TestDoctorOfAliases(t *testing.T) {
	p := newPatient(t, nil)
	p.kms.CreateAlias("alias/crm", strings.TrimPrefix(p.seal, "aws-kms://"))
	report := p.ringFor(t, RootKeys{Seal: "aws-kms://alias/crm"}, nil).Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	require.Equal(t, "the root key is "+p.seal, finding(t, report, "root key aws-kms://alias/crm", checkGenerate).Found)
	require.Contains(t, string(report.Policies[0].Policy), strings.TrimPrefix(p.seal, "aws-kms://"))

	// What is stored names no alias, so that one to open with opens nothing.
	report = p.ringFor(t, RootKeys{Seal: p.old, Open: []string{"aws-kms://alias/crm"}}, nil).Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
	f := finding(t, report, "root key aws-kms://alias/crm", checkUnwrap)
	require.Equal(t, "root key can't be used: it is listed to open with, and is another name for "+p.seal+": what is stored names that one", f.Found)
	require.Equal(t, "list "+p.seal+" in RootKeys.Open in its place", f.Mend)
}

// A root key that only opens is tried with what the store has under it, so that
// its caller need not be allowed to make data keys.
func TestDoctorOpensWhatIsStored(t *testing.T) {
	store := NewMemoryStore()
	p := newPatient(t, &Options{Store: store})
	before := p.ringFor(t, RootKeys{Seal: p.old}, &Options{Store: store})
	_, err := before.Seal(t.Context(), place("acme"), AppendString(nil, "ada@example.com"))
	require.NoError(t, err)

	arn := strings.TrimPrefix(p.old, "aws-kms://")
	p.kms.Deny(arn, "GenerateDataKey")
	p.kms.ResetCalls()
	report := p.ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	require.Equal(t, "one that the key store has", finding(t, report, "root key "+p.old, checkUnwrap).Found)
	require.Equal(t, "it unwraps again, by "+p.seal, finding(t, report, "root key "+p.old, checkRewrap).Found)
	for _, call := range p.kms.Calls() {
		require.False(t, call.Op == "GenerateDataKey" && call.KeyARN == arn, "a call that would be denied, and looked into")
	}

	p.kms.Deny(arn, "Decrypt")
	report = p.ring.Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrDenied)
	require.Contains(t, finding(t, report, "root key "+p.old, checkUnwrap).Found, "grant kms:Decrypt")

	// Nothing is stored under it, and nothing can be made.
	empty := p.ringFor(t, RootKeys{Seal: p.seal, Open: []string{p.old}}, &Options{Store: NewMemoryStore()})
	f := finding(t, empty.Doctor(t.Context(), nil), "root key "+p.old, checkUnwrap)
	require.Equal(t, kmsprovider.StatusWarning, f.Status)
	require.Equal(t, "not tried: there is nothing at hand that was wrapped under it", f.Found)
	require.Equal(t, "if data depends on it, open some of that; if none does, take the root key out of the configuration", f.Mend)
}

// A KMS that accepts connections and says nothing, and one that isn't there.
func TestDoctorOfAnEndpointThatIsNone(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, c := range []struct{ name, endpoint, says string }{
		{"silent", "http://" + silent.Addr().String(), "no answer"},
		{"closed", "http://" + closed.Addr().String(), "connection refused"},
		{"silent TLS", "https://" + silent.Addr().String(), "no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPatient(t, nil)
			cfg := p.kms.Config()
			cfg.HTTPClient, cfg.BaseEndpoint = nil, aws.String(c.endpoint)
			provider, err := awskms.New(cfg, &awskms.Options{UnreachableAfter: 100 * time.Millisecond})
			require.NoError(t, err)
			report := ringOn(t, provider, RootKeys{Seal: p.seal}, nil).Doctor(t.Context(), &DoctorOptions{Timeout: 300 * time.Millisecond})
			require.ErrorIs(t, report.Err(), kmsprovider.ErrUnavailable)
			require.NotErrorIs(t, report.Err(), context.DeadlineExceeded, "the caller set none")
			f := finding(t, report, "key service", "connection")
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, c.says)
			require.Equal(t, "see that the key service can be reached from here and answers, then try again", f.Mend)
			require.Equal(t, []string{
				"failed key service awskms.Provider(eu-central-1, " + c.endpoint + "): connection",
				"failed root key " + p.seal + ": state", "failed round trip of a value: inline",
			}, statuses(report))
		})
	}
}

// Each provider of a group is tried by itself: failover hides that a replica
// can't be used until it is needed.
func TestDoctorOfGroups(t *testing.T) {
	frankfurt := fakekms.New(fakekms.Options{})
	t.Cleanup(frankfurt.Close)
	key := frankfurt.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	replica := frankfurt.ReplicateKey(key, "eu-west-1")
	us := "aws-kms://" + frankfurt.Region("us-east-1").CreateKey(fakekms.KeyOptions{})
	usOld := "aws-kms://" + frankfurt.Region("us-east-1").CreateKey(fakekms.KeyOptions{})
	at := func(region string, opts *awskms.Options) kmsprovider.Provider {
		p, err := awskms.New(frankfurt.Region(region).Config(), opts)
		require.NoError(t, err)
		return p
	}
	first, second := at("eu-central-1", nil), at("eu-west-1", &awskms.Options{Replicas: map[string]string{key: replica}})
	router, err := residency.New(residency.Config{
		Regions: []residency.Region{
			{Name: "eu", RootKey: "aws-kms://" + key, Call: []kmsprovider.Provider{first, second}},
			{Name: "us", RootKey: us, Open: []string{usOld}, Call: []kmsprovider.Provider{at("us-east-1", nil)}},
		},
		Tenants: []residency.Rule{{Tenant: "us-*", Region: "us"}},
		Default: "eu",
	})
	require.NoError(t, err)
	ring := ringOn(t, router, RootKeysByTenant(router.RootKeys), nil)

	report := ring.Doctor(t.Context(), nil) // the router lists its root keys
	require.NoError(t, report.Err())
	require.Empty(t, statuses(report), report)
	for _, subject := range []string{
		"root key aws-kms://" + key + " by awskms.Provider(eu-central-1, ", "root key aws-kms://" + key + " by awskms.Provider(eu-west-1, ",
		"root key " + us,
	} {
		require.Equal(t, kmsprovider.StatusOK, finding(t, report, subject, checkGenerate).Status)
	}
	require.Equal(t, kmsprovider.StatusOK, finding(t, report, "root key "+usOld, checkUnwrap).Status)
	require.Len(t, report.Policies, 3)
	require.NotContains(t, string(report.Policies[0].Policy), replica)
	require.Contains(t, string(report.Policies[1].Policy), replica, "what is called in its region")
	require.NotContains(t, string(report.Policies[1].Policy), key)
	require.Contains(t, string(report.Policies[2].Policy), strings.TrimPrefix(us, "aws-kms://"))

	frankfurt.Region("eu-west-1").Disable(replica)
	report = ring.Doctor(t.Context(), &DoctorOptions{Scopes: []Scope{{Tenant: "acme"}}})
	require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
	require.Equal(t, []string{"failed root key aws-kms://" + key + " by awskms.Provider(eu-west-1, " + frankfurt.Region("eu-west-1").URL() + "): state"}, statuses(report))
	require.Equal(t, kmsprovider.StatusOK, finding(t, report, "round trip", `tenant "acme"`).Status, "the control: failover hides it")

	both, err := failover.New([]kmsprovider.Provider{first, second}, nil)
	require.NoError(t, err)
	report = ringOn(t, both, RootKeys{Seal: "aws-kms://" + key}, nil).Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
	require.Len(t, statuses(report), 1)
}

func TestDoctorOfAKeyFile(t *testing.T) {
	made := func(t *testing.T) (path string, kms *localkms.Provider, ring *KeyRing) {
		path = filepath.Join(t.TempDir(), "root.keys")
		kms, err := localkms.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { kms.Close() })
		return path, kms, ringOn(t, kms, RootKeys{Seal: kms.RootKey()}, nil)
	}
	t.Run("healthy", func(t *testing.T) {
		path, kms, ring := made(t)
		report := ring.Doctor(t.Context(), nil)
		require.NoError(t, report.Err())
		require.Equal(t, path+", root keys: 1; only its owner can use it", finding(t, report, "key service *localkms.Provider", "key file").Found)
		require.Equal(t, "there is no connection: the root keys are in a file", finding(t, report, "key service", "TLS").Found)
		require.Equal(t, "it is 65 bytes long, wrapped", finding(t, report, "root key "+kms.RootKey(), checkGenerate).Found)
		require.Empty(t, report.Policies)
	})
	t.Run("missing", func(t *testing.T) {
		path, _, ring := made(t)
		require.NoError(t, os.Remove(path))
		report := ring.Doctor(t.Context(), nil)
		require.ErrorIs(t, report.Err(), fs.ErrNotExist)
		require.Contains(t, finding(t, report, "key service", "key file").Found, "restore it from a backup, or make a new one with Open if nothing was ever sealed with it")
		require.Equal(t, kmsprovider.StatusFailed, finding(t, report, "root key", checkState).Status)
	})
	t.Run("readable by others", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			return // where a file's mode says nothing
		}
		path, _, ring := made(t)
		require.NoError(t, os.Chmod(path, 0o644))
		report := ring.Doctor(t.Context(), nil)
		require.ErrorIs(t, report.Err(), kmsprovider.ErrKeyUnusable)
		require.Contains(t, finding(t, report, "key service", "key file").Found, "others than its owner can use it (mode 0644), and its root keys may be known to them; run: chmod 600 "+path)
	})
	t.Run("closed", func(t *testing.T) {
		_, kms, ring := made(t)
		require.NoError(t, kms.Close())
		require.Contains(t, finding(t, ring.Doctor(t.Context(), nil), "key service", "key file").Found, "the provider is closed")
	})
}

// The report and its JSON are printed in logs: no secret of a check is in them.
func TestDoctorShowsNoSecrets(t *testing.T) {
	p := newPatient(t, nil)
	for _, spoil := range []func(){func() {}, func() { p.kms.Deny("", "Decrypt") }, func() { p.kms.Inject(fakekms.Fault{Break: fakekms.BadJSON}) }} {
		spoil()
		report := p.ring.Doctor(t.Context(), &DoctorOptions{Timeout: time.Second})
		asJSON, err := json.Marshal(report)
		require.NoError(t, err)
		creds, err := p.kms.Config().Credentials.Retrieve(t.Context())
		require.NoError(t, err)
		for _, text := range []string{report.String(), string(asJSON), strings.Join(statuses(report), "")} {
			require.NotContains(t, text, creds.SecretAccessKey)
			require.NotContains(t, text, creds.AccessKeyID)
		}
	}
}
