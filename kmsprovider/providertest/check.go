package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A check is one subtest. It reports with an error and not through testing.TB,
// so that the suite's own tests can run it on a broken provider and see it
// fail without failing themselves.
type check struct {
	name   string
	needs  func(h Harness, p kmsprovider.Provider) string // "" or what is missing; may be nil
	defect Defect                                         // the defect that the check can meet, if any
	run    func(p probe) error
}

func checks() []check {
	return slices.Concat(
		dataKeyChecks(),
		rootKeyChecks(),
		contextChecks(),
		wrappedChecks(),
		bufferChecks(),
		rewrapChecks(),
		wrapChecks(),
		callChecks(),
		errorChecks(),
		stateChecks(),
		faultChecks(),
	)
}

// errDefect marks the error of a check that met exactly its defect, and not
// some other failure that the defect doesn't excuse.
var errDefect = errors.New("known defect")

func (c check) leftOut(t testing.TB, h Harness) string {
	if c.needs == nil {
		return ""
	}
	return c.needs(h, h.New(t))
}

// verdict runs the check and settles whether its outcome is the right one for
// what the harness says is known.
func (c check) verdict(t testing.TB, h Harness) (note string, err error) {
	err = c.run(probe{tb: t, ctx: t.Context(), h: h})
	if c.defect == "" || !slices.Contains(h.Known, c.defect) {
		return "", err
	}
	switch {
	case err == nil:
		return "", fmt.Errorf("the known defect no longer shows: drop it from Harness.Known: %s", c.defect)
	case errors.Is(err, errDefect):
		return fmt.Sprintf("KNOWN DEFECT of the service, not held against the provider: %s: %v", c.defect, err), nil
	}
	return "", err
}

// A probe is one check at work.
type probe struct {
	tb  testing.TB
	ctx context.Context
	h   Harness
}

func (p probe) provider() kmsprovider.Provider { return p.h.New(p.tb) }

// victim returns a root key whose state the check may change and restore.
func (p probe) victim() string {
	if p.h.NewRootKey != nil {
		return p.h.NewRootKey(p.tb)
	}
	return p.h.RootKey
}

func (p probe) generate(pr kmsprovider.Provider, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	dk, err := pr.GenerateDataKey(p.ctx, rootKey, ec)
	if err != nil {
		return kmsprovider.DataKey{}, fmt.Errorf("GenerateDataKey under %q with %v: %w", rootKey, ec, err)
	}
	return dk, nil
}

// opens fails unless wrapped unwraps to want.
func (p probe) opens(pr kmsprovider.Provider, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext, want []byte) error {
	plain, err := pr.Unwrap(p.ctx, rootKey, wrapped, ec)
	if err != nil {
		return fmt.Errorf("calling Unwrap under %q with %v: %w", rootKey, ec, err)
	}
	if !bytes.Equal(plain, want) {
		return fmt.Errorf("calling Unwrap under %q with %v gave another data key (%d bytes) than was wrapped", rootKey, ec, len(plain))
	}
	return nil
}

// refused fails unless err is of one of the classes.
func refused(what string, err error, classes ...error) error {
	if err == nil {
		return fmt.Errorf("%s: accepted, want %s", what, names(classes))
	}
	class := ClassOf(err)
	if class == nil {
		return fmt.Errorf("%s: %w", what, classless(err))
	}
	if !slices.ContainsFunc(classes, func(c error) bool { return errors.Is(class, c) }) {
		return fmt.Errorf("%s: got the class %q, want %s: %w", what, class, names(classes), err)
	}
	return nil
}

// classless describes an error that isn't allowed to a provider.
func classless(err error) error {
	return fmt.Errorf("an error must match exactly one class of package kmsprovider, or be the caller's own context error: %w", err)
}

func names(classes []error) string {
	var s []string
	for _, c := range classes {
		s = append(s, fmt.Sprintf("%q", c))
	}
	return strings.Join(s, " or ")
}

// sampleContext has the pairs that the library itself uses. Each call makes a
// new map.
func sampleContext() kmsprovider.EncryptionContext {
	return kmsprovider.EncryptionContext{
		"fieldcrypt:v":       "1",
		"fieldcrypt:tenant":  "acme",
		"fieldcrypt:class":   "crm",
		"fieldcrypt:purpose": "data",
	}
}

// with returns a copy of ec that edit has changed.
func with(ec kmsprovider.EncryptionContext, edit func(kmsprovider.EncryptionContext)) kmsprovider.EncryptionContext {
	c := maps.Clone(ec)
	edit(c)
	return c
}
