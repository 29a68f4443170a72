package fieldcrypt

import (
	"encoding/json"
	"time"
)

// String and its neighbours are the value types under plain names, for code
// generators and struct fields that can't name a type with parameters.
type (
	String  = Value[string]          // UTF-8
	Bytes   = Value[[]byte]          // any bytes
	Int64   = Value[int64]           //
	Uint64  = Value[uint64]          //
	Float64 = Value[float64]         // every bit pattern is kept, NaNs too
	Bool    = Value[bool]            //
	Time    = Value[time.Time]       // to the nanosecond, with the zone's offset but not its name
	Date    = Value[CivilDate]       // a day without a time or zone
	Decimal = Value[DecimalString]   // amounts of money, say: exact, scale kept
	JSON    = Value[json.RawMessage] // one document, kept byte for byte
)
