package envelope

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var mailIndex = IndexSpec{Field: email, Name: "email.v1", Version: 1, Bits: 32}

func mustIndex(tb testing.TB, spec IndexSpec) *Index {
	tb.Helper()
	ix, err := NewIndex(spec)
	require.NoError(tb, err)
	return ix
}

// tagsOf asks for a tag that must be there.
func tagOf(tb testing.TB, r *KeyRing, ix *Index, scope Scope, record, value string) string {
	tb.Helper()
	tag, err := r.AppendTag(tb.Context(), nil, ix, scope, record, []byte(value))
	require.NoError(tb, err)
	return string(tag)
}

func searchFor(tb testing.TB, r *KeyRing, ix *Index, scope Scope, value string) []string {
	tb.Helper()
	tags, err := r.QueryTags(tb.Context(), ix, scope, []byte(value))
	require.NoError(tb, err)
	var all []string
	for _, tag := range tags {
		all = append(all, string(tag))
	}
	return all
}

// TestTagByHand works tags out again from the page alone.
func TestTagByHand(t *testing.T) {
	p := &plainProvider{}
	scope := Scope{"acme", "crm"}
	for _, c := range []struct {
		bits, partitions int
		record           string
	}{{1, 0, ""}, {7, 0, ""}, {8, 0, ""}, {9, 3, "42"}, {20, 255, "43"}, {32, 1, "44"}, {255, 2, "ü"}, {256, 0, ""}} {
		r := plainRing(t, p, &Options{Store: NewMemoryStore()})
		ix := mustIndex(t, IndexSpec{Field: email, Name: "email.v1", Version: 258, Bits: c.bits, Partitions: c.partitions})
		for _, value := range []string{"", "ada@example.com", strings.Repeat("x", 300)} {
			got := tagOf(t, r, ix, scope, c.record, value)
			secret := make([]byte, 32)
			copy(secret, fmt.Sprintf("made-up key %d", p.made()))
			info := "fieldcrypt/v1 blind-index\x00\x00\x00\x04acme\x00\x00\x00\x03crm\x00\x00\x00\x08Contacts\x00\x00\x00\x05email\x00\x00\x00\x08email.v1\x00\x00\x01\x02"
			key, err := hkdf.Key(sha256.New, secret, nil, info, 32)
			require.NoError(t, err)
			mac := func(message string) []byte {
				h := hmac.New(sha256.New, key)
				h.Write([]byte(message))
				return h.Sum(nil)
			}
			p := byte(0)
			if c.partitions > 0 {
				p = byte(1 + binary.BigEndian.Uint32(mac("\x00\x00\x00\x00\x00"+string(rune(len(c.record)))+c.record))%uint32(c.partitions))
			}
			sum := mac(string([]byte{byte(c.bits >> 8), byte(c.bits), p}) + value)
			n := (c.bits + 7) / 8
			want := sum[:n]
			want[n-1] = byte(int(want[n-1]) >> (8*n - c.bits) << (8*n - c.bits))
			require.Equal(t, string(want), got, "%+v", c)
			require.Contains(t, searchFor(t, r, ix, scope, value), got)

			text := ix.AppendText([]byte("x"), []byte(got))
			require.Equal(t, "xfi258."+base64.RawURLEncoding.EncodeToString(want), string(text))
			require.Len(t, text, 1+ix.TextLen())
			back, err := ix.ParseText(string(text[1:]))
			require.NoError(t, err)
			require.Equal(t, got, string(back))
		}
	}
}

// TestTagsAreApart: equal values of two tenants, classes, fields, names or
// versions have unrelated tags.
func TestTagsAreApart(t *testing.T) {
	r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	seen := map[string]string{}
	spec := mailIndex
	spec.Bits = 128
	add := func(what string, scope Scope, edit func(*IndexSpec)) {
		spec := spec
		if edit != nil {
			edit(&spec)
		}
		tag := tagOf(t, r, mustIndex(t, spec), scope, "42", "ada@example.com")
		require.Emptyf(t, seen[tag], "%s has this tag too", what)
		seen[tag] = what
	}
	acme := Scope{Tenant: "acme"}
	add("one tenant", acme, nil)
	add("another", Scope{Tenant: "globex"}, nil)
	add("a class", Scope{"acme", "billing"}, nil)
	add("a module", acme, func(s *IndexSpec) { s.Field = MustField("Leads", "email") })
	add("a field", acme, func(s *IndexSpec) { s.Field = MustField("Contacts", "mail") })
	add("a name", acme, func(s *IndexSpec) { s.Name = "email.v2" })
	add("a version", acme, func(s *IndexSpec) { s.Version = 2 })
	add("a length", acme, func(s *IndexSpec) { s.Bits = 127 })
	add("a partition", acme, func(s *IndexSpec) { s.Partitions = 1 })
	require.Equal(t, tagOf(t, r, mustIndex(t, spec), acme, "42", "ada@example.com"), tagOf(t, r, mustIndex(t, spec), Scope{"acme", DefaultClass}, "", "ada@example.com"), "the control: all the same")
}

// TestPartitions: the rows of one value are spread over all partitions, each of
// which a search asks for.
func TestPartitions(t *testing.T) {
	r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	spec := mailIndex
	spec.Partitions = 4
	ix := mustIndex(t, spec)
	scope := Scope{Tenant: "acme"}
	found := map[string]int{}
	for i := range 400 {
		found[tagOf(t, r, ix, scope, fmt.Sprint(i), "ada@example.com")]++
	}
	tags := searchFor(t, r, ix, scope, "ada@example.com")
	require.Len(t, tags, 4)
	require.Len(t, found, 4)
	for _, tag := range tags {
		require.Greater(t, found[tag], 60)
	}
}

func TestIndexRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*IndexSpec)
		text string
	}{
		"no field":         {func(s *IndexSpec) { s.Field = Field{} }, "NewField"},
		"no name":          {func(s *IndexSpec) { s.Name = "" }, "index name is empty"},
		"a long name":      {func(s *IndexSpec) { s.Name = strings.Repeat("n", 256) }, "256 bytes"},
		"a name not UTF-8": {func(s *IndexSpec) { s.Name = "email\xff" }, "not UTF-8"},
		"version 0":        {func(s *IndexSpec) { s.Version = 0 }, "versions count from 1"},
		"no bits":          {func(s *IndexSpec) { s.Bits = 0 }, "1 to 256"},
		"negative bits":    {func(s *IndexSpec) { s.Bits = -8 }, "1 to 256"},
		"257 bits":         {func(s *IndexSpec) { s.Bits = 257 }, "257 bits"},
		"-1 partitions":    {func(s *IndexSpec) { s.Partitions = -1 }, "-1 partitions"},
		"256 partitions":   {func(s *IndexSpec) { s.Partitions = 256 }, "256 partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := mailIndex
			c.edit(&spec)
			ix, err := NewIndex(spec)
			require.ErrorIs(t, err, ErrMalformed)
			require.ErrorContains(t, err, c.text)
			require.Nil(t, ix)
		})
	}
	longest := mailIndex
	longest.Name, longest.Version, longest.Bits, longest.Partitions = strings.Repeat("n", 255), math.MaxUint32, 256, 255
	require.Equal(t, longest, mustIndex(t, longest).Spec())
}

func TestTagRefusals(t *testing.T) {
	ix := mustIndex(t, mailIndex)
	spread := mailIndex
	spread.Partitions = 4
	parts := mustIndex(t, spread)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	tagOf(t, closed, ix, Scope{Tenant: "acme"}, "", "made up")
	require.NoError(t, closed.Close())
	good := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	for name, c := range map[string]struct {
		ring       *KeyRing
		ctx        context.Context
		ix         *Index
		scope      Scope
		record     string
		value      []byte
		is         error
		text       string
		writesOnly bool
	}{
		"no key store":      {plainRing(t, &plainProvider{}, nil), nil, ix, Scope{Tenant: "acme"}, "42", nil, ErrModeNotAllowed, "Options.Store", false},
		"no index":          {good, nil, nil, Scope{Tenant: "acme"}, "42", nil, ErrMalformed, "NewIndex", false},
		"no tenant":         {good, nil, ix, Scope{}, "42", nil, ErrMalformed, "tenant is empty", false},
		"a long tenant":     {good, nil, ix, Scope{Tenant: strings.Repeat("t", 256)}, "42", nil, ErrMalformed, "256 bytes", false},
		"tenant not UTF-8":  {good, nil, ix, Scope{Tenant: "\xff"}, "42", nil, ErrMalformed, "not UTF-8", false},
		"class not UTF-8":   {good, nil, ix, Scope{"acme", "\xff"}, "42", nil, ErrMalformed, "not UTF-8", false},
		"an ended context":  {good, ended, ix, Scope{Tenant: "acme"}, "42", nil, context.Canceled, "canceled", false},
		"a closed ring":     {closed, nil, ix, Scope{Tenant: "acme"}, "42", nil, ErrClosed, "closed", false},
		"a long value":      {good, nil, ix, Scope{Tenant: "acme"}, "42", make([]byte, MaxFrame+1), ErrMalformed, "the limit is", false},
		"no record":         {good, nil, parts, Scope{Tenant: "acme"}, "", nil, ErrMalformed, "record ID is empty", true},
		"a long record":     {good, nil, parts, Scope{Tenant: "acme"}, strings.Repeat("r", 1025), nil, ErrMalformed, "1025 bytes", true},
		"record, not UTF-8": {good, nil, parts, Scope{Tenant: "acme"}, "\xff", nil, ErrMalformed, "not UTF-8", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			tag, err := c.ring.AppendTag(ctx, []byte("before"), c.ix, c.scope, c.record, c.value)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, "before", string(tag))
			tags, err := c.ring.QueryTags(ctx, c.ix, c.scope, c.value)
			if c.writesOnly {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.text)
			require.Empty(t, tags)
		})
	}
}

func TestIndexTextIsStrict(t *testing.T) {
	spec := mailIndex
	spec.Version, spec.Bits = 12, 20
	ix := mustIndex(t, spec)
	tag, err := ix.ParseText("fi12.q83w")
	require.NoError(t, err)
	require.Equal(t, []byte{0xab, 0xcd, 0xf0}, tag)
	for name, text := range map[string]string{
		"empty": "", "no prefix": "q83w", "another version": "fi1.q83w", "leading zero": "fi012.q83w", "no dot": "fi12q83w",
		"an envelope's prefix": "fc12.q83w", "capitals": "FI12.q83w", "a plus sign": "fi+12.q83w", "no body": "fi12.",
		"short": "fi12.q83", "long": "fi12.q83wA", "two bytes": "fi12.q80", "padding": "fi12.q83w=", "LF": "fi12.q83w\n",
		"LF inside": "fi12.q8\nw", "CR inside": "fi12.q8\rw", "standard alphabet": "fi12.q8+w", "a space": "fi12.q8 w",
		"an unused bit": "fi12.q83x", "all unused bits": "fi12.q83_", "not ASCII": "fi12.q8é",
	} {
		t.Run(name, func(t *testing.T) {
			tag, err := ix.ParseText(text)
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, "bad-text", class(err))
			require.ErrorContains(t, err, `"email.v1"`)
			require.Nil(t, tag)
		})
	}
	spec.Bits = 8 // two characters, of which the last has unused bits of base64
	one := mustIndex(t, spec)
	_, err = one.ParseText("fi12.qw")
	require.NoError(t, err)
	_, err = one.ParseText("fi12.qx")
	require.ErrorIs(t, err, ErrMalformed)
	require.Panics(t, func() { ix.AppendText(nil, []byte("four")) })
}

// FuzzIndexText: what is read is written again byte for byte.
func FuzzIndexText(f *testing.F) {
	for _, text := range []string{"fi1.AAAA", "fi1.AAAB", "fi1.AAA=", "fi1.AA\nA", "fi01.AAAA", "fi2.AAAA", "fc1.AAAA", ""} {
		f.Add(text, uint32(1), uint16(20))
	}
	f.Fuzz(func(t *testing.T, text string, version uint32, bits uint16) {
		ix, err := NewIndex(IndexSpec{Field: email, Name: "email.v1", Version: version, Bits: int(bits)})
		if err != nil {
			return
		}
		tag, err := ix.ParseText(text)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Equal(t, text, string(ix.AppendText(nil, tag)))
	})
}
