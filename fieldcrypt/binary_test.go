package fieldcrypt

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"testing"

	"github.com/stretchr/testify/require"
)

// The interfaces of MongoDB's driver, version 2 and version 1.
type (
	bsonValue interface {
		MarshalBSONValue() (typ byte, data []byte, err error)
	}
	bsonValueReader interface {
		UnmarshalBSONValue(typ byte, data []byte) error
	}
	bsonDocument       interface{ MarshalBSON() ([]byte, error) }
	bsonDocumentReader interface{ UnmarshalBSON([]byte) error }
)

func TestBinaryEncodingsGetAnError(t *testing.T) {
	for _, name := range []string{"null", "plain", "sealed", "encrypted", "decrypted text", "unavailable", "no envelope"} {
		t.Run(name, func(t *testing.T) {
			v := valueIn(t, name)
			before := *v
			for _, from := range []any{*v, v} {
				b, err := from.(encoding.BinaryMarshaler).MarshalBinary()
				require.ErrorIs(t, err, ErrBinary)
				require.Nil(t, b)
				_, b, err = from.(bsonValue).MarshalBSONValue()
				require.ErrorIs(t, err, ErrBinary)
				require.Nil(t, b)
				b, err = from.(bsonDocument).MarshalBSON()
				require.ErrorIs(t, err, ErrBinary)
				require.Nil(t, b)
			}
			var to any = v
			require.ErrorIs(t, to.(encoding.BinaryUnmarshaler).UnmarshalBinary([]byte("x")), ErrBinary)
			require.ErrorIs(t, to.(bsonValueReader).UnmarshalBSONValue(2, []byte("x")), ErrBinary)
			require.ErrorIs(t, to.(bsonDocumentReader).UnmarshalBSON([]byte("x")), ErrBinary)
			require.Equal(t, before, *v)
		})
	}
}

// gob would take MarshalBinary if it didn't find its own method first.
func TestGobSaysSoItself(t *testing.T) {
	type record struct {
		Name  string
		Email String
	}
	err := gob.NewEncoder(new(bytes.Buffer)).Encode(record{"Ada", Of("x")})
	require.ErrorIs(t, err, ErrGob)
	require.NotErrorIs(t, err, ErrBinary)
}
