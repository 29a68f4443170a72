package phone

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

func TestNumbers(t *testing.T) {
	text, err := os.ReadFile("testdata/numbers.tsv")
	require.NoError(t, err)
	failures := map[string]error{"!empty": normalise.ErrEmpty, "!invalid": normalise.ErrInvalid}
	regions, good, bad := map[string]bool{}, 0, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "\t")
		require.Len(t, parts, 3, line)
		n := International
		if parts[0] != "-" {
			n, err = New(parts[0])
			require.NoError(t, err)
			require.Equal(t, "phone.v1-"+strings.ToLower(parts[0]), n.Name)
			regions[parts[0]] = true
		}
		t.Run(parts[0]+" "+parts[1], func(t *testing.T) {
			got, err := n.Normalise(parts[1])
			if failure := failures[parts[2]]; failure != nil {
				bad++
				require.ErrorIs(t, err, failure)
				require.Empty(t, got)
				require.Contains(t, err.Error(), "phone: "+n.Name+": ")
				if len(parts[1]) > 4 {
					require.NotContains(t, err.Error(), parts[1])
				}
				return
			}
			good++
			require.NoError(t, err)
			require.Equal(t, parts[2], got)
			for _, again := range []normalise.Normaliser{n, International} {
				same, err := again.Normalise(got)
				require.NoError(t, err)
				require.Equal(t, got, same)
			}
		})
	}
	require.GreaterOrEqual(t, len(regions), 20)
	require.Greater(t, good, 50)
	require.Greater(t, bad, 25)
}

// What the region is changes the result, so it must be part of the name.
func TestRegionChangesResults(t *testing.T) {
	seen := map[string]string{}
	for _, region := range []string{"DE", "GB", "FR", "AT"} {
		n, err := New(region)
		require.NoError(t, err)
		number, err := n.Normalise("01 99 00 12 34")
		require.NoError(t, err)
		require.Empty(t, seen[number], "%s", region)
		seen[number] = n.Name
	}
}

func TestUnknownRegions(t *testing.T) {
	for _, region := range []string{"", "de", "De", "DEU", "XX", "ZZ", "EN", "001", "49", " DE", "D\xff", "DE\n"} {
		n, err := New(region)
		require.ErrorIs(t, err, ErrRegion, "%q", region)
		require.ErrorContains(t, err, "two capital letters of ISO 3166-1")
		require.Nil(t, n.Normalise)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"phone.v1", "phone.v1-de", "phone.v1-jp"} {
		n, err := Lookup(name)
		require.NoError(t, err)
		require.Equal(t, name, n.Name)
	}
	for _, name := range []string{"", "phone", "phone.v2", "phone.v1-DE", "phone.v1-", "phone.v1-xx", "phone.v1de", "phone.v1-zz", "email.v1"} {
		n, err := Lookup(name)
		require.Error(t, err, "%q", name)
		require.Nil(t, n.Normalise)
	}
}

func TestErrorsSayWhy(t *testing.T) {
	us, err := New("US")
	require.NoError(t, err)
	for _, c := range []struct {
		n          normalise.Normaliser
		value, say string
	}{
		{International, "202-555-0143", "doesn't begin with \"+\" and a country's calling code; numbers without one need a normaliser of New"},
		{International, "+44 20", "too few digits for its country"},
		{International, "+44 20 7946 00181234", "too many digits for its country"},
		{International, "\xff+44", "isn't UTF-8"},
		{International, strings.Repeat("1", MaxInput+1), "251 bytes, the limit is 250"},
		{International, " ", "store NULL in the index"},
		{us, "555-0143", "it has no area code"},
		{us, "secret", "can't be read as a telephone number"},
	} {
		_, err := c.n.Normalise(c.value)
		require.ErrorContains(t, err, c.say)
		require.NotContains(t, err.Error(), "secret")
	}
}

func FuzzPhone(f *testing.F) {
	for _, s := range []string{"+1 202-555-0143", "(202) 555-0143 ext 5", "tel:0143;phone-context=+1202555", "011 44 20 7946 0018", "+٤٤ ٢٠", "+1 800 FLOWERS", ";;", "+39 06", "0111 15 2345"} {
		f.Add(s)
	}
	var all []normalise.Normaliser
	for _, region := range []string{"US", "DE", "IT", "AR", "BR", "JP"} {
		n, err := New(region)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, n)
	}
	all = append(all, International)
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range all {
			once, err := n.Normalise(s)
			if err != nil {
				if once != "" || !errors.Is(err, normalise.ErrEmpty) && !errors.Is(err, normalise.ErrInvalid) {
					t.Fatalf("%s: %q, %v", n.Name, once, err)
				}
				continue
			}
			if !utf8.ValidString(once) || len(once) < 2 || len(once) > 24 || once[0] != '+' || strings.Trim(once[1:], "0123456789") != "" {
				t.Fatalf("%s(%q) = %q", n.Name, s, once)
			}
			if again, err := n.Normalise(once); err != nil || again != once {
				t.Fatalf("%s(%q) = %q, and again %q, %v", n.Name, s, once, again, err)
			}
		}
	})
}
