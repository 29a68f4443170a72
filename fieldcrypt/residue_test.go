package fieldcrypt

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// The memory in which values are made ready is used again by other calls. What
// was refused doesn't stay there.
func TestRefusedValuesAreNotLeftInPooledMemory(t *testing.T) {
	const secret = "7734773477347734"
	str, dec, js, date := Of("\xff"+secret), Of(DecimalString("1,"+secret)), Of(json.RawMessage(secret+"}")), Of(CivilDate{7734, 2, 30})
	long, marker := Of(secret+secret), Of(" "+Redacted)
	h := &handle{crypt: &Crypt{maxValue: 20}}
	for name, v := range map[string]sensitive{
		"not UTF-8": &str, "not a decimal": &dec, "not JSON": &js, "not a day": &date, "too long": &long, "the marker": &marker,
	} {
		t.Run(name, func(t *testing.T) {
			w := &work{frames: make([]byte, 0, framesSize)}
			m := &marked{kind: kinds[reflect.TypeOf(v).Elem()]}
			frame, err := h.frame(w, &job{value: v, field: m})
			require.Error(t, err)
			require.Nil(t, frame)
			require.Equal(t, make([]byte, framesSize), w.frames[:framesSize])
		})
	}
	w := &work{frames: make([]byte, 0, framesSize)} // the control
	good := Of(secret)
	_, err := h.frame(w, &job{value: &good, field: &marked{kind: kinds[reflect.TypeFor[String]()]}})
	require.NoError(t, err)
	require.Contains(t, string(w.frames[:framesSize]), secret)
}
