package wycheproof

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// A vector is one case of any of the files. Sizes of a group are in
// bits, those of a case in bytes.
type vector struct {
	ID      int    `json:"tcId"`
	Comment string `json:"comment"`
	Result  string `json:"result"`

	Key hexBytes `json:"key"`
	IV  hexBytes `json:"iv"`
	AAD hexBytes `json:"aad"`
	Msg hexBytes `json:"msg"`
	CT  hexBytes `json:"ct"`
	Tag hexBytes `json:"tag"`

	IKM  hexBytes `json:"ikm"`
	Salt hexBytes `json:"salt"`
	Info hexBytes `json:"info"`
	Size int      `json:"size"`
	OKM  hexBytes `json:"okm"`

	tagSize int
}

func load(t *testing.T, file string) []vector {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, file)
	require.NoError(t, err)
	var content struct {
		NumberOfTests int `json:"numberOfTests"`
		TestGroups    []struct {
			TagSize int      `json:"tagSize"`
			Tests   []vector `json:"tests"`
		} `json:"testGroups"`
	}
	require.NoError(t, json.Unmarshal(raw, &content))
	var all []vector
	for _, group := range content.TestGroups {
		for _, v := range group.Tests {
			require.Contains(t, []string{"valid", "invalid"}, v.Result, "%s %d", file, v.ID)
			v.tagSize = group.TagSize
			all = append(all, v)
		}
	}
	require.Len(t, all, content.NumberOfTests, file)
	require.NotEmpty(t, all, file)
	return all
}

// An algorithm accepts a vector or not. The control is the same with its
// defence taken out.
type algorithm struct {
	name, file string

	// other says which parameter of a vector the format doesn't have.
	other   func(*vector) string
	accepts func(*vector) bool
	control func(*vector) bool
}

var algorithms = []algorithm{
	{"AES-256-GCM", "aes_gcm_test.json", otherGCM, openGCM, openWithoutTag},
	{"HKDF-SHA256", "hkdf_sha256_test.json", otherHKDF, deriveHKDF, deriveWithoutInfo},
	{"AES-SIV", "aes_siv_cmac_test.json", otherSIV, openSIV, openSIVWithoutComparing},
	{"HMAC-SHA256", "hmac_sha256_test.json", otherHMAC, verifyHMAC, func(*vector) bool { return true }},
}

func otherGCM(v *vector) string {
	switch {
	case len(v.Key) != primitives.GCMKeySize:
		return fmt.Sprintf("AES-%d", 8*len(v.Key))
	case len(v.IV) != 12:
		return "GCM nonce not of 96 bits"
	case v.tagSize != 128:
		return "GCM tag not of 128 bits"
	}
	return ""
}

func openGCM(v *vector) bool {
	aead, err := primitives.NewGCM(v.Key)
	if err != nil {
		return false
	}
	defer primitives.Wipe(aead)
	msg, err := aead.Open(nil, nil, slices.Concat(v.IV, v.CT, v.Tag), v.AAD)
	return err == nil && bytes.Equal(msg, v.Msg)
}

// openWithoutTag decrypts as GCM does and never looks at the tag: it accepts
// what decrypts to as many bytes as were sealed.
func openWithoutTag(v *vector) bool {
	block, err := aes.NewCipher(v.Key)
	if err != nil {
		return false
	}
	msg := make([]byte, len(v.CT))
	cipher.NewCTR(block, slices.Concat(v.IV, []byte{0, 0, 0, 2})).XORKeyStream(msg, v.CT)
	return len(msg) == len(v.Msg)
}

// All cases of AES-SIV have one string of associated data and no nonce.
func otherSIV(v *vector) string {
	if len(v.Key) != primitives.SIVKeySize {
		return fmt.Sprintf("AES-SIV with a key of %d bits", 8*len(v.Key))
	}
	return ""
}

// openSIV also seals again: a deterministic cipher has one ciphertext for a message.
func openSIV(v *vector) bool {
	siv, err := primitives.NewSIV(v.Key)
	if err != nil {
		return false
	}
	defer siv.Wipe()
	msg, err := siv.Open(v.CT, v.AAD)
	if err != nil || !bytes.Equal(msg, v.Msg) {
		return false
	}
	ct, err := siv.Seal(v.Msg, v.AAD)
	return err == nil && bytes.Equal(ct, v.CT)
}

// openSIVWithoutComparing decrypts as AES-SIV does and never looks whether the
// SIV is that of the message.
func openSIVWithoutComparing(v *vector) bool {
	if len(v.CT) < primitives.SIVSize {
		return false
	}
	block, err := aes.NewCipher(v.Key[len(v.Key)/2:])
	if err != nil {
		return false
	}
	start := bytes.Clone(v.CT[:primitives.SIVSize])
	start[8] &= 0x7f
	start[12] &= 0x7f
	msg := make([]byte, len(v.CT)-primitives.SIVSize)
	cipher.NewCTR(block, start).XORKeyStream(msg, v.CT[primitives.SIVSize:])
	return len(msg) == len(v.Msg)
}

// The lengths of the secret and of the output are the caller's, in Derive as in
// HKDF; the salt is the format's, which is empty.
func otherHKDF(v *vector) string {
	if len(v.Salt) != 0 {
		return "HKDF with a salt"
	}
	return ""
}

func deriveHKDF(v *vector) bool {
	okm, err := primitives.Derive(v.IKM, string(v.Info), v.Size)
	return err == nil && bytes.Equal(okm, v.OKM)
}

func deriveWithoutInfo(v *vector) bool {
	okm, err := primitives.Derive(v.IKM, "", v.Size)
	return err == nil && bytes.Equal(okm, v.OKM)
}

func otherHMAC(v *vector) string {
	if v.tagSize != 256 {
		return "HMAC cut short"
	}
	return ""
}

func verifyHMAC(v *vector) bool {
	tag := primitives.MAC(v.Key, v.Msg)
	return hmac.Equal(tag[:], v.Tag)
}

func TestScoreboardS1(t *testing.T) {
	run, wrong := 0, 0
	left := map[string]int{}
	var controls []string
	for _, a := range algorithms {
		t.Run(a.name, func(t *testing.T) {
			ran, invalid, missed := 0, 0, 0
			for _, v := range load(t, a.file) {
				if reason := a.other(&v); reason != "" {
					left[reason]++
					continue
				}
				ran++
				valid := v.Result == "valid"
				if !valid {
					invalid++
				}
				if a.accepts(&v) != valid {
					wrong++
					t.Errorf("%s, case %d (%s): accepted is %t, it is %s", a.file, v.ID, v.Comment, !valid, v.Result)
				}
				if a.control(&v) != valid {
					missed++
				}
			}
			require.NotZero(t, ran)
			require.GreaterOrEqual(t, missed, max(1, invalid), "the control noticed too much")
			run += ran
			controls = append(controls, fmt.Sprintf("%s %d", a.name, missed))
		})
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(left)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, left[reason]))
	}
	require.NotEmpty(t, reasons)
	scoreboard.Row(t, "S1", wrong == 0 && run > 0 && len(controls) == len(algorithms),
		fmt.Sprintf("%d of %d as stated; counted, not run: %s", run-wrong, run, strings.Join(reasons, ", ")), "all",
		"wrong with tag or info ignored: "+strings.Join(controls, ", "))
}
