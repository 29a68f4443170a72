package fieldcrypt

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

var (
	_ sql.Scanner   = (*Value[string])(nil)
	_ driver.Valuer = Value[string]{}
	_ sensitive     = (*Value[string])(nil)
)

// What Scan refuses is told by its class alone: a closer look, even the length
// or the first byte, would describe what may be plaintext.
var (
	errScanMalformed = fmt.Errorf("%w: %w: %s", ErrNotEnvelope, envelope.ErrMalformed, scanAdvice)
	errScanStream    = fmt.Errorf("%w of a field: %w: %s", ErrNotEnvelope, envelope.ErrModeNotAllowed, scanAdvice)
)

const scanAdvice = "restore the row, or give the value its content anew with Set or SetNull"

// A versionError is an envelope of another format version: the cause names the
// number, which is public, and nothing else of what the column holds.
type versionError struct{ cause error }

func (e *versionError) Error() string {
	return "fieldcrypt: the column holds something that can't be read: " + e.cause.Error()
}

func (e *versionError) Unwrap() []error { return []error{ErrNotEnvelope, e.cause} }

// What envelopes of all format versions start with.
const (
	textStart   = "fc"
	binaryStart = "\xfc"
)

// longestCell is the text form of the longest envelope.
var longestCell = envelope.TextLen(envelope.MaxInlineOverhead + envelope.MaxFrame)

// Scan implements [sql.Scanner]. It takes NULL, or an envelope in binary or
// text form, and makes no call: Decrypt opens what was scanned. src is copied.
//
// It returns no error. Anything else than an envelope makes the value
// unavailable with [ErrNotEnvelope], so that one bad cell doesn't end the
// reading of all rows and plaintext in a column is neither shown nor written
// again. Plain and Value refuse it until Decrypt, which knows whether the
// field is in migrating mode: there it becomes the value, and anywhere else it
// is dropped. What begins like an envelope and isn't one isn't kept.
func (v *Value[T]) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*v = Value[T]{}
	case []byte:
		switch {
		case src == nil:
			*v = Value[T]{}
		case len(src) > longestCell: // copied only once this is known
			v.refuse(envelope.ErrMalformed)
		case beginsText(src):
			v.scanText(string(src))
		case beginsBinary(src):
			if v.inspected(src) {
				v.keep(bytes.Clone(src))
			}
		default:
			v.holdCandidate(bytes.Clone(src), false)
		}
	case string:
		v.scanString(src)
	default:
		if content := scalar(src); content != nil {
			v.holdCandidate(content, false)
		} else {
			v.refuse(envelope.ErrMalformed)
		}
	}
	return nil
}

// scanString is Scan of a string, which it doesn't put into memory for an any.
func (v *Value[T]) scanString(src string) {
	switch {
	case len(src) > longestCell:
		v.refuse(envelope.ErrMalformed)
	case beginsText(src):
		v.scanText(src)
	case beginsBinary(src):
		if env := []byte(src); v.inspected(env) {
			v.keep(env)
		}
	default:
		v.holdText(strings.Clone(src))
	}
}

// leastText is shorter than the text form of any envelope.
const leastText = 64

func (v *Value[T]) scanText(src string) {
	if len(src) < leastText { // before an error is made that nobody reads
		v.refuse(envelope.ErrMalformed)
		return
	}
	env, err := envelope.DecodeText(src)
	if err != nil {
		v.refuse(err)
		return
	}
	*v = Value[T]{env: env, state: stateSealed, text: true}
}

// inspected refuses bytes that aren't an envelope of a field.
func (v *Value[T]) inspected(env []byte) bool {
	info, err := envelope.Inspect(env)
	if err == nil && info.Mode == envelope.ModeStream {
		err = envelope.ErrModeNotAllowed
	}
	if err != nil {
		v.refuse(err)
	}
	return err == nil
}

func (v *Value[T]) keep(env []byte) { *v = Value[T]{env: env, state: stateSealed} }

func (v *Value[T]) refuse(err error) {
	*v = Value[T]{err: errScanMalformed, state: stateUnavailable}
	switch {
	case errors.Is(err, envelope.ErrMalformed): // whatever else a text that contradicts itself is
	case errors.Is(err, envelope.ErrUnknownVersion):
		v.err = &versionError{err}
	case errors.Is(err, envelope.ErrModeNotAllowed):
		v.err = errScanStream
	}
}

// Value implements [driver.Valuer]. It makes no call: Encrypt seals what the
// program sets. It returns nil for null, and else the envelope as a []byte, or
// as a string in text form if the value was scanned from text or its field's
// tag says so. Each call returns bytes of its own.
//
// A value without an envelope is refused: with ErrNotEncrypted if the program
// set it, with ErrNotEnvelope if the column held something else. With an error
// it returns [Redacted], because some callers drop the error and would take nil
// for NULL: GORM's conditions do, and a DELETE would hit the rows without a
// value.
func (v Value[T]) Value() (driver.Value, error) {
	switch v.state {
	case stateNull:
		return nil, nil
	case statePlain:
		return Redacted, ErrNotEncrypted
	}
	if v.env == nil {
		return Redacted, fmt.Errorf("fieldcrypt: refused to write: %w", v.err)
	}
	if !v.text {
		return bytes.Clone(v.env), nil
	}
	text, err := envelope.AppendText(make([]byte, 0, envelope.TextLen(len(v.env))), v.env)
	if err != nil {
		return Redacted, fmt.Errorf("fieldcrypt: text form of an envelope: %w", err)
	}
	return string(text), nil
}
