package providertest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

func good(m *memory) kmsprovider.Provider { return m }

// The control of all the broken providers: the one they wrap passes.
func TestGoodProviderPasses(t *testing.T) {
	Run(t, newService().harness(good))
}

func TestKnownDefectsPass(t *testing.T) {
	s := newService()
	s.joinContext, s.replicaStays = true, true
	h := s.harness(good)
	h.Known = []Defect{ContextJoinedWithoutDelimiters, ReplicasNotRotated}
	Run(t, h)
}

func TestDefects(t *testing.T) {
	for _, d := range []struct {
		defect Defect
		check  string
		set    func(*service)
	}{
		{ContextJoinedWithoutDelimiters, "context-moved", func(s *service) { s.joinContext = true }},
		{ReplicasNotRotated, "replica-rotated", func(s *service) { s.replicaStays = true }},
	} {
		c := named(t, d.check)
		t.Run(d.check+"/unknown fails", func(t *testing.T) {
			s := newService()
			d.set(s)
			_, err := c.verdict(t, s.harness(good))
			require.ErrorIs(t, err, errDefect)
		})
		t.Run(d.check+"/known is told", func(t *testing.T) {
			s := newService()
			d.set(s)
			h := s.harness(good)
			h.Known = []Defect{d.defect}
			note, err := c.verdict(t, h)
			require.NoError(t, err)
			require.Contains(t, note, "KNOWN DEFECT")
			require.Contains(t, note, string(d.defect))
		})
		t.Run(d.check+"/known but gone fails", func(t *testing.T) {
			h := newService().harness(good)
			h.Known = []Defect{d.defect}
			_, err := c.verdict(t, h)
			require.ErrorContains(t, err, "drop it from Harness.Known")
		})
		t.Run(d.check+"/known doesn't excuse another failure", func(t *testing.T) {
			s := newService()
			h := s.harness(good)
			h.Known = []Defect{d.defect}
			s.setFault(kmsprovider.ErrDenied)
			_, err := c.verdict(t, h)
			require.ErrorContains(t, err, kmsprovider.ErrDenied.Error())
			require.NotErrorIs(t, err, errDefect)
		})
	}
}

func TestClassOf(t *testing.T) {
	for _, class := range []error{
		kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied,
		kmsprovider.ErrKeyUnusable, kmsprovider.ErrInvalidCiphertext, context.Canceled, context.DeadlineExceeded,
	} {
		require.ErrorIs(t, ClassOf(fmt.Errorf("calling: %w", class)), class)
	}
	for name, err := range map[string]error{
		"no error":                     nil,
		"no class":                     errors.New("oops"),
		"two classes":                  errors.Join(kmsprovider.ErrDenied, kmsprovider.ErrThrottled),
		"a class and a context error":  fmt.Errorf("%w: %w", kmsprovider.ErrUnavailable, context.DeadlineExceeded),
		"both errors of a context":     errors.Join(context.Canceled, context.DeadlineExceeded),
		"the text of a class, nothing": errors.New(kmsprovider.ErrDenied.Error()),
	} {
		require.NoError(t, ClassOf(err), name)
	}
}

func TestHarnessIsValidated(t *testing.T) {
	require.NoError(t, newService().harness(good).validate())
	for name, spoil := range map[string]func(*Harness){
		"no New":                         func(h *Harness) { h.New = nil },
		"no root key":                    func(h *Harness) { h.RootKey = "" },
		"no other root key":              func(h *Harness) { h.OtherRootKey = "" },
		"no missing root key":            func(h *Harness) { h.MissingRootKey = "" },
		"the same root key twice":        func(h *Harness) { h.OtherRootKey = h.RootKey },
		"the missing root key is in use": func(h *Harness) { h.MissingRootKey = h.OtherRootKey },
		"the alias is the URI":           func(h *Harness) { h.Alias = h.RootKey },
		"Disable without Enable":         func(h *Harness) { h.Enable = nil },
		"ScheduleDeletion on what":       func(h *Harness) { h.NewRootKey = nil },
		"an unheard-of defect":           func(h *Harness) { h.Known = []Defect{"slow"} },
	} {
		h := newService().harness(good)
		spoil(&h)
		require.Error(t, h.validate(), name)
	}
}

// A harness without hooks leaves their checks out, and says why.
func TestLeftOut(t *testing.T) {
	h := newService().harness(func(m *memory) kmsprovider.Provider {
		return struct{ kmsprovider.Provider }{m}
	})
	h = Harness{New: h.New, RootKey: h.RootKey, OtherRootKey: h.OtherRootKey, MissingRootKey: h.MissingRootKey}
	left := map[string]bool{}
	for _, c := range checks() {
		if c.leftOut(t, h) != "" {
			left[c.name] = true
		}
	}
	for _, name := range []string{
		"root-key-alias", "resolver", "checker", "wrapped-not-a-data-key", "rewrap", "rewrap-refuses", "wrap", "wrap-refuses", "wrap-keeps-nothing", "disabled", "pending-deletion",
		"rotated", "replica-rotated", "unavailable", "throttled", "denied", "context-ends-in-call", "own-timeout",
	} {
		require.True(t, left[name], name)
		delete(left, name)
	}
	require.Empty(t, left)
	Run(t, h)
}

// TestShows is the control of the checks that look for a plain key in text.
func TestShows(t *testing.T) {
	secret := []byte("0123456789abcdef\x00\xff\xfe>?>?ABCDEFGHI")
	for name, text := range map[string]string{
		"raw":                 string(secret),
		"hex":                 hex.EncodeToString(secret),
		"upper-case hex":      fmt.Sprintf("%X", secret),
		"base64":              base64.StdEncoding.EncodeToString(secret),
		"base64 of more":      base64.StdEncoding.EncodeToString(append(secret[:len(secret):len(secret)], "more"...)),
		"base64, no padding":  base64.RawStdEncoding.EncodeToString(secret),
		"base64url":           base64.URLEncoding.EncodeToString(secret),
		"decimal":             fmt.Sprint(secret),
		"decimal, in a slice": fmt.Sprint([][]byte{secret}),
		"Go":                  fmt.Sprintf("%#v", secret),
		"quoted":              fmt.Sprintf("%q", secret),
		"as %+v of a struct":  fmt.Sprintf("%+v", struct{ Key []byte }{secret}),
	} {
		require.NotEmpty(t, shows("error: "+text+"!", secret), name)
	}
	require.Empty(t, shows("error: wrapped key not accepted", secret))
	require.Empty(t, shows("anything", nil))
	require.Len(t, spellings(fmt.Errorf("a: %w", errors.Join(errors.New("b"), errors.New("c")))), 6*4)
}

func named(t *testing.T, name string) check {
	t.Helper()
	for _, c := range checks() {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("there is no check named %q", name)
	return check{}
}
