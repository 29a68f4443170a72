package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func errorChecks() []check {
	return []check{
		{name: "errors-classed", run: errorsClassed},
		{name: "errors-keep-secrets", run: errorsKeepSecrets},
		{name: "errors-without-result", run: errorsWithoutResult},
	}
}

// A failure is the outcome of a call that had to fail.
type failure struct {
	what   string
	err    error
	result bool // something came beside the error
}

// failures makes one data key and every kind of call that has to fail on it.
func (p probe) failures() ([]failure, kmsprovider.DataKey, error) {
	pr, ec := p.provider(), sampleContext()
	dk, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return nil, dk, err
	}
	ended, cancel := context.WithCancel(p.ctx)
	cancel()
	flip := slices.Clone(dk.Wrapped)
	flip[len(flip)-1] ^= 1
	other := kmsprovider.EncryptionContext{"tenant": "other"}
	badUTF8 := kmsprovider.EncryptionContext{"tenant": "\xff"}

	var out []failure
	generate := func(ctx context.Context, what, rootKey string, ec kmsprovider.EncryptionContext) {
		dk, err := pr.GenerateDataKey(ctx, rootKey, ec)
		out = append(out, failure{"GenerateDataKey " + what, err, dk.Plaintext != nil || dk.Wrapped != nil || dk.RootKey != ""})
	}
	unwrap := func(ctx context.Context, what, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) {
		plain, err := pr.Unwrap(ctx, rootKey, wrapped, ec)
		out = append(out, failure{"Unwrap " + what, err, plain != nil})
	}
	generate(p.ctx, "under a missing root key", p.h.MissingRootKey, ec)
	generate(p.ctx, "under a foreign root key", "no-such-kms://x", ec)
	generate(p.ctx, "with bad UTF-8", p.h.RootKey, badUTF8)
	generate(ended, "with an ended context", p.h.RootKey, ec)
	unwrap(p.ctx, "under the wrong root key", p.h.OtherRootKey, dk.Wrapped, ec)
	unwrap(p.ctx, "under a missing root key", p.h.MissingRootKey, dk.Wrapped, ec)
	unwrap(p.ctx, "under no root key", "", dk.Wrapped, ec)
	unwrap(p.ctx, "with another context", p.h.RootKey, dk.Wrapped, other)
	unwrap(p.ctx, "without context", p.h.RootKey, dk.Wrapped, nil)
	unwrap(p.ctx, "with bad UTF-8", p.h.RootKey, dk.Wrapped, badUTF8)
	unwrap(p.ctx, "of a tampered key", p.h.RootKey, flip, ec)
	unwrap(p.ctx, "of a short key", p.h.RootKey, dk.Wrapped[:len(dk.Wrapped)-1], ec)
	unwrap(p.ctx, "of nothing", p.h.RootKey, nil, ec)
	unwrap(p.ctx, "of the plain key", p.h.RootKey, dk.Plaintext, ec)
	unwrap(p.ctx, "of 6,145 bytes", p.h.RootKey, bytes.Repeat(dk.Plaintext, maxWrapped/len(dk.Plaintext)+1)[:maxWrapped+1], ec)
	unwrap(ended, "with an ended context", p.h.RootKey, dk.Wrapped, ec)
	if r, ok := pr.(kmsprovider.Rewrapper); ok {
		rewrap := func(ctx context.Context, what, from string, wrapped []byte, to string) {
			w, uri, err := r.Rewrap(ctx, from, wrapped, to, ec)
			out = append(out, failure{"Rewrap " + what, err, w != nil || uri != ""})
		}
		rewrap(p.ctx, "to a missing root key", p.h.RootKey, dk.Wrapped, p.h.MissingRootKey)
		rewrap(p.ctx, "from the wrong root key", p.h.OtherRootKey, dk.Wrapped, p.h.RootKey)
		rewrap(p.ctx, "of a tampered key", p.h.RootKey, flip, p.h.OtherRootKey)
		rewrap(ended, "with an ended context", p.h.RootKey, dk.Wrapped, p.h.OtherRootKey)
	}
	if w, ok := pr.(kmsprovider.Wrapper); ok {
		wrap := func(ctx context.Context, what, rootKey string, ec kmsprovider.EncryptionContext) {
			wrapped, uri, err := w.Wrap(ctx, rootKey, dk.Plaintext, ec)
			out = append(out, failure{"Wrap " + what, err, wrapped != nil || uri != ""})
		}
		wrap(p.ctx, "under a missing root key", p.h.MissingRootKey, ec)
		wrap(p.ctx, "with bad UTF-8", p.h.RootKey, badUTF8)
		wrap(ended, "with an ended context", p.h.RootKey, ec)
	}
	if c, ok := pr.(kmsprovider.Checker); ok {
		out = append(
			out,
			failure{"Check of a missing root key", c.Check(p.ctx, p.h.MissingRootKey), false},
			failure{"Check with an ended context", c.Check(ended, p.h.RootKey), false},
		)
	}
	if r, ok := pr.(kmsprovider.Resolver); ok {
		_, err := r.Resolve(p.ctx, "no-such-kms://x")
		out = append(out, failure{"Resolve of a foreign root key", err, false})
	}
	return out, dk, nil
}

func errorsClassed(p probe) error {
	failures, _, err := p.failures()
	if err != nil {
		return err
	}
	for _, f := range failures {
		if f.err == nil {
			return fmt.Errorf("%s: accepted", f.what)
		}
		if ClassOf(f.err) == nil {
			return fmt.Errorf("%s: %w", f.what, classless(f.err))
		}
	}
	return nil
}

func errorsKeepSecrets(p probe) error {
	failures, dk, err := p.failures()
	if err != nil {
		return err
	}
	for _, f := range failures {
		for _, text := range spellings(f.err) {
			if where := shows(text, dk.Plaintext); where != "" {
				return fmt.Errorf("%s: the error shows the plain data key in %s", f.what, where)
			}
		}
	}
	return nil
}

// spellings returns an error, and each error that it wraps, as loggers print
// them.
func spellings(err error) []string {
	if err == nil {
		return nil
	}
	s := []string{fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%q", err)}
	if j, jsonErr := json.Marshal(err); jsonErr == nil {
		s = append(s, string(j), strings.ReplaceAll(string(j), `\/`, "/"))
	}
	switch w := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() error }:
		s = append(s, spellings(w.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			s = append(s, spellings(e)...)
		}
	}
	return s
}

func errorsWithoutResult(p probe) error {
	failures, _, err := p.failures()
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range failures {
		if f.result {
			errs = append(errs, fmt.Errorf("%s: returned a result beside its error", f.what))
		}
	}
	return errors.Join(errs...)
}
