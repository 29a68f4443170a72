package scoreboard

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// verbs is every verb with every flag.
var verbs = formatsOf("vTtbcdoOqxXUeEfFgGsZ")

// misused are formats that fmt answers, for what is no pointer or no error, by
// printing the value without asking its methods. No type with a field can keep
// the field out of these; go vet refuses them, and so does go test.
var misused = formatsOf("pw")

func formatsOf(letters string) (all []string) {
	for _, verb := range letters {
		for _, flag := range []string{"", "+", "#", " ", "-", "0", "+#", "# "} {
			all = append(all, "%"+flag+string(verb))
		}
	}
	return all
}

// Printed is everything that a value can be made to show of itself.
func Printed(v any) (outs []string) {
	for _, format := range verbs {
		outs = append(outs, fmt.Sprintf(format, v))
	}
	var buf bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&buf, nil)), slog.New(slog.NewJSONHandler(&buf, nil))} {
		log.Info("message", "value", v, slog.Group("group", "value", v)) //nolint:sloglint // any value, as a caller may
	}
	for _, encode := range []func(v any) error{
		json.NewEncoder(&buf).Encode, xml.NewEncoder(&buf).Encode, gob.NewEncoder(&buf).Encode,
	} {
		if err := encode(v); err != nil {
			outs = append(outs, err.Error())
		}
	}
	func() {
		defer func() { outs = append(outs, fmt.Sprint(recover())) }()
		panic(v)
	}()
	return append(outs, buf.String())
}

// Misprinted is what vet keeps a program from printing.
func Misprinted(v any) (outs []string) {
	for _, format := range misused {
		outs = append(outs, fmt.Sprintf(format, v))
	}
	return outs
}

// A Canary is a set of secrets in all texts in which a printer or an encoder
// could show them.
type Canary struct{ forms []string }

// NewCanary returns the forms of secrets, each of at least 9 bytes.
func NewCanary(secrets ...[]byte) Canary {
	var c Canary
	for _, secret := range secrets {
		c.forms = append(c.forms, forms(secret)...)
	}
	slices.Sort(c.forms)
	c.forms = slices.Compact(c.forms)
	return c
}

// In counts the texts that show a secret.
func (c Canary) In(texts []string) (found, of int) {
	for _, text := range texts {
		if slices.ContainsFunc(c.forms, func(form string) bool { return strings.Contains(text, form) }) {
			found++
		}
	}
	return found, len(texts)
}

func forms(secret []byte) []string {
	all := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret))}
	for shift := range 3 { // where it starts within base64's groups of three
		std := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		url := base64.URLEncoding.EncodeToString(append(make([]byte, shift), secret...))
		all = append(all, std[4:len(std)-4], url[4:len(url)-4])
	}
	// As the first words of a cipher's key schedule.
	first, second := binary.BigEndian.Uint32(secret), binary.BigEndian.Uint32(secret[4:])
	all = append(all, fmt.Sprintf("%d %d", first, second), fmt.Sprintf("%#x, %#x", first, second))
	for _, format := range verbs {
		if strings.Contains(format, "T") {
			continue
		}
		for _, v := range []any{secret, string(secret)} {
			out := fmt.Sprintf(format, v)
			if strings.Contains(out, "%!") { // not a verb for bytes
				continue
			}
			if i := strings.IndexAny(out, "[{"); i >= 0 {
				out = out[i+1:]
			}
			out = strings.Trim(out, "[]{}\"` ")
			if len(out) > 12 {
				all = append(all, out)
			}
		}
	}
	return all
}
