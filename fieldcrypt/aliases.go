package fieldcrypt

import (
	"encoding/json"
	"time"
)

// The value types have plain names too, for code generators and struct fields
// that can't name a type with parameters.

// String holds UTF-8 text.
type String = Value[string]

// Bytes holds any bytes.
type Bytes = Value[[]byte]

// Int64 holds a signed integer.
type Int64 = Value[int64]

// Uint64 holds an unsigned integer.
type Uint64 = Value[uint64]

// Float64 holds a floating-point number. Every bit pattern is kept, NaNs too.
type Float64 = Value[float64]

// Bool holds a truth value.
type Bool = Value[bool]

// Time holds a time to the nanosecond, with its zone's offset but not its name.
type Time = Value[time.Time]

// Date holds a day without a time or zone.
type Date = Value[CivilDate]

// Decimal holds an exact decimal number, such as an amount of money. Its scale
// is kept.
type Decimal = Value[DecimalString]

// JSON holds one document, kept byte for byte.
type JSON = Value[json.RawMessage]
