package providertest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const flipped = 256 // positions of a wrapped key that are flipped, at most

func wrappedChecks() []check {
	return []check{
		{name: "wrapped-tampered", run: wrappedTampered},
		{name: "wrapped-length", run: wrappedLength},
		{name: "wrapped-not-a-data-key", needs: needsWrap, run: wrappedNotADataKey},
	}
}

func needsWrap(h Harness, _ kmsprovider.Provider) string {
	if h.Wrap == nil {
		return "Harness.Wrap is nil"
	}
	return ""
}

// rejects fails unless each of the wrapped keys is refused.
func (p probe) rejects(pr kmsprovider.Provider, what string, wrapped []byte) error {
	_, err := pr.Unwrap(p.ctx, p.h.RootKey, wrapped, sampleContext())
	return refused("Unwrap of a wrapped key "+what, err, kmsprovider.ErrInvalidCiphertext)
}

func wrappedTampered(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	step := max(1, (len(dk.Wrapped)+flipped-1)/flipped)
	for i := 0; i < len(dk.Wrapped); i += step {
		for _, bit := range []byte{1 << (i % 8), 0xFF} {
			w := slices.Clone(dk.Wrapped)
			w[i] ^= bit
			if err := p.rejects(pr, fmt.Sprintf("with byte %d of %d changed", i, len(w)), w); err != nil {
				return err
			}
		}
	}
	other, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	if len(other.Wrapped) != len(dk.Wrapped) {
		return nil
	}
	for _, cut := range []int{len(dk.Wrapped) / 2, len(dk.Wrapped) - 16, len(dk.Wrapped) - 1} {
		if cut <= 0 || bytes.Equal(dk.Wrapped[cut:], other.Wrapped[cut:]) {
			continue
		}
		w := append(slices.Clone(dk.Wrapped[:cut]), other.Wrapped[cut:]...)
		if bytes.Equal(w, other.Wrapped) {
			continue
		}
		if err := p.rejects(pr, fmt.Sprintf("spliced from two at byte %d", cut), w); err != nil {
			return err
		}
	}
	return nil
}

func wrappedLength(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	n := len(dk.Wrapped)
	for _, c := range []struct {
		name    string
		wrapped []byte
	}{
		{"that is nil", nil},
		{"that is empty", []byte{}},
		{"of one zero byte", []byte{0}},
		{"cut to one byte", dk.Wrapped[:1]},
		{"cut to a quarter", dk.Wrapped[:n/4]},
		{"cut to half", dk.Wrapped[:n/2]},
		{"without its last 16 bytes", dk.Wrapped[:max(0, n-16)]},
		{"without its last byte", dk.Wrapped[:n-1]},
		{"without its first byte", dk.Wrapped[1:]},
		{"with a zero byte added", append(slices.Clone(dk.Wrapped), 0)},
		{"with a zero byte in front", append([]byte{0}, dk.Wrapped...)},
		{"that is there twice", append(slices.Clone(dk.Wrapped), dk.Wrapped...)},
		{"padded to 6,145 bytes", append(slices.Clone(dk.Wrapped), make([]byte, maxWrapped+1-n)...)},
		{"of 6,145 bytes", bytes.Repeat([]byte{0xA5}, maxWrapped+1)},
		{"of 10 MiB", bytes.Repeat([]byte{0xA5}, 10<<20)},
		{"of the plain key", dk.Plaintext},
	} {
		if err := p.rejects(pr, c.name, c.wrapped); err != nil {
			return err
		}
	}
	return p.opens(pr, dk.RootKey, dk.Wrapped, sampleContext(), dk.Plaintext)
}

func wrappedNotADataKey(p probe) error {
	pr := p.provider()
	want := bytes.Repeat([]byte{0x5A}, kmsprovider.DataKeySize)
	if err := p.opens(pr, p.h.RootKey, p.h.Wrap(p.tb, p.h.RootKey, want, sampleContext()), sampleContext(), want); err != nil {
		return fmt.Errorf("what Harness.Wrap made of 32 bytes: %w", err)
	}
	for _, n := range []int{1, 16, 31, 33, 64} {
		w := p.h.Wrap(p.tb, p.h.RootKey, bytes.Repeat([]byte{0x5A}, n), sampleContext())
		_, err := pr.Unwrap(p.ctx, p.h.RootKey, w, sampleContext())
		if err := refused(fmt.Sprintf("Unwrap of %d wrapped bytes, which are no data key", n), err, kmsprovider.ErrInvalidCiphertext, kmsprovider.ErrUnavailable); err != nil {
			return err
		}
	}
	return nil
}
