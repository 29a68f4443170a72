package fieldcrypt

import "encoding"

// Binary encodings, such as CBOR, MessagePack and BSON, encode the exported
// fields of what has no methods of theirs. A Value has none: it would become
// an empty document or null, and the value would be lost without a word. So
// they get an error. MongoDB's interfaces are met without an import of them.

var (
	_ encoding.BinaryMarshaler   = Value[string]{}
	_ encoding.BinaryUnmarshaler = (*Value[string])(nil)
)

// MarshalBinary implements [encoding.BinaryMarshaler] and returns ErrBinary, for
// null too.
func (v Value[T]) MarshalBinary() ([]byte, error) { return nil, ErrBinary }

// UnmarshalBinary implements [encoding.BinaryUnmarshaler] and returns
// ErrBinary.
func (v *Value[T]) UnmarshalBinary([]byte) error { return ErrBinary }

// MarshalBSONValue returns ErrBinary: version 2 of MongoDB's driver asks it.
func (v Value[T]) MarshalBSONValue() (typ byte, data []byte, err error) { return 0, nil, ErrBinary }

// UnmarshalBSONValue returns ErrBinary: version 2 of MongoDB's driver asks it.
func (v *Value[T]) UnmarshalBSONValue(byte, []byte) error { return ErrBinary }

// MarshalBSON returns ErrBinary: version 1 of MongoDB's driver asks it.
func (v Value[T]) MarshalBSON() ([]byte, error) { return nil, ErrBinary }

// UnmarshalBSON returns ErrBinary: version 1 of MongoDB's driver asks it.
func (v *Value[T]) UnmarshalBSON([]byte) error { return ErrBinary }

// MarshalBinary returns ErrBinary.
func (d Document) MarshalBinary() ([]byte, error) { return nil, ErrBinary }

// UnmarshalBinary returns ErrBinary.
func (d *Document) UnmarshalBinary([]byte) error { return ErrBinary }

// MarshalBSONValue returns ErrBinary.
func (d Document) MarshalBSONValue() (typ byte, data []byte, err error) { return 0, nil, ErrBinary }

// UnmarshalBSONValue returns ErrBinary.
func (d *Document) UnmarshalBSONValue(byte, []byte) error { return ErrBinary }
