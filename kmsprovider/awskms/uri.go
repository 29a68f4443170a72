package awskms

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// scheme begins the URI of every root key of this package.
const scheme = "aws-kms://"

// maxURI is the longest URI that an envelope holds, in bytes.
const maxURI = 512

var (
	arnForm   = regexp.MustCompile(`^arn:(aws(?:-[a-z]+)*):kms:([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}):([0-9]{12}):(key|alias)/(.+)$`)
	keyIDForm = regexp.MustCompile(`^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)
	aliasForm = regexp.MustCompile(`^[a-zA-Z0-9/_-]{1,250}$`)
)

// URI returns the root key URI for what AWS users have at hand: the ARN of a
// key or of an alias, or an alias as "alias/name". A URI of this package comes
// back as it is. A bare key ID is an error: without region and account it
// doesn't say which key it names.
func URI(s string) (string, error) {
	uri := s
	if !strings.HasPrefix(s, scheme) {
		uri = scheme + s
	}
	if _, err := parse(uri); err != nil {
		return "", fmt.Errorf("awskms: no root key URI can be made from %.600q: %w", s, err)
	}
	return uri, nil
}

// A name is a parsed root key URI.
type name struct {
	arn       string // what KMS is given: an ARN, or "alias/…" without one
	partition string // empty for an alias without an ARN, as are region and account
	region    string
	account   string
	keyID     string // empty for an alias
}

func (n name) isAlias() bool     { return n.keyID == "" }
func (n name) multiRegion() bool { return strings.HasPrefix(n.keyID, "mrk-") }

// parse is strict, so that a root key has one URI only.
func parse(uri string) (name, error) {
	if len(uri) > maxURI {
		return name{}, fmt.Errorf("the URI has %d bytes, more than %d", len(uri), maxURI)
	}
	s, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return name{}, errors.New("a root key of AWS KMS is written " + scheme + " and the key's ARN")
	}
	if alias, ok := strings.CutPrefix(s, "alias/"); ok {
		return name{arn: s}, checkAlias(alias)
	}
	return parseARN(s)
}

func parseARN(arn string) (name, error) {
	if keyIDForm.MatchString(arn) {
		return name{}, errors.New("a key ID alone names no account and region: write the key's whole ARN, arn:aws:kms:REGION:ACCOUNT:key/" + arn)
	}
	m := arnForm.FindStringSubmatch(arn)
	if m == nil {
		return name{}, errors.New("not the ARN of a KMS key, which is written arn:aws:kms:REGION:ACCOUNT:key/KEY-ID in lower case, nor alias/NAME")
	}
	n := name{arn: arn, partition: m[1], region: m[2], account: m[3]}
	if m[4] == "alias" {
		return n, checkAlias(m[5])
	}
	if !keyIDForm.MatchString(m[5]) {
		return name{}, errors.New("the key ID is neither a UUID in lower case nor mrk- and 32 hexadecimal digits")
	}
	n.keyID = m[5]
	return n, nil
}

func checkAlias(alias string) error {
	if !aliasForm.MatchString(alias) {
		return errors.New("an alias is 1 to 250 letters, digits, slashes, underscores and hyphens after alias/")
	}
	return nil
}

// partitions maps the beginnings of region names to the partition they lie in;
// all others are in "aws". A partition that is newer than this table isn't
// refused: see inPartition.
var partitions = []struct{ regions, partition string }{
	{"cn-", "aws-cn"},
	{"us-gov-", "aws-us-gov"},
	{"us-iso-", "aws-iso"},
	{"us-isob-", "aws-iso-b"},
	{"eu-isoe-", "aws-iso-e"},
	{"us-isof-", "aws-iso-f"},
	{"eusc-", "aws-eusc"},
}

// inPartition reports whether region can lie in partition, and which partition
// it does lie in.
func inPartition(region, partition string) (home string, ok bool) {
	home, known := "aws", partition == "aws"
	for _, p := range partitions {
		if strings.HasPrefix(region, p.regions) {
			home = p.partition
		}
		known = known || p.partition == partition
	}
	return home, home == partition || (home == "aws" && !known)
}
