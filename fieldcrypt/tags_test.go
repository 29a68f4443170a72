package fieldcrypt

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var goodTags = []struct {
	text  string
	blank bool
	want  tag
}{
	{"-", false, tag{mark: markIgnore}},
	{"id", false, tag{mark: markID}},
	{"tenant", false, tag{mark: markTenant}},
	{"Contacts.email", false, tag{mark: markField, module: "Contacts", name: "email"}},
	{"Contacts.home.phone", false, tag{mark: markField, module: "Contacts", name: "home.phone"}},
	{"Контакты.почта", false, tag{mark: markField, module: "Контакты", name: "почта"}},
	{"Contacts.*", false, tag{mark: markCustom, module: "Contacts"}},
	{"Contacts.custom.*,class=crm,pad=16", false, tag{mark: markCustom, module: "Contacts", name: "custom.", class: "crm", pad: padding{16}}},
	{
		"Contacts.email,text,class=subject/7,pad=65536,max=320,column=mail", false,
		tag{mark: markField, module: "Contacts", name: "email", text: true, class: "subject/7", pad: padding{65536}, max: 320, column: "mail"},
	},
	{"Contacts.email,pad=16/64/256", false, tag{mark: markField, module: "Contacts", name: "email", pad: padding{16, 64, 256}}},
	{"Contacts.email,pad=2/3/4/5/6/7/8/65536", false, tag{mark: markField, module: "Contacts", name: "email", pad: padding{2, 3, 4, 5, 6, 7, 8, 65536}}},
	{
		"Contacts.email,text,migrating,until=2027-06-30", false,
		tag{mark: markField, module: "Contacts", name: "email", text: true, migrating: true, migration: migration{CivilDate{2027, time.June, 30}}},
	},
	{
		"Contacts.custom.*,migrating,until=2028-02-29", false,
		tag{mark: markCustom, module: "Contacts", name: "custom.", migrating: true, migration: migration{CivilDate{2028, time.February, 29}}},
	},
	{"Contacts.login,deterministic", false, tag{mark: markField, module: "Contacts", name: "login", deterministic: true}},
	{
		"index=Contacts.email,normalise=email.v1,bits=24", false,
		tag{mark: markIndex, index: indexTagging{of: "Contacts.email", normalise: "email.v1", bits: 24}},
	},
	{
		"index=Contacts.phone,normalise=digits.v1,bits=16,partitions=3,last=4,version=2,shared=People.phone,text,column=phone_tag", false,
		tag{mark: markIndex, text: true, column: "phone_tag", index: indexTagging{of: "Contacts.phone", normalise: "digits.v1", bits: 16, partitions: 3, last: 4, version: 2, shared: "People.phone"}},
	},
	{
		"index=Contacts.last_name+Contacts.born,normalise=name.v1+none.v1,bits=64", false,
		tag{mark: markIndex, index: indexTagging{of: "Contacts.last_name+Contacts.born", normalise: "name.v1+none.v1", bits: 64}},
	},
	{"unbound", true, tag{mark: markType, unbound: true}},
	{"unbound,class=crm", true, tag{mark: markType, unbound: true, class: "crm"}},
	{"class=crm", true, tag{mark: markType, class: "crm"}},
}

func TestParseTag(t *testing.T) {
	for _, test := range goodTags {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseTag(test.text, test.blank)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.Equal(t, test.text, got.String())
		})
	}
}

var badTags = []struct {
	text  string
	blank bool
	says  string
}{
	{"", false, "it names no field"},
	{",text", false, "it names no field"},
	{"email", false, "lacks its module"},
	{"ID", false, "lacks its module"},
	{" id", false, "lacks its module"},
	{"unbound", false, "put it on a blank field"},
	{"Contacts.*,deterministic", false, "doesn't belong on a map"},
	{"Contacts.email,deterministic,deterministic", false, "comes twice"},
	{"Contacts.email,deterministic=1", false, "takes no value"},
	{"id,deterministic", false, "for sensitive fields"},
	{"Contacts.email,bits=24", false, "unknown option"},
	{"index=", false, "isn't a field's name"},
	{"index=email,normalise=email.v1,bits=24", false, "isn't a field's name"},
	{"index=Contacts.email", false, "write normalise=email.v1"},
	{"index=Contacts.email,normalise=email.v1", false, "how many bits"},
	{"index=Contacts.email,bits=24", false, "write normalise=email.v1"},
	{"index=Contacts.email,normalise=email.v1,bits=0", false, "1 to 256"},
	{"index=Contacts.email,normalise=email.v1,bits=257", false, "1 to 256"},
	{"index=Contacts.email,normalise=email.v1,bits=024", false, "1 to 256"},
	{"index=Contacts.email,normalise=email.v1,bits=24,bits=24", false, "comes twice"},
	{"index=Contacts.email,normalise=email.v1,normalise=email.v1,bits=24", false, "comes twice"},
	{"index=Contacts.email,normalise=email v1,bits=24", false, "has ' ' in it"},
	{"index=Contacts.email,normalise=email.v1,bits=24,partitions=256", false, "1 to 255"},
	{"index=Contacts.email,normalise=email.v1,bits=24,first=3,last=3", false, "exclude each other"},
	{"index=Contacts.email,normalise=email.v1,bits=24,first=0", false, "1 to 255"},
	{"index=Contacts.email,normalise=email.v1,bits=24,version=0", false, "1 to 2147483647"},
	{"index=Contacts.email,normalise=email.v1,bits=24,shared=people", false, "option shared"},
	{"index=Contacts.email,normalise=email.v1,bits=24,pad=16", false, "unknown option \"pad\" of a blind index"},
	{"index=Contacts.email,normalise=email.v1,bits=24,deterministic", false, "doesn't belong on a blind index"},
	{"index=Contacts.email,normalise=email.v1,bits=24,text,text", false, "comes twice"},
	{"index=Contacts.email,normalise=email.v1,bits=24,column=a b", false, "ASCII letters"},
	{"index=Contacts.email+Contacts.email,normalise=email.v1+email.v1,bits=24", false, "comes twice"},
	{"index=Contacts.a+Contacts.b,normalise=email.v1,bits=24", false, "2 fields has 1 normalisers"},
	{"index=Contacts.a+Contacts.b,normalise=email.v1+email.v1,bits=24,first=3", false, "of one field"},
	{"index=C.a+C.b+C.c+C.d+C.e+C.f+C.g+C.h+C.i,normalise=none.v1,bits=24", false, "9 fields"},
	{"index=Contacts.email,normalise=email.v1,bits=24", true, "on a blank field"},
	{"id,text", false, "for sensitive fields"},
	{"tenant,class=crm", false, "for sensitive fields"},
	{"-,text", false, "for sensitive fields"},
	{".email", false, "the module has no name"},
	{"Contacts.", false, "the field has no name"},
	{"Contacts..email", false, "empty part beside a dot"},
	{"Contacts.email.", false, "empty part beside a dot"},
	{"Contacts.e mail", false, `' '`},
	{"Contacts.e\nmail", false, `'\n'`},
	{"Contacts.e*", false, "stands alone after a dot"},
	{"Contacts.*.x", false, `'*'`},
	{"*.email", false, `'*'`},
	{"Contacts.email,", false, "a comma too many"},
	{"Contacts.email,,text", false, "a comma too many"},
	{"Contacts.email, text", false, `unknown option " text"`},
	{"Contacts.email,Text", false, `unknown option "Text"`},
	{"Contacts.email,encrypt", false, "unknown option"},
	{"Contacts.email,omitempty", false, "unknown option"},
	{"Contacts.email,text=true", false, "takes no value"},
	{"Contacts.email,text,text", false, "comes twice"},
	{"Contacts.email,pad", false, "needs a value"},
	{"Contacts.email,pad=", false, "2 to 65536"},
	{"Contacts.email,pad=0", false, "2 to 65536"},
	{"Contacts.email,pad=1", false, "2 to 65536"},
	{"Contacts.email,pad=65537", false, "2 to 65536"},
	{"Contacts.email,pad=+8", false, "2 to 65536"},
	{"Contacts.email,pad=08", false, "2 to 65536"},
	{"Contacts.email,pad=8,pad=8", false, "comes twice"},
	{"Contacts.email,pad=8/16,pad=8", false, "comes twice"},
	{"Contacts.email,migrating", false, "needs an end: add"},
	{"Contacts.email,until=2027-06-30", false, "is the end of a migration: add"},
	{"Contacts.email,migrating=true,until=2027-06-30", false, "takes no value"},
	{"Contacts.email,migrating,until", false, "needs a value"},
	{"Contacts.email,migrating,until=", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until=tomorrow", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until=2027-02-29", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until=2027-6-30", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until=+12027-06-30", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until=-0001-06-30", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,until= 2027-06-30", false, "a day in the form YYYY-MM-DD"},
	{"Contacts.email,migrating,migrating,until=2027-06-30", false, "comes twice"},
	{"Contacts.email,migrating,until=2027-06-30,until=2027-06-30", false, "comes twice"},
	{"Contacts.email,Migrating,until=2027-06-30", false, "unknown option"},
	{"id,migrating,until=2027-06-30", false, "for sensitive fields"},
	{"-,migrating", false, "for sensitive fields"},
	{"unbound,class=crm,migrating,until=2027-06-30", true, "for sensitive fields"},
	{"Contacts.email,pad=/", false, "2 to 65536"},
	{"Contacts.email,pad=16/", false, "2 to 65536"},
	{"Contacts.email,pad=/16", false, "2 to 65536"},
	{"Contacts.email,pad=16//64", false, "2 to 65536"},
	{"Contacts.email,pad=16/064", false, "2 to 65536"},
	{"Contacts.email,pad=16/65537", false, "2 to 65536"},
	{"Contacts.email,pad=1/16", false, "2 to 65536"},
	{"Contacts.email,pad=16 /64", false, "2 to 65536"},
	{"Contacts.email,pad=64/16", false, "its sizes must ascend"},
	{"Contacts.email,pad=16/64/64", false, "its sizes must ascend"},
	{"Contacts.email,pad=2/3/4/5/6/7/8/9/10", false, "it has 9 sizes, the limit is 8"},
	{"Contacts.email,max=0", false, "1 to 16711679"},
	{"Contacts.email,max=-1", false, "1 to 16711679"},
	{"Contacts.email,max=16711680", false, "1 to 16711679"},
	{"Contacts.email,max=99999999999999999999", false, "1 to 16711679"},
	{"Contacts.email,max=1k", false, "1 to 16711679"},
	{"Contacts.email,max=5,max=6", false, "comes twice"},
	{"Contacts.email,class=", false, "the class has no name"},
	{"Contacts.email,class=a b", false, `' '`},
	{"Contacts.email,class=a,class=b", false, "comes twice"},
	{"Contacts.email,class=" + strings.Repeat("c", 256), false, "the limit is 255"},
	{"Contacts." + strings.Repeat("e", 256), false, "the limit is 255"},
	{strings.Repeat("m", 256) + ".email", false, "the limit is 255"},
	{"Contacts.email,column=", false, "1 to 63 characters"},
	{`Contacts.email,column=a"b`, false, "ASCII letters"},
	{"Contacts.email,column=1st", false, "ASCII letters"},
	{"Contacts.email,column=a,column=b", false, "comes twice"},
	{"Contacts.custom.*,column=c", false, "doesn't belong on a map"},
	{"Contacts.\xff", false, "isn't UTF-8"},
	{"Contacts." + strings.Repeat("e", 2040), false, "the tag is 2049 bytes, the limit is 2048"},
	{"", true, "on a blank field"},
	{"id", true, "on a blank field"},
	{"Contacts.email", true, "on a blank field"},
	{"unbound,unbound", true, "on a blank field"},
	{"unbound,text", true, "on a blank field"},
	{"unbound,class=a,class=b", true, "comes twice"},
	{"unbound,class=a,text", true, "for sensitive fields"},
	{"class=", true, "the class has no name"},
}

func TestParseTagRefuses(t *testing.T) {
	require.Greater(t, len(badTags), len(goodTags))
	for _, test := range badTags {
		t.Run(test.text, func(t *testing.T) {
			got, err := parseTag(test.text, test.blank)
			require.ErrorContains(t, err, test.says)
			require.Zero(t, got)
		})
	}
}

// What package reflect doesn't find, though a person may have meant it.
func TestLookupTagNoticesLostMarks(t *testing.T) {
	for _, lost := range []reflect.StructTag{
		`fieldcrypt: "M.a"`, `Fieldcrypt:"M.a"`, `FIELDCRYPT:"M.a"`, `FieldCrypt:"M.a"`, `fieldcrypt :"M.a"`, "fieldcrypt\t:\"M.a\"",
		`fieldcrypt:M.a`, `fieldcrypt="M.a"`, `fieldcrypt;"M.a"`, `fieldcrypt,"M.a"`, `fieldcrypt`, `fieldcrypt:'M.a'`, `fieldcrypt:"M.a`, `fieldcrypts:"M.a"`,
		`json:"a", fieldcrypt:"M.a"`, `json:"a",fieldcrypt:"M.a"`, `json:"a" fieldcrypt`, `json:"a,fieldcrypt:M.a"`, `json:"a"; fieldcrypt:"M.a"`,
		"json:\"a\"\tfieldcrypt:\"M.a\"", "json:\"a\"\nfieldcrypt:\"M.a\"", `json: "a" fieldcrypt:"M.a"`, `"fieldcrypt:M.a"`, `db:"fieldcrypt"`,
	} {
		_, err := lookupTag(reflect.StructField{Name: "A", Tag: lost})
		require.ErrorContains(t, err, `"fieldcrypt" is in the struct tag, but not as a well-formed tag`, "%s", lost)
	}
	for _, other := range []reflect.StructTag{"", `json:"a"`, `db:"field_crypt"`} {
		got, err := lookupTag(reflect.StructField{Name: "A", Tag: other})
		require.NoError(t, err)
		require.Zero(t, got)
	}
	got, err := lookupTag(reflect.StructField{Name: "A", Tag: `db:"fieldcrypt" fieldcrypt:"-"`})
	require.NoError(t, err, "as the error says")
	require.Equal(t, markIgnore, got.mark)
}

// A key that is nearly the right one: a plain field would be left in the clear,
// and a part of an ID left out.
func TestLookupTagNoticesMisspeltKeys(t *testing.T) {
	for _, lost := range []reflect.StructTag{
		`feildcrypt:"M.a"`, `fieldcript:"M.a"`, `fieldcryp:"M.a"`, `fieldcyrpt:"M.a"`, `fielcrypt:"M.a"`, `Fieldcript:"M.a"`, `field_crypt:"M.a"`,
		`field-crypt:"M.a"`, `fieldencrypt:"M.a"`, `fieldscrypt:"id"`, `ieldcrypt:"M.a"`, `fidelcrypt:"M.a"`, `db:"a" fieldcripts:"M.a"`, `db:"a",feildcrypt:"M.a"`,
	} {
		_, err := lookupTag(reflect.StructField{Name: "A", Tag: lost})
		require.ErrorContains(t, err, `is it meant to be "fieldcrypt"?`, "%s", lost)
	}
	for _, other := range []reflect.StructTag{
		`db:"feildcrypt"`, `json:"fieldcript,omitempty"`, `fields:"a"`, `encrypt:"a"`, `crypt:"a"`, `field:"a"`, `bcrypt:"a"`, `fieldname:"a"`, `:"a"`, `a:"`, "",
	} {
		got, err := lookupTag(reflect.StructField{Name: "A", Tag: other})
		require.NoError(t, err, "%s", other)
		require.Zero(t, got)
	}
	got, err := lookupTag(reflect.StructField{Name: "A", Tag: `feildcrypt:"x" fieldcrypt:"-"`})
	require.NoError(t, err, "as the error says")
	require.Equal(t, markIgnore, got.mark)
}

// reflect gives the first of two tags, and the second may be the one that was
// meant.
func TestLookupTagNoticesASecondTag(t *testing.T) {
	for _, twice := range []reflect.StructTag{
		`fieldcrypt:"-" fieldcrypt:"M.a"`, `fieldcrypt:"M.a" fieldcrypt:"M.a"`, `fieldcrypt:"M.a" json:"a" fieldcrypt:"M.b,text"`,
		`fieldcrypt:"-" Fieldcrypt:"M.a"`, `fieldcrypt:"-" fieldcrypt: "M.a"`, `fieldcrypt:"-" fieldcrypt :"M.a"`, `fieldcrypt:"-",fieldcrypt:"M.a"`,
	} {
		_, err := lookupTag(reflect.StructField{Name: "A", Tag: twice})
		require.ErrorContains(t, err, `the struct tag has "fieldcrypt" twice`, "%s", twice)
	}
	for _, once := range []reflect.StructTag{`json:"fieldcrypt" fieldcrypt:"M.a"`, `fieldcrypt:"M.a" doc:"see fieldcrypt"`, `fieldcrypt:"M.fieldcrypt:a"`} {
		got, err := lookupTag(reflect.StructField{Name: "A", Tag: once})
		require.NoError(t, err, "%s", once)
		require.Equal(t, markField, got.mark)
	}
}

func FuzzParseTag(f *testing.F) {
	for _, test := range goodTags {
		f.Add(test.text, test.blank)
	}
	for _, test := range badTags {
		f.Add(test.text, test.blank)
	}
	f.Fuzz(func(t *testing.T, text string, blank bool) { checkTag(t, text, blank) })
}

func checkTag(t require.TestingT, text string, blank bool) {
	parsed, err := parseTag(text, blank)
	if err != nil {
		require.Zero(t, parsed)
		return
	}
	require.NotEqual(t, markNone, parsed.mark)
	again, err := parseTag(parsed.String(), blank)
	require.NoError(t, err)
	require.Equal(t, parsed, again)
	require.Len(t, parsed.String(), len(text), "the same options, perhaps in another order")
}

func TestSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"Email": "email", "HomePhone": "home_phone", "ID": "id", "IBANNumber": "iban_number",
		"UserID": "user_id", "Line2": "line2", "A": "a", "Already_Snake": "already_snake", "ÄrzteName": "ärzte_name",
	} {
		require.Equal(t, want, snakeCase(in), in)
	}
}
