package localkms

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// TestScoreboardS16 prints the provider, what it holds and everything that goes
// wrong, and looks for pieces of the root keys and of a data key.
func TestScoreboardS16(t *testing.T) {
	p := openSample(t)
	const crm = "local-kms://abcdefghijklmnopqrstuvwx23/crm"
	wrapped := mustHex(foreignWrapped)
	plain, err := p.Unwrap(t.Context(), crm, wrapped, sampleContext)
	require.NoError(t, err)
	f, err := parseKeyFile([]byte(sampleFile))
	require.NoError(t, err)
	secrets := [][]byte{plain}
	for _, k := range f.RootKeys {
		for _, v := range k.Versions {
			secrets = append(secrets, v.Key)
		}
	}
	var pieces [][]byte
	for _, secret := range secrets {
		pieces = append(pieces, secret, secret[:12], secret[10:22], secret[20:])
	}
	canary := scoreboard.NewCanary(pieces...)

	values := map[string]any{
		"provider": p, "struct with a provider": struct{ P *Provider }{p}, "unexported provider": struct{ p *Provider }{p},
		"as its interface": []any{kmsprovider.Provider(p)}, "what it holds": p.state.Load(), "root key": *p.state.Load().byName["crm"],
		"data key": kmsprovider.DataKey{Plaintext: plain, Wrapped: wrapped, RootKey: crm},
	}
	fail := func(name string, err error) {
		require.Error(t, err, name)
		values[name] = err
	}
	for _, bad := range badFiles {
		if len(bad.content) < 4096 {
			_, err := OpenExisting(writeFile(t, bad.content))
			fail(bad.name, err)
		}
	}
	other := openSample(t)
	put(t, other.path, edit(`"crm"`, `"more"`))
	_, err = other.GenerateDataKey(t.Context(), crm, sampleContext)
	fail("an older copy of the file", err)
	_, err = p.Unwrap(t.Context(), crm, wrapped, nil)
	fail("another context", err)
	_, err = p.Unwrap(t.Context(), crm, wrapped[:64], sampleContext)
	fail("a wrapped key cut short", err)
	_, err = p.Unwrap(t.Context(), "local-kms://zzzzzzzzzzzzzzzzzzzzzzzzzz/crm", wrapped, sampleContext)
	fail("another file's URI", err)
	fail("rotation of what isn't there", p.Rotate(t.Context(), "none"))
	_, err = p.AddRootKey(t.Context(), "No Name")
	fail("a bad name", err)
	fail("a folder that isn't there", func() error { _, err := Open("/nowhere/at/all/keys.json"); return err }())

	total, outs := 0, 0
	for name, v := range values {
		found, of := canary.In(scoreboard.Printed(v))
		if total, outs = total+found, outs+of; found > 0 {
			t.Errorf("%s shows a key in %d of %d texts", name, found, of)
		}
	}
	control, of := canary.In(scoreboard.Printed(f.RootKeys[1].Versions[1]))
	require.Greater(t, len(values), 50)
	scoreboard.Row(t, "S16", total == 0 && control > of/2,
		fmt.Sprintf("localkms: %d of %d texts of %d values and failures", total, outs, len(values)), "0",
		fmt.Sprintf("the key file as Go reads it: %d of %d", control, of))
}
