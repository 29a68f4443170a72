package envelope

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// cutLP reads what appendLP wrote.
func cutLP(b []byte) (s string, rest []byte, err error) {
	if len(b) < 4 {
		return "", nil, errors.New("no length there")
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, errors.New("length past the end")
	}
	return string(b[4 : 4+n]), b[4+n:], nil
}

func cutLPs(b []byte, into ...*string) (rest []byte, err error) {
	for _, s := range into {
		if *s, b, err = cutLP(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

const fieldLabel = "fieldcrypt/v1 field"

// parseAdditionalData gives the binding and the key ID back.
func parseAdditionalData(aad []byte) (b Binding, id KeyID, err error) {
	rest, ok := bytes.CutPrefix(aad, append([]byte(fieldLabel), version))
	if !ok || len(rest) < len(id) {
		return b, id, errors.New("no label, version or key ID")
	}
	rest = rest[copy(id[:], rest):]
	var module, name string
	if rest, err = cutLPs(rest, &b.Scope.Tenant, &b.Scope.Class, &module, &name); err != nil {
		return b, id, err
	}
	if b.Field, err = NewField(module, name); err != nil {
		return b, id, err
	}
	if len(rest) == 0 {
		return b, id, errors.New("doesn't say what is bound")
	}
	switch bound := rest[0]; bound {
	case notBound:
		b.Unbound = true
		rest = rest[1:]
	case boundRecord:
		if rest, err = cutLPs(rest[1:], &b.Record); err != nil {
			return b, id, err
		}
	default:
		return b, id, fmt.Errorf("bound is 0x%02x", bound)
	}
	if len(rest) != 0 {
		return b, id, fmt.Errorf("%d bytes too many", len(rest))
	}
	return b, id, nil
}

// A nameMaker makes names that would be mistaken for each other where they are
// joined carelessly: of few letters, delimiters and things that look like
// lengths.
type nameMaker struct{ *rand.Rand }

var nameParts = []string{
	"a", "b", "ab", "1", "42", "\x00", "\x00\x00\x00\x01", "\x01", "\x01a", "|", ":", "/", ".", ",", "\"", "\\", "\n", " ", "default",
	"ä", "a\u0308", "\u200d", "\u202e", "\ufeff", "日本", "😀", "\ufffd", "K", "\u212a", "\x7f",
}

func (m nameMaker) name(limit int) string {
	if m.IntN(50) == 0 {
		return strings.Repeat("a", 1+m.IntN(limit))
	}
	s := nameParts[m.IntN(len(nameParts))]
	for m.IntN(2) == 0 && len(s) < limit-8 {
		s += nameParts[m.IntN(len(nameParts))]
	}
	return s
}

func (m nameMaker) binding(scope Scope) Binding {
	b := Binding{Scope: scope, Field: MustField(m.name(maxName), m.name(maxName))}
	if b.Unbound = m.IntN(8) == 0; !b.Unbound {
		b.Record = m.name(maxRecord)
	}
	return b
}

// shifted returns b with the same letters in the same order, divided otherwise
// between module, field and record, or b where that gives no good names.
func (m nameMaker) shifted(b Binding) Binding {
	all := b.Field.Module() + b.Field.Name() + b.Record
	first := 1 + m.IntN(len(all))
	second := first + m.IntN(len(all)-first+1)
	f, err := NewField(all[:first], all[first:second])
	other := Binding{b.Scope, f, all[second:], second == len(all)}
	if err != nil || other.checkPlace() != nil {
		return b
	}
	return other
}

// prints are the hashes of a binding's names and of the bytes made of them.
type prints struct{ names, bytes uint64 }

// collisions counts the different names among those that made the same bytes.
func collisions(all []prints) int {
	slices.SortFunc(all, func(a, b prints) int {
		return cmp.Or(cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.names, b.names))
	})
	n := 0
	for i := 1; i < len(all); i++ {
		if all[i].bytes == all[i-1].bytes && all[i].names != all[i-1].names {
			n++
		}
	}
	return n
}

// joined is the control: the names one after the other.
func joined(b *Binding) []byte {
	return []byte(b.Scope.Tenant + b.Scope.Class + b.Field.Module() + b.Field.Name() + b.Record)
}

// plainNames tells bindings apart in a way of its own.
func plainNames(b *Binding) []string {
	return []string{b.Scope.Tenant, b.Scope.Class, b.Field.Module(), b.Field.Name(), b.Record, fmt.Sprint(b.Unbound)}
}

func TestScoreboardS4(t *testing.T) {
	m := nameMaker{rand.New(rand.NewPCG(4, 4))}
	seed := maphash.MakeSeed()
	hashNames := func(names []string) uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, s := range names {
			maphash.WriteComparable(&h, s)
			maphash.WriteComparable(&h, len(s))
		}
		return h.Sum64()
	}
	// Many bindings a scope, since a scope costs a key.
	count, each := scoreboard.Count(100_000, 10_000_000), 100
	var ours, control []prints
	parsed := 0
	secret := []byte("0123456789abcdef0123456789abcdef")
	for range count / each {
		scope := Scope{m.name(maxName), m.name(maxName)}
		k, err := newDataKey(bytes.Clone(secret), scope)
		require.NoError(t, err)
		b := m.binding(scope)
		for i := range each {
			if i%2 == 0 {
				b = m.binding(scope)
			} else {
				b = m.shifted(b)
			}
			if err := b.checkPlace(); err != nil {
				t.Fatal(err)
			}
			aad := b.appendPlace(bytes.Clone(k.prefix))
			if back, id, err := parseAdditionalData(aad); err == nil && back == b && id == k.id {
				parsed++
			}
			// The key ID would tell scopes apart on its own: leave it out.
			clear(aad[len(fieldLabel)+1:][:len(k.id)])
			names := hashNames(plainNames(&b))
			ours = append(ours, prints{names, maphash.Bytes(seed, aad)})
			control = append(control, prints{names, maphash.Bytes(seed, joined(&b))})
		}
	}
	contexts, controlContexts, given := encryptionContexts(t, m, seed, hashNames)
	same, sameContext := collisions(ours), collisions(contexts)
	joinedSame, joinedContext := collisions(control), collisions(controlContexts)
	tags, controlTags := indexInputs(t, m, seed, hashNames)
	sameTags, joinedTags := collisions(tags), collisions(controlTags)
	require.Positive(t, joinedTags, "the control: names and numbers of indexes that are joined without lengths")
	same += sameTags
	scoreboard.Row(t, "S4", same+sameContext == 0 && parsed == count && given == len(contexts) && joinedSame > 0 && joinedContext > 0,
		fmt.Sprintf("%d of %d bindings and %d tags; %d of %d; %d and %d given back", same, count, len(tags), sameContext, len(contexts), parsed, given),
		"0; 0; all", fmt.Sprintf("%d, %d and %d where names are joined without lengths", joinedSame, joinedTags, joinedContext))
}

// indexInputs makes what goes into many tags, the info that their key is derived
// with and the message, and those of a control. Half of them are the one before
// with the same letters divided otherwise.
func indexInputs(t *testing.T, m nameMaker, seed maphash.Seed, hash func([]string) uint64) (ours, control []prints) {
	t.Helper()
	for range scoreboard.Count(50_000, 2_000_000) {
		scope, b := Scope{m.name(20), m.name(20)}, m.binding(Scope{})
		name, value := m.name(20), m.name(20)
		spec := IndexSpec{Field: b.Field, Version: 1 + m.Uint32N(300), Bits: 1 + m.IntN(256)}
		p := byte(m.IntN(4))
		all := name + value
		for _, cut := range []int{len(name), 1 + m.IntN(len(all))} {
			spec.Name = all[:cut]
			ix, err := NewIndex(spec)
			if err != nil {
				continue
			}
			head := string([]byte{byte(spec.Bits >> 8), byte(spec.Bits), p})
			names := hash([]string{
				scope.Tenant, scope.Class, spec.Field.Module(), spec.Field.Name(), spec.Name, fmt.Sprint(spec.Version, spec.Bits, p), all[cut:],
			})
			var h maphash.Hash
			h.SetSeed(seed)
			maphash.WriteComparable(&h, ix.keyInfo(scope)) // the key, and then the message
			maphash.WriteComparable(&h, head+all[cut:])
			ours = append(ours, prints{names, h.Sum64()})
			joined := scope.Tenant + scope.Class + spec.Field.Module() + spec.Field.Name() + fmt.Sprint(spec.Version, spec.Bits, p) + all
			control = append(control, prints{names, maphash.String(seed, joined)})
		}
	}
	return ours, control
}

// encryptionContexts makes the canonical encryption contexts of many scopes and
// purposes, those of a control, and counts how many a parser gives back.
func encryptionContexts(t *testing.T, m nameMaker, seed maphash.Seed, hash func([]string) uint64) (ours, control []prints, given int) {
	t.Helper()
	for range scoreboard.Count(5_000, 500_000) {
		scope := Scope{m.name(maxName), m.name(maxName)}
		for _, purpose := range []Purpose{PurposeData, PurposeDeterministic, PurposeIndex, PurposeLog} {
			ec := encryptionContext(scope, purpose)
			canonical, err := ec.Canonical()
			require.NoError(t, err)
			back := kmsprovider.EncryptionContext{}
			for rest := canonical; len(rest) > 0; {
				var key, value string
				rest, err = cutLPs(rest, &key, &value)
				require.NoError(t, err)
				back[key] = value
			}
			if len(back) == 4 && back["fieldcrypt:v"] == "1" && back["fieldcrypt:tenant"] == scope.Tenant &&
				back["fieldcrypt:class"] == scope.Class && back["fieldcrypt:purpose"] == string(purpose) {
				given++
			}
			names := hash([]string{scope.Tenant, scope.Class, string(purpose)})
			ours = append(ours, prints{names, maphash.Bytes(seed, canonical)})
			control = append(control, prints{names, maphash.String(seed, scope.Tenant+scope.Class+string(purpose))})
		}
	}
	return ours, control, given
}

// Bindings that are the same when read carelessly, and are not.
func TestAdversarialBindings(t *testing.T) {
	bind := func(tenant, class, module, field, record string) Binding {
		return Binding{Scope{tenant, class}, MustField(module, field), record, false}
	}
	all := []Binding{
		bind("a", "b", "c", "d", "e"),
		bind("ab", "c", "d", "e", "f"), bind("a", "bc", "d", "e", "f"), bind("a", "b", "cd", "e", "f"),
		bind("a", "b", "c", "de", "f"), bind("a", "b", "c", "d", "ef"),
		bind("a|b", "c", "d", "e", "f"), bind("a", "b|c", "d", "e", "f"),
		bind("a\x00", "b", "c", "d", "e"), bind("a", "\x00b", "c", "d", "e"),
		bind("a", "b", "c", "d\x01", "e"), bind("a", "b", "c", "d", "\x01e"),
		bind("a", "b", "c", "d", "\x00\x00\x00\x01e"), bind("a", "b", "c", "d\x01\x00\x00\x00\x01e", "e"),
		bind("a", "b", "c", "d", "\u00e4"), bind("a", "b", "c", "d", "a\u0308"),
		bind("A", "b", "c", "d", "e"), bind("a ", "b", "c", "d", "e"), bind("a", "b", "c", "d", "e "),
		bind("a", "default", "c", "d", "e"),
		{Scope{"a", "b"}, MustField("c", "d"), "", true},
		{Scope{"a", "b"}, MustField("c", "d\x00"), "", true},
	}
	seen := map[string]Binding{}
	for _, b := range all {
		prefix := append(append([]byte(fieldLabel), version), make([]byte, 32)...)
		aad := b.appendPlace(append(prefix, b.Scope.canonical()...))
		if other, taken := seen[string(aad)]; taken {
			t.Errorf("%s and %s share their additional data", &b, &other)
		}
		seen[string(aad)] = b
		back, _, err := parseAdditionalData(aad)
		require.NoError(t, err)
		require.Equal(t, b, back)
		for cut := range aad {
			if _, _, err := parseAdditionalData(aad[:cut]); err == nil {
				t.Errorf("%s: the first %d bytes read as a binding too", &b, cut)
			}
		}
	}
	r := plainRing(t, &plainProvider{}, nil)
	empty, named := bind("a", "", "c", "d", "e"), bind("a", "default", "c", "d", "e")
	env, err := r.Seal(t.Context(), &empty, AppendString(nil, "x"))
	require.NoError(t, err)
	_, err = r.Open(t.Context(), &named, env)
	require.NoError(t, err, "no class is the class default")
}

var badNames = map[string]string{
	"empty":              "",
	"not UTF-8":          "a\xff",
	"lone continuation":  "\x80",
	"overlong":           "\xc0\xaf",
	"surrogate":          "\xed\xa0\x80",
	"past the last rune": "\xf4\x90\x80\x80",
	"cut short":          "日"[:2],
	"256 bytes":          strings.Repeat("a", 256),
	"256 bytes of runes": strings.Repeat("ä", 128),
}

func TestBadNamesAreRefusedBeforeAnyCall(t *testing.T) {
	for name, bad := range badNames {
		t.Run(name, func(t *testing.T) {
			_, err := NewField(bad, "email")
			require.ErrorIs(t, err, ErrMalformed)
			_, err = NewField("Contacts", bad)
			require.ErrorIs(t, err, ErrMalformed)
			require.Panics(t, func() { MustField(bad, "email") })

			for _, store := range []KeyStore{nil, NewMemoryStore()} {
				p := &plainProvider{}
				r := plainRing(t, p, &Options{Store: store})
				env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
				require.NoError(t, err)
				calls := p.generated + p.unwrapped
				for part, alter := range map[string]func(*Binding){
					"tenant": func(b *Binding) { b.Scope.Tenant = bad },
					"class":  func(b *Binding) { b.Scope.Class = bad },
					"record": func(b *Binding) { b.Record = bad },
				} {
					if (part == "class" && bad == "") || (part == "record" && strings.HasPrefix(name, "256")) {
						continue // these two are good
					}
					b := place("acme")
					alter(b)
					_, err := r.Seal(t.Context(), b, AppendString(nil, "x"))
					require.ErrorIs(t, err, ErrMalformed, part)
					_, err = r.Open(t.Context(), b, env)
					require.ErrorIs(t, err, ErrMalformed, part)
				}
				require.Equal(t, calls, p.generated+p.unwrapped)
			}
		})
	}
}
