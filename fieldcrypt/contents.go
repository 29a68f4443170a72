package fieldcrypt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// What records that are maps hold at the fields' places, and what a document
// does, as the contents of values.

// take returns the value that a program put into a record, or a plain one of the
// content that it put there. The error shows its Go type alone.
func take[T Plain](content any) (sensitive, error) {
	if v, ok := content.(Value[T]); ok {
		return &v, nil
	}
	v := new(Value[T])
	if text, ok := content.(string); ok && text == Redacted {
		return nil, ErrRedacted
	}
	if isEnvelope(content) {
		return nil, errEncrypted
	}
	plain, ok := contentAs[T](content)
	if !ok {
		return nil, fmt.Errorf("the schema says %s, and the record holds a %T that can't be one exactly: convert it; what was read from the database goes through Decrypt first", typeOf[T](), content)
	}
	v.Set(plain)
	return v, nil
}

// errEncrypted: a record that was read, and not decrypted, is about to be
// encrypted once more. A [Value] is taken for what the program says it is.
var errEncrypted = errors.New("it holds an envelope, and would be encrypted twice: what was read from the database goes through Decrypt first; for a value that only looks like one, put fieldcrypt.Of of it there")

// isEnvelope reports content that is an envelope in one of its forms.
func isEnvelope(content any) bool {
	switch c := content.(type) {
	case string:
		if !beginsText(c) {
			return false
		}
		_, err := envelope.DecodeText(c)
		return err == nil
	case []byte:
		if !beginsBinary(c) {
			return false
		}
		_, err := envelope.Inspect(c)
		return err == nil
	}
	return false
}

func contentAs[T Plain](content any) (out T, ok bool) {
	if as, ok := content.(T); ok {
		return as, true
	}
	switch p := any(&out).(type) {
	case *int64:
		*p, ok = integer(content)
	case *uint64:
		*p, ok = unsigned(content)
	case *float64:
		*p, ok = float(content)
	case *CivilDate, *time.Time, *DecimalString:
		text := reflect.ValueOf(content)
		ok = text.IsValid() && text.Kind() == reflect.String && parseText(&out, text.String()) == nil
	case *[]byte:
		if text, isText := content.(string); isText { // as JSON has bytes
			ok = parseText(&out, text) == nil
		}
	case *json.RawMessage:
		var err error
		if *p, err = documentOf(content); err == nil {
			ok = true
		}
	}
	return out, ok
}

// documentOf writes a tree as JSON. A value in it would be written as a marker.
func documentOf(tree any) ([]byte, error) {
	copied, err := copyTree(tree, 0)
	if err != nil {
		return nil, err
	}
	copied, err = mapValues(copied, func(boxed) (any, error) {
		return nil, errors.New("a sensitive value inside a sensitive document")
	})
	if err != nil {
		return nil, err
	}
	return marshalTree(copied)
}

func integer(content any) (int64, bool) {
	switch v := reflect.ValueOf(content); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint()), v.Uint() <= math.MaxInt64
	default:
		n, ok := content.(json.Number)
		if !ok {
			return 0, false
		}
		i, err := strconv.ParseInt(n.String(), 10, 64)
		return i, err == nil
	}
}

func unsigned(content any) (uint64, bool) {
	switch v := reflect.ValueOf(content); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return uint64(v.Int()), v.Int() >= 0
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), true
	default:
		n, ok := content.(json.Number)
		if !ok {
			return 0, false
		}
		u, err := strconv.ParseUint(n.String(), 10, 64)
		return u, err == nil
	}
}

func float(content any) (float64, bool) {
	switch v := content.(type) {
	case float32:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	n, ok := integer(content)
	return float64(n), ok && int64(float64(n)) == n
}

// jsonContent returns how the value's content stands in a document, null as nil.
func (v Value[T]) jsonContent() (any, error) {
	content, err := v.Plain()
	if errors.Is(err, ErrNull) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch c := any(content).(type) {
	case []byte:
		return base64.StdEncoding.EncodeToString(c), nil
	case int64:
		return json.Number(strconv.FormatInt(c, 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(c, 10)), nil
	case time.Time:
		return c.Format(time.RFC3339Nano), nil
	case CivilDate:
		return c.String(), nil
	case DecimalString:
		return string(c), nil
	}
	return content, nil
}
