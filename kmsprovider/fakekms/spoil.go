package fakekms

import (
	"bytes"
	"crypto/rand"
	"maps"
)

const oversize = 4 << 20 // bytes

// spoilers returns, for each [Break] of an answer, the body to send instead.
// The plain data key in the answer is wiped by the caller.
var spoilers = map[Break]func(s *Server, a answer) []byte{
	BadJSON:   func(*Server, answer) []byte { return []byte(`{"KeyId":"arn:aws:kms`) },
	EmptyBody: func(*Server, answer) []byte { return nil },
	NoFields:  func(*Server, answer) []byte { return []byte("{}") },
	WrongTypes: func(_ *Server, a answer) []byte {
		return a.with(func(b answer) {
			for name, v := range b {
				if _, isNumber := v.(int); isNumber {
					b[name] = "seven"
				} else {
					b[name] = 7
				}
			}
		})
	},
	BadBase64: replaceBytes("%%% not base64 %%%"),
	Oversized: func(s *Server, a answer) []byte {
		return replaceBytes(bytes.Repeat([]byte{'x'}, oversize))(s, a)
	},
	ShortKey:       plaintext(func(p []byte) []byte { return p[:max(0, len(p)-1)] }),
	LongKey:        plaintext(func(p []byte) []byte { return append(bytes.Clone(p), 1) }),
	NoKey:          plaintext(func([]byte) []byte { return []byte{} }),
	OtherKey:       plaintext(func(p []byte) []byte { q := make([]byte, len(p)); _, _ = rand.Read(q); return q }),
	NoCiphertext:   set("CiphertextBlob", []byte{}),
	LongCiphertext: set("CiphertextBlob", make([]byte, maxCiphertext+1)),
	OtherKeyID: func(s *Server, a answer) []byte {
		return a.withKeyID(arn{region: s.region, account: s.cloud.account, resource: "key/" + newUUID()}.String())
	},
	NoKeyID: func(_ *Server, a answer) []byte { return a.withKeyID(nil) },
}

// with encodes a changed copy.
func (a answer) with(change func(answer)) []byte {
	b := maps.Clone(a)
	change(b)
	return b.encode()
}

// withKeyID encodes a copy whose key is another one, or none.
func (a answer) withKeyID(keyID any) []byte {
	return a.with(func(b answer) {
		if _, ok := b["KeyId"]; ok {
			b["KeyId"] = keyID
		}
		for name, v := range b {
			if metadata, ok := v.(answer); ok {
				metadata = maps.Clone(metadata)
				metadata["Arn"] = keyID
				b[name] = metadata
			}
		}
	})
}

func replaceBytes(v any) func(*Server, answer) []byte {
	return func(_ *Server, a answer) []byte {
		return a.with(func(b answer) {
			for name, old := range b {
				if _, ok := old.([]byte); ok {
					b[name] = v
				}
			}
		})
	}
}

func plaintext(change func([]byte) []byte) func(*Server, answer) []byte {
	return func(_ *Server, a answer) []byte {
		return a.with(func(b answer) {
			if p, ok := b["Plaintext"].([]byte); ok {
				b["Plaintext"] = change(p)
			}
		})
	}
}

func set(name string, v any) func(*Server, answer) []byte {
	return func(_ *Server, a answer) []byte {
		return a.with(func(b answer) {
			if _, ok := b[name]; ok {
				b[name] = v
			}
		})
	}
}
