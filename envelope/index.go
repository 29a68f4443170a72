package envelope

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unique"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
)

// Limits of a blind index, from FORMAT.md.
const (
	maxBits       = 256
	maxPartitions = 255
)

// An IndexSpec says what a blind index is. All of it is permanent for the tags
// that were written: with any of it changed they aren't found, so a change is a
// new Version (or a new Name) and the tags are written again.
type IndexSpec struct {
	// Field is the field whose module and name are in the index's key. Two
	// columns whose tags are to be compared, such as the e-mail addresses of
	// leads and contacts, name the same one.
	Field Field

	// Name is 1 to 255 bytes of UTF-8 and has the name and version of the
	// normaliser in it, as in "email.v1": values that are normalised in another
	// way have other tags.
	Name string

	// Version counts from 1. Another version has an unrelated key.
	Version uint32

	// Bits is the length of a tag, 1 to 256. The fewer, the more values share a
	// tag, and the less a tag tells of its value.
	Bits int

	// Partitions is over how many tags the rows of one value are spread, 1 to
	// 255, by the ID of their record; 0 for none. It hides how often a value
	// occurs, up to that factor, and a search asks for as many tags.
	Partitions int
}

// An Index is a blind index: a keyed, truncated hash that is stored beside an
// envelope, so that equal values of one scope can be searched without being
// opened. What it leaks: whoever reads the column sees which rows have equal
// tags, and so how often each occurs; whoever can also write values of that
// scope can have guesses tagged and compare them. Without the index key, tags
// can't be computed. Few bits and partitions leak less and cost more.
//
// A tag only nominates a row. Before a row is returned, its envelope is opened
// and the normalised values are compared.
//
// An Index is safe for concurrent use, and cheap to copy by its pointer. Make it
// once.
type Index struct {
	spec   IndexSpec
	handle indexHandle
	prefix string // of its text form
}

// indexHandle names what K_index is derived from, save the scope.
type indexHandle = unique.Handle[indexNames]

type indexNames struct {
	field   Field
	name    string
	version uint32
}

// NewIndex checks the specification. Errors are [ErrMalformed].
func NewIndex(spec IndexSpec) (*Index, error) {
	fail := func(format string, args ...any) (*Index, error) {
		return nil, fmt.Errorf("envelope: blind index %q of %s: %w", shown(spec.Name, maxName), spec.Field, malformed(format, args...))
	}
	if spec.Field == (Field{}) {
		return fail("it names no field: make one with NewField")
	}
	if err := checkName("index name", spec.Name); err != nil {
		return nil, fmt.Errorf("envelope: a blind index of %s: %w", spec.Field, err)
	}
	switch {
	case spec.Version == 0:
		return fail("its version is 0, versions count from 1")
	case spec.Bits < 1 || spec.Bits > maxBits:
		return fail("its tags have %d bits, 1 to %d can be", spec.Bits, maxBits)
	case spec.Partitions < 0 || spec.Partitions > maxPartitions:
		return fail("it has %d partitions, 1 to %d can be, or 0 for none", spec.Partitions, maxPartitions)
	}
	return &Index{
		spec:   spec,
		handle: unique.Make(indexNames{spec.Field, spec.Name, spec.Version}),
		prefix: "fi" + strconv.FormatUint(uint64(spec.Version), 10) + ".",
	}, nil
}

// Spec returns what the index was made from.
func (ix *Index) Spec() IndexSpec { return ix.spec }

// String names the index for people.
func (ix *Index) String() string {
	return fmt.Sprintf("blind index %q, version %d, of %s", ix.spec.Name, ix.spec.Version, ix.spec.Field)
}

// TagSize returns the length of a tag in bytes: 1 to 32.
func (ix *Index) TagSize() int { return (ix.spec.Bits + 7) / 8 }

// AppendTag appends the tag of a normalised value of up to 16 MiB, to be written
// beside the value's envelope. The record's ID, 1 to 1,024 bytes of UTF-8, is used
// and needed only where the index has partitions. If the scope has no index key
// yet, one is made; while one follows another, tags are made with the earlier one
// until all processes search with both (see [KeyRing.CutOver]).
//
// It needs a key store, else the error is [ErrModeNotAllowed]; other errors are
// [ErrMalformed], [ErrState] for a while after the scope's key was taken out of use
// without CutOver, and those of loading a key. It takes no lock and allocates
// nothing besides the tag when the keys are in memory, and is safe for
// concurrent use.
func (r *KeyRing) AppendTag(ctx context.Context, dst []byte, ix *Index, scope Scope, record string, normalised []byte) ([]byte, error) {
	if err := checkTag(ctx, ix, normalised); err != nil {
		return dst, tagError(ix, scope, err)
	}
	if ix.spec.Partitions > 0 {
		if err := checkRecordID(record); err != nil {
			return dst, tagError(ix, scope, fmt.Errorf("%w; the partition of a tag is that of its record", err))
		}
	}
	pool := r.scratch.Load()
	s := pool.get()
	set, err := r.keyToWrite(ctx, s, scope, PurposeIndex)
	if err != nil {
		pool.put(s)
		return dst, tagError(ix, scope, err)
	}
	k := set.writer
	mac := s.tag.hold(k, ix)
	dst = ix.appendTag(dst, mac, ix.partition(mac, record), normalised)
	runtime.KeepAlive(k) // its keys must not be overwritten before here
	pool.put(s)
	return dst, nil
}

// QueryTags returns all tags that rows of a normalised value can have: for each
// live index key of the scope, the active one first and then the retired ones,
// one tag or one for each partition. A scope without an index key has no rows to
// find, and gives none. Destroyed, scheduled and suspended keys are left out, and
// so are the rows that were written with them; a key that another process
// resumes is noticed within Options.CacheTTL.
//
// If one of the keys can't be loaded there is an error, since a search without it
// would miss rows. Errors are those of [KeyRing.AppendTag].
func (r *KeyRing) QueryTags(ctx context.Context, ix *Index, scope Scope, normalised []byte) ([][]byte, error) {
	if err := checkTag(ctx, ix, normalised); err != nil {
		return nil, tagError(ix, scope, err)
	}
	pool := r.scratch.Load()
	s := pool.get()
	set, err := r.keysToSearch(ctx, s, scope, PurposeIndex)
	if err != nil {
		pool.put(s)
		return nil, tagError(ix, scope, err)
	}
	each, size := max(ix.spec.Partitions, 1), ix.TagSize()
	tags := make([][]byte, 0, len(set.keys)*each)
	all := make([]byte, 0, len(set.keys)*each*size)
	first := min(ix.spec.Partitions, 1) // the partitions are 1 to P, and 0 is none
	for _, k := range set.keys {
		mac, home := k.indexes.take(ix)
		for p := range each {
			all = ix.appendTag(all, mac, byte(first+p), normalised)
			tags = append(tags, all[len(all)-size:len(all):len(all)])
		}
		home.put(mac)
		runtime.KeepAlive(k)
	}
	pool.put(s)
	return tags, nil
}

// partition is the format's p.
func (ix *Index) partition(mac *primitives.HMAC, record string) byte {
	if ix.spec.Partitions == 0 {
		return 0
	}
	n := uint32(len(record))
	head := [6]byte{2: byte(n >> 24), 3: byte(n >> 16), 4: byte(n >> 8), 5: byte(n)} // u16 0 and the start of lp(record)
	sum := mac.SumAfter(head, 6, unsafe.Slice(unsafe.StringData(record), len(record)))
	return byte(1 + binary.BigEndian.Uint32(sum[:4])%uint32(ix.spec.Partitions))
}

func (ix *Index) appendTag(dst []byte, mac *primitives.HMAC, p byte, normalised []byte) []byte {
	sum := mac.SumAfter([6]byte{byte(ix.spec.Bits >> 8), byte(ix.spec.Bits), p}, 3, normalised)
	n := ix.TagSize()
	if unused := 8*n - ix.spec.Bits; unused > 0 {
		sum[n-1] &= 0xff << unused
	}
	return append(dst, sum[:n]...)
}

var errNoIndex = malformed("the index is nil: make it with NewIndex")

func checkTag(ctx context.Context, ix *Index, normalised []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ix == nil {
		return errNoIndex
	}
	if len(normalised) > MaxFrame {
		return malformed("the normalised value is %d bytes, the limit is %d", len(normalised), MaxFrame)
	}
	return nil
}

// tagError names the index and the scope. It runs on failures only.
func tagError(ix *Index, scope Scope, err error) error {
	if ix == nil {
		return fmt.Errorf("envelope: tag a value of %s: %w", scope, err)
	}
	return fmt.Errorf("envelope: tag a value by the %s (%s): %w", ix, scope, err)
}

// TextLen returns the length in bytes of the text form of a tag.
func (ix *Index) TextLen() int { return len(ix.prefix) + textEncoding.EncodedLen(ix.TagSize()) }

// AppendText appends the text form of a tag: "fi", the index's version in decimal,
// ".", and base64url without padding (RFC 4648, section 5). It panics if tag has
// another length than [Index.TagSize], which is a mistake of the program.
func (ix *Index) AppendText(dst, tag []byte) []byte {
	if len(tag) != ix.TagSize() {
		panic(fmt.Sprintf("envelope: AppendText: a tag of %d bytes, those of the %s have %d", len(tag), ix, ix.TagSize()))
	}
	return textEncoding.AppendEncode(append(dst, ix.prefix...), tag)
}

// ParseText returns the tag of a text form. It is strict, so that one tag has one
// text: another version, another length, any byte outside the alphabet, padding,
// and unused bits that are not zero are [ErrMalformed].
func (ix *Index) ParseText(text string) ([]byte, error) {
	fail := func(detail string) ([]byte, error) {
		return nil, fmt.Errorf("envelope: the text of a tag of the %s: %w", ix, badText(detail))
	}
	body, ok := strings.CutPrefix(text, ix.prefix)
	switch {
	case !ok:
		return fail("it must start with " + ix.prefix)
	case len(text) != ix.TextLen():
		return fail(fmt.Sprintf("%d bytes, it must be %d", len(text), ix.TextLen()))
	case strings.ContainsAny(body, "\r\n"): // Go's decoder skips these
		return fail("a line break inside")
	}
	tag, err := textEncoding.DecodeString(body)
	if err != nil || len(tag) != ix.TagSize() {
		return fail("not base64url without padding")
	}
	if unused := 8*len(tag) - ix.spec.Bits; tag[len(tag)-1]&^(0xff<<unused) != 0 {
		return fail(fmt.Sprintf("a bit after the %d of a tag is set", ix.spec.Bits))
	}
	return tag, nil
}
