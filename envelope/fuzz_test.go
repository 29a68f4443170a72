package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// seeds calls add with every vector that is short enough to mutate.
func seeds(tb testing.TB, add func(v *vector)) {
	tb.Helper()
	files, err := filepath.Glob("../testdata/vectors/*.json")
	require.NoError(tb, err)
	count := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(tb, err)
		var file struct{ Cases []vector }
		require.NoError(tb, json.Unmarshal(text, &file), name)
		for i := range file.Cases {
			if v := &file.Cases[i]; len(v.Envelope) <= 4096 && len(v.Text) <= 4096 {
				add(v)
				count++
			}
		}
	}
	require.NotZero(tb, count, "vectors to start from")
}

// The check functions hold one input to what its parser promises, and return
// what is wrong with it.

func checkInspect(b []byte) error {
	h, err := parseHeader(b)
	info, again := Inspect(b)
	if (err == nil) != (again == nil) {
		return fmt.Errorf("parseHeader says %w, Inspect says %w", err, again)
	}
	if err != nil {
		if class(err) != "malformed" || info != (Info{}) {
			return fmt.Errorf("refused as %q with %+v", class(err), info)
		}
		return nil
	}
	if written := append(h.bytes(), h.body...); !bytes.Equal(written, b) {
		return fmt.Errorf("written again as %x", written)
	}
	if len(h.rootKey) > maxURI || len(h.wrapped) > maxWrapped || info.FrameSize > MaxFrame || info.FrameSize < 0 {
		return fmt.Errorf("lengths outside the caps: %+v", info)
	}
	return nil
}

func checkDecodeText(text string) error {
	b, err := DecodeText(text)
	if want := textClass(text); class(err) != want {
		return fmt.Errorf("class is %q, it should be %q", class(err), want)
	}
	if err != nil {
		toCome := !strings.HasPrefix(text, textPrefix) && errors.Is(err, ErrUnknownVersion)
		if b != nil || !errors.Is(err, ErrMalformed) && !toCome {
			return fmt.Errorf("refused with %d bytes: %w", len(b), err)
		}
		return nil
	}
	written, err := AppendText(nil, b)
	if err != nil || string(written) != text {
		return fmt.Errorf("written again as %q, %w", written, err)
	}
	return nil
}

// textClass works out another way how a text is refused: it is bad-text unless
// the bytes that a loose decoder finds have this very text.
func textClass(text string) string {
	body, ok := strings.CutPrefix(text, "fc1.")
	b, _ := base64.RawURLEncoding.DecodeString(body)
	if !ok || base64.RawURLEncoding.EncodeToString(b) != body || len(b) < 3 || b[1] != version || b[2] == byte(ModeStream) {
		return "bad-text"
	}
	_, err := parseHeader(b)
	return class(err)
}

func checkParseFrame(frame []byte) error {
	before := bytes.Clone(frame)
	t, payload, err := ParseFrame(frame)
	if !bytes.Equal(before, frame) {
		return fmt.Errorf("the input was changed to %x", frame)
	}
	if err != nil {
		if class(err) != "bad-frame" || payload != nil {
			return fmt.Errorf("refused as %q with %d bytes", class(err), len(payload))
		}
		return nil
	}
	written, err := rewriteFrame(t, payload)
	if err != nil {
		return err
	}
	if frame[0]&padded != 0 {
		written[0] |= padded
		written = append(append(written, 0x80), make([]byte, len(frame)-len(written)-1)...)
	}
	if !bytes.Equal(written, frame) {
		return fmt.Errorf("%s written again as %x", t, written)
	}
	return nil
}

// rewriteFrame decodes the payload to a value of Go and frames that value.
func rewriteFrame(t Type, p []byte) ([]byte, error) {
	switch t {
	case TypeString:
		return AppendString(nil, string(p)), nil
	case TypeInt64:
		return AppendInt64(nil, DecodeInt64(p)), nil
	case TypeUint64:
		return AppendUint64(nil, DecodeUint64(p)), nil
	case TypeFloat64:
		return AppendFloat64(nil, DecodeFloat64(p)), nil
	case TypeBool:
		return AppendBool(nil, DecodeBool(p)), nil
	case TypeTime:
		return AppendTime(nil, DecodeTime(p))
	case TypeDate:
		year, month, day := DecodeDate(p)
		return AppendDate(nil, year, month, day)
	case TypeDecimal:
		return AppendDecimal(nil, string(p))
	}
	return AppendFrame(nil, t, p), nil
}

// warmRing opens envelopes of one key, which is in memory already and is the
// same in every run.
type warmRing struct {
	*KeyRing
	id KeyID
}

func warmRings(tb testing.TB) []warmRing {
	tb.Helper()
	var rings []warmRing
	for _, opts := range []*Options{nil, {Store: NewMemoryStore()}, {Store: NewMemoryStore(), AllowInline: true}} {
		r := plainRing(tb, &plainProvider{}, opts)
		env, err := r.Seal(tb.Context(), place("acme"), AppendString(nil, "ada@example.com"))
		require.NoError(tb, err)
		_, err = r.Open(tb.Context(), place("acme"), env)
		require.NoError(tb, err)
		info, err := Inspect(env)
		require.NoError(tb, err)
		rings = append(rings, warmRing{r, info.KeyID})
	}
	return rings
}

func checkOpenRing(tb testing.TB, r warmRing, b []byte) error {
	before := bytes.Clone(b)
	room := make([]byte, 4, 4+len(b))
	out, err := r.AppendOpen(tb.Context(), room, place("acme"), b)
	if !bytes.Equal(before, b) {
		return fmt.Errorf("the input was changed to %x", b)
	}
	if err != nil {
		if len(out) != 4 || !bytes.Equal(room[:cap(room)], make([]byte, cap(room))) {
			return fmt.Errorf("%w, and left %x behind dst", err, room[:cap(room)])
		}
		return nil
	}
	if _, _, err := ParseFrame(out[4:]); err != nil {
		return fmt.Errorf("opened to no frame: %w", err)
	}
	h, err := parseHeader(b)
	if err != nil || *h.keyID != r.id {
		return fmt.Errorf("opened under a key that it doesn't name: %w", err)
	}
	if written := append(h.bytes(), h.body...); !bytes.Equal(written, b) {
		return fmt.Errorf("written again as %x", written)
	}
	other := place("acme")
	other.Record += "0"
	if _, err := r.Open(tb.Context(), other, b); err == nil {
		return fmt.Errorf("opened for %s too", other)
	}
	return nil
}

// checkRecord holds Record.verify to this: a record that passes says what the
// key says of itself, and passes with no other date, budget, name or tag.
func checkRecord(secret []byte, rec *Record) error {
	err := rec.verify(secret)
	known := slices.Contains([]Purpose{PurposeData, PurposeDeterministic, PurposeIndex, PurposeLog}, rec.Purpose)
	if len(secret) != 32 || !known || rec.Scope.validate() != nil {
		if class(err) != "malformed" {
			return fmt.Errorf("refused as %q, it is malformed", class(err))
		}
		return nil
	}
	same := rec.KeyID == deriveKeyID(secret, rec.Scope, rec.Purpose) &&
		rec.Tag == recordTag(secret, rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
	if same != (err == nil) {
		return fmt.Errorf("key ID and tag are right: %t, verify says %w", same, err)
	}
	if err != nil {
		if c := class(err); c != "key-mismatch" && c != "not-authentic" {
			return fmt.Errorf("refused as %q", c)
		}
		return nil
	}
	for name, alter := range recordAlterations {
		other := *rec
		alter(&other)
		if other.verify(secret) == nil {
			return fmt.Errorf("passes with another %s too", name)
		}
	}
	return nil
}

var recordAlterations = map[string]func(*Record){
	"key ID":    func(r *Record) { r.KeyID[31] ^= 1 },
	"tag":       func(r *Record) { r.Tag[0] ^= 0x80 },
	"tenant":    func(r *Record) { r.Scope.Tenant += "a" },
	"class":     func(r *Record) { r.Scope.Class += "a" },
	"purpose":   func(r *Record) { r.Purpose += "a" },
	"created":   func(r *Record) { r.Created = time.Unix(r.Created.Unix()^1<<40, 0) },
	"not-after": func(r *Record) { r.NotAfter = time.Unix(r.NotAfter.Unix()^1<<40, 0) },
	"budget":    func(r *Record) { r.Budget++ },
}

func FuzzInspect(f *testing.F) {
	seeds(f, func(v *vector) { f.Add([]byte(v.Envelope)) })
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, checkInspect(b))
	})
}

func FuzzDecodeText(f *testing.F) {
	seeds(f, func(v *vector) { f.Add(v.Text) })
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, checkDecodeText(text))
	})
}

func FuzzParseFrame(f *testing.F) {
	seeds(f, func(v *vector) { f.Add([]byte(v.Frame)) })
	f.Fuzz(func(t *testing.T, frame []byte) {
		require.NoError(t, checkParseFrame(frame))
	})
}

func FuzzOpen(f *testing.F) {
	rings := warmRings(f)
	for _, r := range rings {
		env, err := r.Seal(f.Context(), place("acme"), AppendString(nil, "ada@example.com"))
		require.NoError(f, err)
		f.Add(env)
	}
	seeds(f, func(v *vector) { f.Add([]byte(v.Envelope)) })
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range rings {
			require.NoError(t, checkOpenRing(t, r, b))
		}
	})
}

func FuzzRecord(f *testing.F) {
	seeds(f, func(v *vector) {
		if v.Created != nil {
			f.Add([]byte(v.Secret), v.Tenant, v.Class, string(v.Purpose), *v.Created, v.NotAfter, v.Budget, []byte(v.KeyID), []byte(v.RecordTag))
		}
	})
	f.Fuzz(func(t *testing.T, secret []byte, tenant, class, purpose string, created, notAfter int64, budget uint64, id, tag []byte) {
		rec := &Record{Scope: Scope{tenant, class}, Purpose: Purpose(purpose), Budget: budget, Created: time.Unix(created, 0)}
		if notAfter != 0 {
			rec.NotAfter = time.Unix(notAfter, 0)
		}
		copy(rec.KeyID[:], id)
		copy(rec.Tag[:], tag)
		require.NoError(t, checkRecord(secret, rec))
		if len(secret) != 32 {
			sum := sha256.Sum256(secret)
			secret = sum[:]
			require.NoError(t, checkRecord(secret, rec))
		}
		// The tag that belongs to it, so that both ways are taken.
		rec.KeyID = deriveKeyID(secret, rec.Scope, rec.Purpose)
		rec.Tag = recordTag(secret, rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
		require.NoError(t, checkRecord(secret, rec))
	})
}

// A hostileParser is one way by which hostile bytes come in.
type hostileParser struct {
	name  string
	seeds [][]byte
	run   func([]byte) error
}

func hostileParsers(t *testing.T) []hostileParser {
	header, text, frame := hostileParser{name: "header", run: checkInspect}, hostileParser{name: "text"}, hostileParser{name: "frame", run: checkParseFrame}
	text.run = func(b []byte) error { return checkDecodeText(string(b)) }
	seeds(t, func(v *vector) {
		header.seeds = append(header.seeds, v.Envelope)
		text.seeds = append(text.seeds, []byte(v.Text))
		frame.seeds = append(frame.seeds, v.Frame)
	})
	parsers := []hostileParser{header, text, frame}
	for i, r := range warmRings(t) {
		env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "ada@example.com"))
		require.NoError(t, err)
		parsers = append(parsers, hostileParser{
			fmt.Sprintf("open %d", i), append([][]byte{env, env, env}, header.seeds[:8]...),
			func(b []byte) error { return checkOpenRing(t, r, b) },
		})
	}
	return append(parsers, hostileParser{"record", [][]byte{make([]byte, 200)}, func(b []byte) error {
		rec, secret := recordOf(b)
		return checkRecord(secret, rec)
	}})
}

// recordOf makes a record of any bytes.
func recordOf(b []byte) (*Record, []byte) {
	full := make([]byte, 200)
	copy(full, b)
	rec := &Record{
		KeyID: KeyID(full[32:]), Tag: [32]byte(full[64:]),
		Created: time.Unix(int64(binary.BigEndian.Uint64(full[96:])), 0), NotAfter: time.Unix(int64(binary.BigEndian.Uint64(full[104:])), 0),
		Budget: binary.BigEndian.Uint64(full[112:]), Scope: Scope{string(full[120:140]), string(full[140:160])}, Purpose: Purpose(full[160:164]),
	}
	if n := int(full[165]); n%8 < 4 {
		rec.Purpose = []Purpose{PurposeData, PurposeDeterministic, PurposeIndex, PurposeLog}[n%8]
	}
	if full[199]&1 == 0 { // one that passes
		rec.KeyID = deriveKeyID(full[:32], rec.Scope, rec.Purpose)
		rec.Tag = recordTag(full[:32], rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
	}
	return rec, full[:32]
}

// mutate returns seed with a few changes of the kinds that break parsers.
func mutate(rng *rand.Rand, seed []byte) []byte {
	b := bytes.Clone(seed)
	for range 1 + rng.IntN(3) {
		if len(b) == 0 {
			return append(b, byte(rng.Uint32()))
		}
		at := rng.IntN(len(b))
		switch rng.IntN(6) {
		case 0:
			b[at] ^= 1 << rng.IntN(8)
		case 1:
			b[at] = []byte{0, 1, 0x7f, 0x80, 0xff, '\n', '='}[rng.IntN(7)]
		case 2:
			b = b[:at]
		case 3:
			b = append(b, b[at:]...)
		case 4: // a length field
			if at = min(35, max(0, len(b)-2)) + rng.IntN(2)*rng.IntN(40); at+2 <= len(b) {
				binary.BigEndian.PutUint16(b[at:], []uint16{0, 1, 511, 512, 513, 6144, 6145, 0x7fff, 0xffff}[rng.IntN(9)])
			}
		case 5:
			b = append(b[:at], append([]byte{byte(rng.Uint32())}, b[at:]...)...)
		}
	}
	return b
}

// allocated returns how many bytes run allocates.
func allocated(run func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// hostileLengths are short inputs that claim to be long, and long ones.
func hostileLengths() [][]byte {
	head := append([]byte{magic, version, byte(ModeInline)}, make([]byte, 32)...)
	var all [][]byte
	for _, mode := range []Mode{ModeReference, ModeInline, ModeDeterministic, ModeStream} {
		head[2] = byte(mode)
		for _, n := range []uint16{0, 1, 512, 513, 6144, 6145, 0xffff} {
			b := binary.BigEndian.AppendUint16(bytes.Clone(head), n)
			all = append(all, b, append(bytes.Clone(b), 0xff, 0xff, 0xff, 0xff), append(bytes.Clone(b), make([]byte, 100)...))
		}
		all = append(all, append(bytes.Clone(head), make([]byte, 1<<20)...))
	}
	for _, fill := range []byte{0, 'A', '=', '\n', 0xff, 0x80} {
		long := bytes.Repeat([]byte{fill}, 1<<20)
		all = append(all, long, append([]byte(textPrefix), long...), append([]byte{0x80 | byte(TypeString)}, long...))
	}
	return all
}

// guard runs parse and makes an error of a panic.
func guard(parse func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panics: %v", v)
		}
	}()
	return parse()
}

// hostileRecords are what a key store could answer with: names and wrapped keys
// of any length, a root key's URI and a state as long as their columns.
func hostileRecords() []Record {
	good := Record{
		Scope: Scope{"acme", DefaultClass}, Purpose: PurposeData, RootKey: plainRoot, Wrapped: []byte("any"),
		State: StateActive, Created: time.Unix(1, 0), Budget: 1,
	}
	var all []Record
	for _, fill := range []string{"a", "\x00", "\xff", "ä"} {
		long := strings.Repeat(fill, 1<<18)
		for range 6 {
			all = append(all, good)
		}
		last := all[len(all)-6:]
		last[0].Scope.Tenant = long
		last[1].Scope.Class = long
		last[2].Purpose = Purpose(long)
		last[3].RootKey = long[:maxURI]
		last[4].Wrapped = []byte(long)
		last[5].State = State(long[:64])
	}
	return all
}

func TestScoreboardS6(t *testing.T) {
	const slack = 64 << 10
	runs, perParser := 0, scoreboard.Count(10_000, 10_000_000)
	crashes, worst := 0, int64(0)
	try := func(p *hostileParser, b []byte) {
		runs++
		if err := guard(func() error { return p.run(b) }); err != nil {
			if crashes++; crashes <= 10 {
				t.Errorf("%s of %x: %v", p.name, b[:min(len(b), 200)], err)
			}
		}
	}
	for _, p := range hostileParsers(t) {
		rng := rand.New(rand.NewPCG(6, uint64(len(p.name))))
		for range perParser {
			try(&p, mutate(rng, p.seeds[rng.IntN(len(p.seeds))]))
		}
	}
	rings := warmRings(t)
	measured := 0
	measure := func(name string, b []byte, parse func()) {
		measured++
		over := allocated(parse) - 2*int64(len(b))
		for range 2 { // the runtime counts what the background allocates too
			if over > slack {
				over = min(over, allocated(parse)-2*int64(len(b)))
			}
		}
		worst = max(worst, over)
		if over > slack {
			t.Errorf("%s allocates %d bytes past 2 × %d", name, over, len(b))
		}
	}
	inputs := hostileLengths()
	for _, rec := range hostileRecords() {
		measure("loading a record", make([]byte, len(rec.Scope.Tenant)+len(rec.Scope.Class)+len(rec.RootKey)+len(rec.Wrapped)+len(rec.State)+len(rec.Purpose)), func() {
			_, _ = rings[1].loadRecord(t.Context(), KeyName{Scope{"acme", DefaultClass}, PurposeData, rec.KeyID}, &rec)
		})
	}
	seeds(t, func(v *vector) { inputs = append(inputs, v.Envelope, []byte(v.Text), v.Frame) })
	trusting := 0
	for _, b := range inputs {
		text := string(b)
		measure("Inspect", b, func() { _, _ = Inspect(b) })
		measure("DecodeText", b, func() { _, _ = DecodeText(text) })
		measure("ParseFrame", b, func() { _, _, _ = ParseFrame(b) })
		for _, r := range rings {
			measure("Open", b, func() { _, _ = r.Open(t.Context(), place("acme"), b) })
		}
		if allocated(func() { trustLengths(b) }) > 2*int64(len(b))+slack {
			trusting++
		}
	}
	scoreboard.Row(t, "S6", crashes == 0 && worst <= slack && trusting > 0,
		fmt.Sprintf("%d of %d hostile inputs; at most 2 × input + %d bytes in %d", crashes, runs, worst, measured),
		"0; <= 2 × input + 65536",
		fmt.Sprintf("a parser that trusts lengths goes past it with %d", trusting))
}

var trusted string

// trustLengths is the control: it makes room for what the length of the root
// key's URI says before it looks whether that much is there, then makes it a
// string.
func trustLengths(b []byte) {
	if rest := b[min(len(b), fixedHeader):]; len(rest) >= 2 {
		uri := make([]byte, binary.BigEndian.Uint16(rest))
		copy(uri, rest[2:])
		trusted = string(uri)
	}
}
