package fieldcrypt

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A candidate is what a column held that isn't an envelope and doesn't begin
// like one. Scan knows no field, so it can't tell whether that is the value of
// a field in migrating mode or plaintext where none may be. It keeps it out of
// sight, in an unavailable value: it is neither shown nor written, and Decrypt
// and Encrypt, which know the field, make it the value or drop it.
type candidate struct {
	content any  // as the driver gave it, in memory of its own; or of a document's tree
	inside  bool // it was in a document
}

var errCandidate = fmt.Errorf("%w: %w: call Decrypt if its field is migrating; else %s",
	ErrNotEnvelope, envelope.ErrMalformed, scanAdvice)

// beginsBinary and beginsText report what begins like an envelope of any
// version, in either form. Such a thing is an envelope or an error, and never
// plaintext: taken for the value it would be sealed a second time. No UTF-8
// text begins with 0xFC.
func beginsBinary[S string | []byte](s S) bool { return len(s) > 0 && s[0] == binaryStart[0] }

func beginsText[S string | []byte](s S) bool {
	if len(s) < len(textStart) || s[0] != textStart[0] || s[1] != textStart[1] {
		return false
	}
	const digits = 3 // a version is one byte
	for i := len(textStart); i < len(s) && i <= len(textStart)+digits; i++ {
		switch c := s[i]; {
		case c == '.':
			return i > len(textStart)
		case c < '0' || c > '9', c == '0' && i == len(textStart):
			return false
		}
	}
	return false
}

// holdCandidate keeps content, which nobody else writes to.
func (v *Value[T]) holdCandidate(content any, inside bool) {
	*v = Value[T]{plain: unsafe.Pointer(&candidate{content, inside}), err: errCandidate, state: stateUnavailable}
}

// holdText is holdCandidate of a column's text, in less memory: a map of
// custom fields has many.
func (v *Value[T]) holdText(text string) {
	*v = Value[T]{plain: unsafe.Pointer(&text), err: errCandidate, state: stateUnavailable, heldText: true}
}

// candidate returns what a value holds in place of an envelope.
func (v *Value[T]) candidate() candidate {
	switch {
	case !v.isCandidate():
		return candidate{}
	case v.heldText:
		return candidate{content: *(*string)(v.plain)}
	}
	return *(*candidate)(v.plain)
}

func (v *Value[T]) isCandidate() bool {
	return v.state == stateUnavailable && v.env == nil && v.plain != nil
}

func (v *Value[T]) drop(err error) { *v = Value[T]{err: err, state: stateUnavailable} }

func (v *Value[T]) adopt() error {
	if !v.isCandidate() {
		return ErrNotEnvelope
	}
	content, ok := columnAs[T](v.candidate())
	if !ok {
		advice := "correct the row"
		if typeOf[T]() == envelope.TypeTime {
			advice += "; a time that comes as text must name its zone (in MariaDB, connect with parseTime=true)"
		}
		return fmt.Errorf("%w, and what it holds can't be a %s exactly, which its field is: %s", ErrNotEnvelope, typeOf[T](), advice)
	}
	frame, err := appendFrame(nil, &content)
	marker := err == nil && isMarker(frame)
	clear(frame)
	switch {
	case err != nil:
		return fmt.Errorf("%w, nor a %s: correct the row: %w", ErrNotEnvelope, typeOf[T](), err)
	case marker:
		return fmt.Errorf("%w: %w: restore the row", ErrNotEnvelope, ErrRedacted)
	}
	*v = Value[T]{plain: unsafe.Pointer(&content), state: statePlain}
	return nil
}

// scannedInside makes a candidate of what a document held.
func (v *Value[T]) scannedInside(content any) {
	switch content.(type) {
	case string:
		if v.isCandidate() {
			v.holdCandidate(content, true)
		}
	case json.Number, bool, float64, map[string]any, []any:
		v.holdCandidate(content, true)
	}
}

// scalar returns what drivers give for columns that are neither text nor bytes.
// Each type has a case of its own, so that a copy is returned and src itself
// stays where the caller has it.
func scalar(src any) any {
	switch n := src.(type) {
	case int64:
		return n
	case float64:
		return n
	case bool:
		return n
	case time.Time:
		return n
	case int:
		return int64(n)
	case int8:
		return int64(n)
	case int16:
		return int64(n)
	case int32:
		return int64(n)
	case uint8:
		return int64(n)
	case uint16:
		return int64(n)
	case uint32:
		return int64(n)
	case uint64:
		return n
	case float32:
		return float64(n)
	}
	return nil
}

// columnAs returns a candidate as a content of the field's type, if it is one
// exactly. Columns of all types come as text from some drivers; each value has
// one text then, so that what is written isn't another one than what was read.
func columnAs[T Plain](c candidate) (out T, ok bool) {
	if c.inside {
		return contentAs[T](c.content)
	}
	text, isText := textOfColumn(c.content)
	switch p := any(&out).(type) {
	case *string:
		*p, ok = text, isText
	case *[]byte:
		*p, ok = c.content.([]byte) // of a text column nobody knows how the bytes are in it
	case *json.RawMessage:
		*p, ok = json.RawMessage(text), isText
	case *DecimalString:
		if n, whole := integer(c.content); whole {
			text, isText = strconv.FormatInt(n, 10), true
		}
		*p, ok = DecimalString(text), isText
	case *bool:
		*p, ok = boolOfColumn(c.content, text)
	case *time.Time:
		if *p, ok = c.content.(time.Time); !ok && isText {
			*p, ok = timeOfColumn(text)
		}
	case *CivilDate:
		if t, isTime := c.content.(time.Time); isTime {
			h, m, s := t.Clock()
			*p, ok = DateOf(t), h == 0 && m == 0 && s == 0 && t.Nanosecond() == 0
		} else if isText {
			ok = p.UnmarshalText([]byte(text)) == nil
		}
	default:
		if isText {
			return out, isNumber(text) && parseText(&out, text) == nil
		}
		return contentAs[T](c.content)
	}
	return out, ok
}

func textOfColumn(content any) (string, bool) {
	switch c := content.(type) {
	case string:
		return c, utf8.ValidString(c)
	case []byte:
		return stringOver(c), utf8.Valid(c)
	}
	return "", false
}

func boolOfColumn(content any, text string) (b, ok bool) {
	if b, ok = content.(bool); ok {
		return b, true
	}
	if n, whole := integer(content); whole {
		text = strconv.FormatInt(n, 10)
	}
	switch text {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

// timeOfColumn reads RFC 3339 (section 5.6) as it is written: package time takes
// an hour of one digit and a comma too.
func timeOfColumn(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	zoned := strings.HasSuffix(text, t.Format("Z07:00")) || strings.HasSuffix(text, t.Format("-07:00"))
	ok := err == nil && zoned && strings.HasPrefix(text, t.Format("2006-01-02T15:04:05")) && !strings.Contains(text, ",")
	if _, offset := t.Zone(); offset != 0 {
		return t.In(time.FixedZone("", offset)), ok
	}
	return t.UTC(), ok // not the process's own zone, if its offset is the same
}

// isNumber reports a number as JSON has it (RFC 8259, section 6), which is how
// databases write one: strconv takes other forms too.
func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "+-.0123456789eE") == "" && json.Valid([]byte(text))
}
