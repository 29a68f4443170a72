package fakekms

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"
)

const maxKeyIDLength = 2048 // of a KeyId, in bytes, as in KMS

var (
	regionName  = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	accountName = regexp.MustCompile(`^[0-9]{12}$`)
	aliasName   = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)
)

func validRegion(s string) bool  { return regionName.MatchString(s) }
func validAccount(s string) bool { return accountName.MatchString(s) }

// An arn is the ARN of a key or an alias.
type arn struct {
	region, account string
	resource        string // "key/…" or "alias/…"
}

func (a arn) String() string {
	return "arn:" + partition(a.region) + ":kms:" + a.region + ":" + a.account + ":" + a.resource
}

func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// parseARN returns the parts of s, and false if it isn't one of KMS.
func parseARN(s string) (arn, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || !validRegion(parts[3]) ||
		!validAccount(parts[4]) || parts[1] != partition(parts[3]) {
		return arn{}, false
	}
	a := arn{region: parts[3], account: parts[4], resource: parts[5]}
	id, isKey := strings.CutPrefix(a.resource, "key/")
	if isKey && id != "" || aliasName.MatchString(a.resource) {
		return a, true
	}
	return arn{}, false
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// newMultiRegionID returns the ID of a multi-region key.
func newMultiRegionID() string {
	return "mrk-" + strings.ReplaceAll(newUUID(), "-", "")
}
