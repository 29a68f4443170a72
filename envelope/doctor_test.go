package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A store keeps nothing of a doctor who was told no scope, and of one who was no
// more than the scope's data key.
func TestDoctorLeavesNothingBehind(t *testing.T) {
	store := NewMemoryStore()
	var events atomic.Int64
	ring := plainRing(t, &plainProvider{}, &Options{Store: store, OnEvent: func(Event) { events.Add(1) }})
	all := func() []Record {
		page, err := store.Page(t.Context(), Filter{}, KeyName{}, 10)
		require.NoError(t, err)
		return page
	}
	report := ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	require.Equal(t, "a claim was made and released", finding(t, report, "key store *envelope.MemoryStore", "write").Found)
	require.Empty(t, all())
	won, err := store.Claim(t.Context(), doctorScope, PurposeData, "another", time.Minute)
	require.NoError(t, err)
	require.True(t, won, "the claim was released")
	require.NoError(t, ring.Doctor(t.Context(), nil).Err(), "another doctor has the claim")

	for range 2 {
		report = ring.Doctor(t.Context(), &DoctorOptions{Scopes: []Scope{{Tenant: "acme"}, {Tenant: "acme", Class: "crm"}}})
		require.NoError(t, report.Err())
		require.Contains(t, finding(t, report, "round trip of a value", `tenant "acme", class "default"`).Found, "… (reference), and opened")
		require.Len(t, all(), 2, "the data keys that the scopes' first records would have made")
	}
	require.Zero(t, events.Load(), "what a doctor does is not what happens to the ring")
	require.Zero(t, ring.Stats(), "nor does it count")
	env, err := ring.Seal(t.Context(), place("acme"), AppendString(nil, "ada@example.com"))
	require.NoError(t, err)
	_, err = ring.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
	require.Len(t, all(), 2, "and the record uses it")
}

func TestDoctorOfRootKeysThatAreNotConfigured(t *testing.T) {
	byTenant := RootKeysFunc(func(s Scope) (RootKeys, error) {
		switch s.Tenant {
		case "acme":
			return RootKeys{Seal: plainRoot}, nil
		case "empty":
			return RootKeys{}, nil
		}
		return RootKeys{}, errors.New("no such tenant")
	})
	ring := ringOn(t, &plainProvider{}, byTenant, nil)
	for _, c := range []struct {
		name   string
		scopes []Scope
		check  string
		says   string
		mend   string
	}{
		{"nothing named", nil, "list them", "no root key was checked: they depend on the scope, and none was named", "name a scope in DoctorOptions.Scopes"},
		{"unknown", []Scope{{Tenant: "initech"}}, `of tenant "initech", class "default"`, `root keys for tenant "initech", class "default": no such tenant`, "name the scope's root keys in the configuration"},
		{"none", []Scope{{Tenant: "empty"}}, `of tenant "empty", class "default"`, "set RootKeys.Seal", "name the scope's root keys in the configuration"},
		{"not a scope", []Scope{{}}, `of tenant "", class "default"`, "malformed", "or another scope in DoctorOptions.Scopes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := ring.Doctor(t.Context(), &DoctorOptions{Scopes: c.scopes})
			require.Error(t, report.Err())
			f := finding(t, report, "root keys", c.check)
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, c.says)
			require.Contains(t, f.Mend, c.mend)
		})
	}
	writer, err := NewKeyRing(struct {
		*plainProvider
		kmsprovider.PolicyWriter
	}{&plainProvider{}, newMoody(calm)}, byTenant, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, writer.Close()) })
	require.Empty(t, writer.Doctor(t.Context(), nil).Policies, "a policy for nothing")
	require.Len(t, writer.Doctor(t.Context(), &DoctorOptions{Scopes: acmeScope}).Policies, 1, "the control")

	report := ring.Doctor(t.Context(), &DoctorOptions{Scopes: acmeScope})
	require.NoError(t, report.Err(), "the control")
	report = ring.Doctor(t.Context(), &DoctorOptions{Scopes: []Scope{{Tenant: "initech"}, {Tenant: "acme"}}})
	require.ErrorContains(t, report.Err(), "no such tenant")
	require.Equal(t, kmsprovider.StatusOK, finding(t, report, "root key "+plainRoot, checkGenerate).Status, "the others are checked")
}

func TestDoctorRefuses(t *testing.T) {
	ring := plainRing(t, &plainProvider{}, nil)
	report := ring.Doctor(t.Context(), &DoctorOptions{Timeout: -time.Second})
	require.ErrorContains(t, report.Err(), "doctor: 1 of 1 checks failed: key ring: examine: DoctorOptions.Timeout is -1s")
	require.Equal(t, "leave it zero, or set a positive one", report.Findings[0].Mend)
	require.NoError(t, ring.Close())
	report = ring.Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), ErrClosed)
	require.Equal(t, "call Doctor before Close", report.Findings[0].Mend)
}

// What a provider does wrong is found, with whichever of its answers.
func TestDoctorOfBadAnswers(t *testing.T) {
	good := func() kmsprovider.DataKey {
		return kmsprovider.DataKey{Plaintext: make([]byte, 32), Wrapped: []byte{1}, RootKey: plainRoot}
	}
	for _, c := range []struct {
		name  string
		spoil func(*answers)
		check string
		says  string
	}{
		{"a short data key", func(a *answers) { a.made.Plaintext = make([]byte, 31) }, checkGenerate, "the provider made a data key of 31 bytes, wrapped in 1, under a root key with a name of 12: they must be 32, 1 to 6144 and 1 to 512"},
		{"no wrapping", func(a *answers) { a.made.Wrapped = nil }, checkGenerate, "wrapped in 0"},
		{"no root key", func(a *answers) { a.made.RootKey = "" }, checkGenerate, "with a name of 0"},
		{"a wrapping too long", func(a *answers) { a.made.Wrapped = make([]byte, maxWrapped+1) }, checkGenerate, "wrapped in 6145"},
		{"a name too long", func(a *answers) { a.made.RootKey = string(make([]byte, maxURI+1)) }, checkGenerate, "with a name of 513"},
		{"half of a data key", func(a *answers) { a.unwrapped = make([]byte, 16) }, checkUnwrap, "the provider unwrapped a data key of 16 bytes, it must be 32"},
		{"another data key", func(a *answers) { a.unwrapped = append(make([]byte, 31), 1) }, checkUnwrap, "the data key that was unwrapped is not the one that was wrapped"},
		{"no rewrapping", func(a *answers) { a.rewrapped = nil }, checkRewrap, "the provider returned no wrapping, or no root key for it"},
		{"a rewrapping of nothing", func(a *answers) { a.rewrapped = []byte("lost") }, checkRewrap, "unwrapping what was rewrapped: wrapped key or its encryption context not accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &answers{made: good(), unwrapped: make([]byte, 32), rewrapped: []byte{2}}
			ring := ringOn(t, a, RootKeys{Seal: plainRoot}, nil)
			require.Empty(t, statuses(&DoctorReport{Findings: (&doctor{ring: ring, timeout: time.Minute}).rootKey(t.Context(),
				&configured{uri: plainRoot, scope: doctorScope, seals: true}, a)}), "the control")
			c.spoil(a)
			f := finding(t, ring.Doctor(t.Context(), nil), "root key "+plainRoot, c.check)
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, c.says)
			require.NotEmpty(t, f.Mend)
		})
	}
}

// An answers provider gives what it is told to.
type answers struct {
	made                 kmsprovider.DataKey
	unwrapped, rewrapped []byte
}

func (a *answers) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	dk := a.made
	dk.Plaintext = slices.Clone(dk.Plaintext)
	return dk, nil
}

func (a *answers) Unwrap(_ context.Context, _ string, wrapped []byte, _ kmsprovider.EncryptionContext) ([]byte, error) {
	if string(wrapped) == "lost" {
		return nil, kmsprovider.ErrInvalidCiphertext
	}
	return slices.Clone(a.unwrapped), nil
}

func (a *answers) Rewrap(context.Context, string, []byte, string, kmsprovider.EncryptionContext) ([]byte, string, error) {
	return a.rewrapped, plainRoot, nil
}

// What an examination says of itself is fit for a report: one line, and nothing
// is good that isn't said to be.
func TestDoctorTidiesFindings(t *testing.T) {
	ring := ringOn(t, &examined{&plainProvider{}, []kmsprovider.Finding{
		{Check: "lines\nof text", Status: kmsprovider.StatusOK, Found: "one\r\ntwo\x1b[31m\u202e\xff"},
		{Subject: "another", Check: "no status"},
		{Check: "long", Status: kmsprovider.StatusWarning, Found: strings.Repeat("x", 3000)},
		{Check: "denied", Status: kmsprovider.StatusFailed, Found: "no", Err: kmsprovider.ErrDenied},
		{Check: "with advice", Status: kmsprovider.StatusFailed, Found: "no", Mend: "do this", Err: kmsprovider.ErrDenied},
	}}, RootKeys{Seal: plainRoot}, nil)
	report := ring.Doctor(t.Context(), nil)
	const service = "key service *envelope.examined"
	require.Equal(t, "one  two [31m ?", finding(t, report, service, "lines of text").Found)
	require.Equal(t, kmsprovider.StatusFailed, finding(t, report, "another", "no status").Status)
	require.Len(t, finding(t, report, service, "long").Found, maxText+len("…"))
	require.Equal(t, "see that the credentials in use are the right ones, and have this permission", finding(t, report, service, "denied").Mend)
	require.Equal(t, "do this", finding(t, report, service, "with advice").Mend)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrDenied)
}

type examined struct {
	*plainProvider
	found []kmsprovider.Finding
}

func (e *examined) Examine(context.Context) []kmsprovider.Finding { return e.found }

func TestDoctorReport(t *testing.T) {
	report := &DoctorReport{
		Findings: []kmsprovider.Finding{
			{Subject: "key service x", Check: "TLS", Status: kmsprovider.StatusWarning, Found: "plain HTTP", Mend: "use https"},
			{Subject: "root key k", Check: "unwrap a data key", Status: kmsprovider.StatusFailed, Found: "denied", Mend: "permit it", Err: kmsprovider.ErrDenied},
			{Subject: "root key k", Check: "rewrap a data key", Status: kmsprovider.StatusOK},
		},
		Policies: []DoctorPolicy{{Provider: "x", Policy: json.RawMessage(`{"Statement":[]}`)}},
	}
	require.Equal(t, `doctor: 3 checks, 1 failed, 1 warning

key service x
  warning  TLS                plain HTTP
                              mend: use https

root key k
  failed   unwrap a data key  denied
                              mend: permit it
  ok       rewrap a data key

least policy for x
{"Statement":[]}`, report.String())
	text, err := json.Marshal(report)
	require.NoError(t, err)
	require.JSONEq(t, `{"findings":[
		{"subject":"key service x","check":"TLS","status":"warning","found":"plain HTTP","mend":"use https"},
		{"subject":"root key k","check":"unwrap a data key","status":"failed","found":"denied","mend":"permit it"},
		{"subject":"root key k","check":"rewrap a data key","status":"ok"}],
		"policies":[{"provider":"x","policy":{"Statement":[]}}]}`, string(text))
	require.EqualError(t, report.Err(), "doctor: 1 of 3 checks failed: root key k: unwrap a data key: denied")
	require.ErrorIs(t, report.Err(), kmsprovider.ErrDenied)

	for range 4 {
		report.Findings = append(report.Findings, report.Findings[1])
	}
	require.EqualError(t, report.Err(), "doctor: 5 of 7 checks failed: root key k: unwrap a data key: denied; root key k: unwrap a data key: denied; root key k: unwrap a data key: denied; and 2 more")
	require.Contains(t, report.String(), "doctor: 7 checks, 5 failed, 1 warning\n")

	report = &DoctorReport{Findings: []kmsprovider.Finding{{Subject: "s", Check: "c", Status: kmsprovider.StatusWarning}, {Subject: "s", Check: "c", Status: kmsprovider.StatusWarning}}}
	require.NoError(t, report.Err(), "warnings are no failures")
	require.Contains(t, report.String(), "doctor: 2 checks, 0 failed, 2 warnings\n")
	require.NoError(t, (&DoctorReport{}).Err())
}

func TestDoctorOfTombstones(t *testing.T) {
	log, err := CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
	require.NoError(t, err)
	ring := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: log})
	require.Equal(t, "it names 0 destroyed data keys", finding(t, ring.Doctor(t.Context(), nil), "tombstone log", "read").Found)

	ring = plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: goneLog{}})
	report := ring.Doctor(t.Context(), nil)
	require.ErrorContains(t, report.Err(), "the disk is gone")
	require.Equal(t, "without it no data key is used: see that it can be read from here", finding(t, report, "tombstone log", "read").Mend)
}

type goneLog struct{}

func (goneLog) Append(context.Context, Tombstone) error { return nil }
func (goneLog) Read(context.Context, int64) ([]Tombstone, int64, error) {
	return nil, 0, errors.New("the disk is gone")
}
