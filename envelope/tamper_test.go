package envelope

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// tampering counts what became of altered envelopes.
type tampering struct {
	cases, refused int
	opened         int // altered where that must be refused, and opened all the same
	wrong          int // opened to something else than was sealed
	panics         int

	// Where an envelope carries its wrapped key: a warm cache doesn't look at
	// it, so that it may be refused or give the right value.
	keyCases, keyRight int
}

// tamper gives open every single-bit flip and every truncation of an envelope.
// Flips of the bytes from keyFrom to keyTo may give the right value.
func (n *tampering) tamper(env, frame []byte, keyFrom, keyTo int, open func([]byte) ([]byte, error)) {
	try := func(altered []byte, inKey bool) {
		n.cases++
		var out []byte
		err := guard(func() (err error) {
			out, err = open(altered)
			if err != nil {
				out, err = nil, nil
			}
			return err
		})
		right := bytes.Equal(out, frame)
		switch {
		case err != nil:
			n.panics++
		case out == nil:
			n.refused++
		case !right:
			n.wrong++
		case inKey:
			n.keyRight++
		default:
			n.opened++
		}
		if inKey {
			n.keyCases++
		}
	}
	altered := bytes.Clone(env)
	for i := range altered {
		for bit := range 8 {
			altered[i] ^= 1 << bit
			try(altered, i >= keyFrom && i < keyTo)
			altered[i] ^= 1 << bit
		}
	}
	for length := range env {
		try(env[:length:length], false)
	}
}

// tamperSizes are the sizes of the values that are altered: all from 0 to 256
// bytes, or some around the block size and the ends.
func tamperSizes() []int {
	quick := []int{0, 1, 2, 3, 14, 15, 16, 17, 31, 32, 33, 64, 127, 128, 255, 256}
	var all []int
	for size := range 257 {
		if scoreboard.Full() || slices.Contains(quick, size) {
			all = append(all, size)
		}
	}
	return all
}

func TestScoreboardS2(t *testing.T) {
	var honest, control, det, detControl tampering
	ctr := unauthenticated(t)
	tamperDeterministic(t, &det, &detControl)
	require.Positive(t, detControl.wrong)
	require.Zero(t, det.wrong+det.opened+det.panics+detControl.panics, "deterministic envelopes")
	honest.add(det)
	control.add(detControl)
	for _, opts := range []*Options{nil, {Store: NewMemoryStore()}} {
		r := plainRing(t, &plainProvider{}, opts)
		b := place("acme")
		for _, size := range tamperSizes() {
			value := make([]byte, size)
			rand.Read(value)
			frame := AppendFrame(nil, TypeBytes, value)
			env, err := r.Seal(t.Context(), b, frame)
			require.NoError(t, err)
			out, err := r.Open(t.Context(), b, env)
			require.NoError(t, err)
			require.Equal(t, frame, out)
			h, err := parseHeader(env)
			require.NoError(t, err)

			from, to := 0, 0
			if h.mode == ModeInline {
				from = fixedHeader + 2
				to = len(env) - len(h.body)
			}
			honest.tamper(env, frame, from, to, func(altered []byte) ([]byte, error) {
				return r.Open(t.Context(), b, altered)
			})
			if h.mode == ModeReference {
				control.tamper(ctr.seal(env, frame), frame, 0, 0, ctr.open)
			}
		}
	}
	if honest.keyRight == 0 || honest.keyRight == honest.keyCases {
		t.Errorf("%d of %d flips in URI or wrapped key gave the right value: some must, and those in the URI must not", honest.keyRight, honest.keyCases)
	}
	require.Zero(t, control.panics)
	if honest.opened != 0 {
		t.Errorf("%d envelopes opened that were altered outside of URI and wrapped key", honest.opened)
	}
	scoreboard.Row(t, "S2", honest.wrong+honest.panics+honest.opened == 0 && control.wrong > 0,
		fmt.Sprintf("%d wrong, %d panics of %d (%d flips in URI or wrapped key on a warm cache: %d the right value, the rest refused)",
			honest.wrong+honest.opened, honest.panics, honest.cases, honest.keyCases, honest.keyRight),
		fmt.Sprintf("0 of %s", map[bool]string{true: "> 400,000", false: "a spread of sizes"}[scoreboard.Full()]),
		fmt.Sprintf("%d wrong of %d with AES-CTR alone", control.wrong, control.cases))
}

func (n *tampering) add(other tampering) {
	n.cases, n.refused, n.opened = n.cases+other.cases, n.refused+other.refused, n.opened+other.opened
	n.wrong, n.panics = n.wrong+other.wrong, n.panics+other.panics
}

// tamperDeterministic alters deterministic envelopes. The control decrypts as
// AES-SIV does, and never looks whether the SIV is that of the frame.
func tamperDeterministic(t *testing.T, honest, control *tampering) {
	t.Helper()
	p := &plainProvider{}
	r := plainRing(t, p, &Options{Store: NewMemoryStore()})
	b := column("acme")
	for _, size := range tamperSizes() {
		value := make([]byte, size)
		rand.Read(value)
		frame := AppendFrame(nil, TypeBytes, value)
		env := mustSealDet(t, r, b, frame)
		out, err := r.OpenDeterministic(t.Context(), b, env)
		require.NoError(t, err)
		require.Equal(t, frame, out)
		honest.tamper(env, frame, 0, 0, func(altered []byte) ([]byte, error) { return r.OpenDeterministic(t.Context(), b, altered) })

		secret := make([]byte, 32)
		copy(secret, "made-up key 1")
		key, err := primitives.Derive(secret, "fieldcrypt/v1 aes-siv"+string(b.Scope.withDefault().canonical()), primitives.SIVKeySize)
		require.NoError(t, err)
		block, err := aes.NewCipher(key[32:])
		require.NoError(t, err)
		decrypt := func(altered []byte) ([]byte, error) {
			h, err := parseHeader(altered)
			if err != nil || h.mode != ModeDeterministic {
				return nil, errors.New("no deterministic envelope")
			}
			start := bytes.Clone(h.body[:sivSize])
			start[8] &= 0x7f
			start[12] &= 0x7f
			out := make([]byte, len(h.body)-sivSize)
			cipher.NewCTR(block, start).XORKeyStream(out, h.body[sivSize:])
			return out, checkDeterministicFrame(out)
		}
		out, err = decrypt(env)
		require.NoError(t, err)
		require.Equal(t, frame, out)
		control.tamper(env, frame, 0, 0, decrypt)
	}
}

// ctrOnly is the control: the same envelope without a tag that is looked at.
type ctrOnly struct{ block cipher.Block }

func unauthenticated(t *testing.T) ctrOnly {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	return ctrOnly{block}
}

// seal puts a body of its own behind the header of a reference envelope.
func (c ctrOnly) seal(env, frame []byte) []byte {
	out := bytes.Clone(env)
	body := out[fixedHeader:]
	c.stream(body[:nonceSize]).XORKeyStream(body[nonceSize:nonceSize+len(frame)], frame)
	return out
}

func (c ctrOnly) open(env []byte) ([]byte, error) {
	h, err := parseHeader(env)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(h.body)-nonceSize-tagSize)
	c.stream(h.body[:nonceSize]).XORKeyStream(out, h.body[nonceSize:len(h.body)-tagSize])
	_, _, err = ParseFrame(out)
	return out, err
}

func (c ctrOnly) stream(nonce []byte) cipher.Stream {
	return cipher.NewCTR(c.block, append(bytes.Clone(nonce), 0, 0, 0, 2))
}

// A swap test has one cell for each combination of these, whose names run into
// each other where nothing keeps them apart.
type cellNames struct{ tenants, classes, modules, fields, records []string }

func swapCells() cellNames {
	n := cellNames{
		[]string{"a", "ab", "abc", "acme", "acme\x00"},
		[]string{"", "b", "bc", "crm"},
		[]string{"C", "Co", "Contacts", "Lead"},
		[]string{"email", "ontactsemail", "mail", "il", "l"},
		[]string{"1", "11", "\x00\x00\x00\x011", "1\x00", unboundRecord},
	}
	if !scoreboard.Full() {
		n.tenants, n.classes, n.modules = n.tenants[:2], n.classes[:2], n.modules[:2]
	}
	return n
}

const unboundRecord = "" // the cell that is bound to no record

func (n *cellNames) bindings() []Binding {
	var all []Binding
	for _, tenant := range n.tenants {
		for _, class := range n.classes {
			for _, module := range n.modules {
				for _, field := range n.fields {
					for _, record := range n.records {
						all = append(all, Binding{
							Scope: Scope{tenant, class}, Field: MustField(module, field),
							Record: record, Unbound: record == unboundRecord,
						})
					}
				}
			}
		}
	}
	return all
}

func TestScoreboardS3(t *testing.T) {
	names := swapCells()
	bindings := names.bindings()
	require.Len(t, bindings, scoreboard.Count(200, 2000))
	r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	frame := AppendString(nil, "ada@example.com")
	envelopes := make([][]byte, len(bindings))
	for i := range bindings {
		var err error
		envelopes[i], err = r.Seal(t.Context(), &bindings[i], frame)
		require.NoError(t, err)
	}
	opened, own := 0, 0
	for i := range bindings {
		for j := range envelopes {
			_, err := r.Open(t.Context(), &bindings[i], envelopes[j])
			switch {
			case err == nil && i == j:
				own++
			case err == nil:
				if opened++; opened <= 10 {
					t.Errorf("%s opens what was sealed for %s", &bindings[i], &bindings[j])
				}
			case i != j && class(err) != "not-authentic" && !isNotFound(err):
				t.Fatalf("%s: %v", &bindings[i], err)
			}
		}
	}
	require.Equal(t, len(bindings), own, "cells that open under their own binding")
	opened += swapDeterministic(t, r, bindings, frame)
	pairs := len(bindings) * (len(bindings) - 1)
	loose, expected := swapsWithoutBinding(t, bindings, frame)
	scoreboard.Row(t, "S3", opened == 0 && loose == expected,
		fmt.Sprintf("%d of %d", opened, pairs), fmt.Sprintf("0 of %d", scoreboard.Count(39_800, 3_998_000)),
		fmt.Sprintf("%d of %d within a scope, with no binding in the additional data", loose, expected))
}

// swapDeterministic tries the deterministic envelopes of all cells, of which those
// of the records of one field are the same, under the bindings of all others. It
// returns how many open elsewhere.
func swapDeterministic(t *testing.T, r *KeyRing, bindings []Binding, frame []byte) (opened int) {
	t.Helper()
	var columns []Binding
	for _, b := range bindings {
		if b.Unbound {
			columns = append(columns, b)
		}
	}
	envelopes := make([][]byte, len(columns))
	for i := range columns {
		envelopes[i] = mustSealDet(t, r, &columns[i], frame)
	}
	for i := range columns {
		own, elsewhere := 0, 0
		for j := range envelopes {
			_, err := r.OpenDeterministic(t.Context(), &columns[i], envelopes[j])
			switch {
			case err == nil && i == j:
				own++
			case err == nil:
				elsewhere++
			default:
				require.True(t, class(err) == "not-authentic" || isNotFound(err), "%v", err)
			}
		}
		require.Equal(t, 1, own)
		if opened += elsewhere; elsewhere > 0 {
			t.Errorf("%s opens %d envelopes of other fields", &columns[i], elsewhere)
		}
	}
	return opened
}

func isNotFound(err error) bool { return errors.Is(err, ErrKeyNotFound) }

// swapsWithoutBinding is the control: additional data that ends with the scope.
// It returns how many ordered pairs of one scope open, and how many there are.
func swapsWithoutBinding(t *testing.T, bindings []Binding, frame []byte) (opened, pairs int) {
	t.Helper()
	keys := map[Scope]*dataKey{}
	sealed := map[Scope][][]byte{}
	for i := range bindings {
		scope := bindings[i].Scope.withDefault()
		if keys[scope] == nil {
			secret := make([]byte, 32)
			rand.Read(secret)
			k, err := newDataKey(secret, scope)
			require.NoError(t, err)
			keys[scope] = k
		}
		k := keys[scope]
		sealed[scope] = append(sealed[scope], k.sealFrame(nil, frame, k.prefix))
	}
	for scope, bodies := range sealed {
		for i := range bodies {
			for j := range bodies {
				if i == j {
					continue
				}
				pairs++
				// The place of cell i does not come into it.
				if _, err := keys[scope].openFrame(nil, bodies[j], keys[scope].prefix); err == nil {
					opened++
				}
			}
		}
	}
	return opened, pairs
}
