package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// The functions of this file turn a content into a frame and back. They switch
// on a pointer to the content, because a pointer converts to an interface
// without an allocation.

var (
	errStringNotUTF8 = fmt.Errorf("%w: the string is not UTF-8; use Bytes for what isn't text", envelope.ErrMalformed)
	errNotJSON       = fmt.Errorf("%w: not one JSON document in UTF-8", envelope.ErrMalformed)
)

// typeOf returns the frame type of T.
func typeOf[T Plain]() envelope.Type {
	switch any((*T)(nil)).(type) {
	case *string:
		return envelope.TypeString
	case *int64:
		return envelope.TypeInt64
	case *uint64:
		return envelope.TypeUint64
	case *float64:
		return envelope.TypeFloat64
	case *bool:
		return envelope.TypeBool
	case *time.Time:
		return envelope.TypeTime
	case *CivilDate:
		return envelope.TypeDate
	case *DecimalString:
		return envelope.TypeDecimal
	case *json.RawMessage:
		return envelope.TypeJSON
	}
	return envelope.TypeBytes
}

// appendFrame appends the frame of content. It refuses a content that its type
// doesn't allow.
func appendFrame[T Plain](dst []byte, content *T) ([]byte, error) {
	switch p := any(content).(type) {
	case *string:
		if !utf8.ValidString(*p) {
			return dst, errStringNotUTF8
		}
		return envelope.AppendString(dst, *p), nil
	case *[]byte:
		return envelope.AppendFrame(dst, envelope.TypeBytes, *p), nil
	case *int64:
		return envelope.AppendInt64(dst, *p), nil
	case *uint64:
		return envelope.AppendUint64(dst, *p), nil
	case *float64:
		return envelope.AppendFloat64(dst, *p), nil
	case *bool:
		return envelope.AppendBool(dst, *p), nil
	case *time.Time:
		return envelope.AppendTime(dst, *p)
	case *CivilDate:
		return envelope.AppendDate(dst, p.Year, p.Month, p.Day)
	case *DecimalString:
		return envelope.AppendDecimal(dst, string(*p))
	case *json.RawMessage:
		if !utf8.Valid(*p) || !json.Valid(*p) {
			return dst, errNotJSON
		}
		return envelope.AppendFrame(dst, envelope.TypeJSON, *p), nil
	}
	return dst, envelope.ErrMalformed // Plain lists no other type
}

// decodeFrame reads frame into content, which keeps the frame's memory, or
// wipes it. Every failure is envelope.ErrNotAuthentic: a frame that was sealed
// for this field has its type.
func decodeFrame[T Plain](content *T, frame []byte) error {
	t, payload, err := envelope.ParseFrame(frame)
	if err == nil && t != typeOf[T]() {
		err = envelope.ErrNotAuthentic
	}
	if err != nil {
		clear(frame)
		return err
	}
	switch p := any(content).(type) {
	case *string:
		*p = stringOver(payload)
		return nil
	case *[]byte:
		*p = payload[:len(payload):len(payload)]
		return nil
	case *DecimalString:
		*p = DecimalString(stringOver(payload))
		return nil
	case *json.RawMessage:
		*p = payload[:len(payload):len(payload)]
		return nil
	case *int64:
		*p = envelope.DecodeInt64(payload)
	case *uint64:
		*p = envelope.DecodeUint64(payload)
	case *float64:
		*p = envelope.DecodeFloat64(payload)
	case *bool:
		*p = envelope.DecodeBool(payload)
	case *time.Time:
		*p = envelope.DecodeTime(payload)
	case *CivilDate:
		p.Year, p.Month, p.Day = envelope.DecodeDate(payload)
	}
	clear(frame)
	return nil
}

// cloned returns content in memory of its own.
func cloned[T Plain](content T) T {
	switch p := any(&content).(type) {
	case *[]byte:
		*p = bytes.Clone(*p)
	case *json.RawMessage:
		*p = bytes.Clone(*p)
	}
	return content
}
