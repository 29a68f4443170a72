package fieldcrypt

import (
	"fmt"
	"strings"
	"unicode"
)

// maxIdentifier is PostgreSQL's limit in bytes; MariaDB's is 64.
const maxIdentifier = 63

// checkIdentifier holds the names of tables and columns to what all dialects
// take, so that quoting them is no matter of escaping.
func checkIdentifier(what, name string) error {
	if name == "" || len(name) > maxIdentifier {
		return fmt.Errorf("the %s name %.80q must have 1 to %d characters", what, name, maxIdentifier)
	}
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("the %s name %q must be of ASCII letters, digits and underscores, and not start with a digit", what, name)
		}
	}
	return nil
}

// snakeCase turns a Go name into a column's, as ORMs and sqlc do: HomePhone
// becomes home_phone, and IBANNumber becomes iban_number.
func snakeCase(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 {
			previous := runes[i-1]
			endsWord := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if previous != '_' && (!unicode.IsUpper(previous) || endsWord) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
