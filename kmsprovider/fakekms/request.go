package fakekms

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	maxBody    = 256 << 10 // bytes of a request
	maxContext = 8192      // bytes of all names and values of an encryption context, as in KMS
	target     = "TrentService."
)

// A request is a call's parameters by name. Names are compared byte by byte,
// and a parameter that is null is absent.
type request map[string]json.RawMessage

// readRequest reads the parameters. The length is bounded before anything is
// read, and once more while it is.
func readRequest(r *http.Request) (request, *apiError) {
	tooLarge := refuse("RequestEntityTooLargeException", "a request has at most %d bytes", maxBody)
	tooLarge.status = http.StatusRequestEntityTooLarge
	if r.ContentLength > maxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, refuse("SerializationException", "the request could not be read")
	}
	if len(body) > maxBody {
		return nil, tooLarge
	}
	var req request
	// The decoder would replace bytes that aren't UTF-8, and so make different
	// encryption contexts equal.
	if !utf8.Valid(body) || json.Unmarshal(body, &req) != nil || req == nil {
		return nil, refuse("SerializationException", "the request is not a JSON object in UTF-8")
	}
	return req, nil
}

// operation returns the name of the operation that a request is for.
func operation(r *http.Request) (string, *apiError) {
	op, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	if !ok || r.Method != http.MethodPost || r.URL.Path != "/" {
		return "", refuse("UnknownOperationException", "a call is a POST to / with an X-Amz-Target of %s and the operation", target)
	}
	if operations[op] == nil {
		return "", refuse("UnknownOperationException", "no operation %q", cut(op))
	}
	return op, nil
}

// cut keeps hostile text in answers and call lists short.
func cut(s string) string {
	const most = 128
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}

// A caller is who signed a request, and for which region.
type caller struct {
	accessKeyID string
	region      string
}

// signer returns who signed a request. Only the form is checked (AWS Signature
// Version 4): the signature itself isn't.
func signer(r *http.Request) (caller, *apiError) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return caller{}, refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	bad := refuse("IncompleteSignatureException", "the Authorization header is not one of AWS Signature Version 4")
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok || len(header) > 4096 {
		return caller{}, bad
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	credential := strings.Split(parts["Credential"], "/")
	if len(credential) != 5 || credential[0] == "" || credential[4] != "aws4_request" ||
		parts["SignedHeaders"] == "" || parts["Signature"] == "" {
		return caller{}, bad
	}
	if credential[3] != "kms" {
		return caller{}, refuse("InvalidSignatureException", "Credential should be scoped to correct service: 'kms'.")
	}
	return caller{accessKeyID: credential[0], region: credential[2]}, nil
}

// get decodes a parameter into v, and reports whether it is present.
func (r request) get(name string, v any) (bool, *apiError) {
	raw, ok := r[name]
	if !ok || string(raw) == "null" {
		return false, nil
	}
	if json.Unmarshal(raw, v) != nil {
		return false, refuse("SerializationException", "%s has a value of a wrong type", name)
	}
	return true, nil
}

// text returns a string parameter, empty if absent.
func (r request) text(name string) (s string, refused *apiError) {
	_, refused = r.get(name, &s)
	return s, refused
}

// bytes returns a parameter of base64 text.
func (r request) bytes(name string) (b []byte, refused *apiError) {
	var s *string // else JSON lists of numbers would pass for bytes
	if _, refused = r.get(name, &s); refused != nil {
		return nil, refused
	}
	_, refused = r.get(name, &b)
	return b, refused
}

// flag returns a boolean parameter, false if absent.
func (r request) flag(name string) (b bool, refused *apiError) {
	_, refused = r.get(name, &b)
	return b, refused
}

// number returns a parameter that is a whole number, nil if absent.
func (r request) number(name string) (n *int, refused *apiError) {
	_, refused = r.get(name, &n)
	return n, refused
}

// context returns an encryption context, nil if absent.
func (r request) context(name string) (kmsprovider.EncryptionContext, *apiError) {
	var pairs map[string]*string // a null would pass for an empty string
	if _, refused := r.get(name, &pairs); refused != nil {
		return nil, refused
	}
	if pairs == nil {
		return nil, nil
	}
	ec := make(kmsprovider.EncryptionContext, len(pairs))
	size := 0
	for k, v := range pairs {
		if v == nil {
			return nil, invalid("%s has a null value", name)
		}
		ec[k] = *v
		size += len(k) + len(*v)
	}
	if size > maxContext {
		return nil, invalid("%s is longer than %d bytes", name, maxContext)
	}
	if err := ec.Validate(); err != nil {
		return nil, invalid("%s: an empty name, or a name or value that is not UTF-8", name)
	}
	return ec, nil
}
