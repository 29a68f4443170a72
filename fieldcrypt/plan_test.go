package fieldcrypt_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type (
	uuid    [16]byte
	orderID string
	mail    fieldcrypt.String // loses String's methods

	baseRecord struct {
		ID     uuid   `fieldcrypt:"id"`
		Tenant string `fieldcrypt:"tenant"`
	}
	address struct {
		Street fieldcrypt.String `fieldcrypt:"Contacts.street"`
		City   string
	}
	node struct {
		ID   int               `fieldcrypt:"id"`
		Note fieldcrypt.String `fieldcrypt:"Nodes.note"`
		Next *node
	}
	company struct {
		ID   int               `fieldcrypt:"id"`
		Name fieldcrypt.String `fieldcrypt:"Companies.name"`
	}
	inner struct {
		Secret fieldcrypt.String `fieldcrypt:"Inner.secret"`
	}
)

func check[T any](crypt *fieldcrypt.Crypt) error {
	_, err := fieldcrypt.For[T](crypt)
	return err
}

func TestForAccepts(t *testing.T) {
	crypt := fieldcrypttest.New(t)
	tests := map[string]func(*fieldcrypt.Crypt) error{
		"embedded base": check[struct {
			baseRecord
			Email fieldcrypt.String `fieldcrypt:"Contacts.email"`
		}],
		"nested and pointed to": check[struct {
			baseRecord
			Home address
			Mail *fieldcrypt.String `fieldcrypt:"Contacts.mail"`
			Made time.Time
		}],
		"pointer to nested": check[struct {
			baseRecord
			Home *address
		}],
		"composite": check[struct {
			Order orderID           `fieldcrypt:"id"`
			Line  *uint16           `fieldcrypt:"id"`
			Note  fieldcrypt.String `fieldcrypt:"Lines.note"`
		}],
		"unbound with class": check[struct {
			_    struct{}          `fieldcrypt:"unbound,class=crm"`
			ID   int64             // the database's
			Note fieldcrypt.String `fieldcrypt:"Notes.text,class=billing"`
		}],
		"relations left alone": check[struct {
			baseRecord
			Email   fieldcrypt.String `fieldcrypt:"Contacts.email"`
			Company *company          `fieldcrypt:"-"`
			Orders  []company         `fieldcrypt:"-"`
		}],
		"fixed types padded": check[struct {
			baseRecord
			Paid fieldcrypt.Bool `fieldcrypt:"Contacts.paid,pad=32"`
		}],
		"maps": check[struct {
			baseRecord
			Custom fieldcrypt.Fields           `fieldcrypt:"Contacts.custom.*"`
			Scores map[string]fieldcrypt.Int64 `fieldcrypt:"Contacts.score.*"`
		}],
		"plain fields": check[struct {
			baseRecord
			IBAN  orderID `fieldcrypt:"Accounts.iban"`
			Scan  []byte  `fieldcrypt:"Accounts.scan"`
			Phone *string `fieldcrypt:"Accounts.phone"`
		}],
	}
	for name, check := range tests {
		t.Run(name, func(t *testing.T) { require.NoError(t, check(crypt)) })
	}
}

func TestForRefuses(t *testing.T) {
	crypt := fieldcrypttest.New(t)
	type value = fieldcrypt.String
	tests := map[string]struct {
		check func(*fieldcrypt.Crypt) error
		says  []string
	}{
		"no struct":         {check[int], []string{"For[int]", "a struct with marked fields"}},
		"a value":           {check[fieldcrypt.String], []string{"a struct with marked fields"}},
		"pointer to struct": {check[*company], []string{"For[*fieldcrypt_test.company]", "For[fieldcrypt_test.company]"}},
		"nothing marked":    {check[struct{ ID int }], []string{"no field is marked"}},
		"unknown option": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a,encrypted"`
		}], []string{"field A", `unknown option "encrypted"`}},
		"duplicate name": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a"`
			B  value `fieldcrypt:"M.a"`
		}], []string{"field B", `"M.a" is taken`}},
		"duplicate through nesting": {check[struct {
			ID   int `fieldcrypt:"id"`
			Home address
			Work address
		}], []string{"field Work.Street", `"Contacts.street" is taken`}},
		"unsupported type": {check[struct {
			ID int `fieldcrypt:"id"`
			A  int `fieldcrypt:"M.a"`
		}], []string{"field A", "type int can't hold"}},
		"defined over a value": {check[struct {
			ID int  `fieldcrypt:"id"`
			A  mail `fieldcrypt:"M.a"`
		}], []string{"field A", "can't hold a sensitive value"}},
		"pointer to pointer": {check[struct {
			ID int     `fieldcrypt:"id"`
			A  **value `fieldcrypt:"M.a"`
		}], []string{"field A", "can't hold a sensitive value"}},
		"slice of values": {check[struct {
			ID int     `fieldcrypt:"id"`
			A  []value `fieldcrypt:"M.a"`
		}], []string{"field A", "can't hold a sensitive value"}},
		"unexported": {check[struct {
			ID int   `fieldcrypt:"id"`
			a  value `fieldcrypt:"M.a"`
		}], []string{"field a", "not exported"}},
		"unexported struct with marks": {check[struct {
			ID   int   `fieldcrypt:"id"`
			A    value `fieldcrypt:"M.a"`
			home address
		}], []string{"field home", "isn't exported"}},
		"embedded pointer to unexported": {check[struct {
			ID int `fieldcrypt:"id"`
			*inner
		}], []string{"field inner", "isn't exported"}},
		"value without tag": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a"`
			B  value
		}], []string{"field B", "without a tag"}},
		"values without tag, in a map": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a"`
			B  fieldcrypt.Fields
		}], []string{"field B", "without a tag"}},
		"neither id nor unbound": {check[struct {
			ID int
			A  value `fieldcrypt:"M.a"`
		}], []string{"no field is marked as the record's ID", "unbound"}},
		"both id and unbound": {check[struct {
			_  struct{} `fieldcrypt:"unbound"`
			ID int      `fieldcrypt:"id"`
			A  value    `fieldcrypt:"M.a"`
		}], []string{"field ID", "remove one of them"}},
		"unbound on a field": {check[struct {
			ID int   `fieldcrypt:"unbound"`
			A  value `fieldcrypt:"M.a"`
		}], []string{"field ID", "blank field"}},
		"two blank marks": {check[struct {
			_ struct{} `fieldcrypt:"unbound"`
			_ struct{} `fieldcrypt:"class=crm"`
			A value    `fieldcrypt:"M.a"`
		}], []string{"a second blank field"}},
		"field's mark on a blank field": {check[struct {
			_ value `fieldcrypt:"M.a"`
		}], []string{"field _", "on a blank field"}},
		"misspelt blank mark in nested": {check[struct {
			ID     int   `fieldcrypt:"id"`
			A      value `fieldcrypt:"M.a"`
			Nested struct {
				_ struct{} `Fieldcrypt:"unbound"`
				B value    `fieldcrypt:"M.b"`
			}
		}], []string{"field Nested._", "put it on the record type"}},
		"blank mark in nested": {check[struct {
			ID  int `fieldcrypt:"id"`
			Sub struct {
				_ struct{} `fieldcrypt:"unbound"`
				A value    `fieldcrypt:"M.a"`
			}
		}], []string{"field Sub._", "put it on the record type"}},
		"slice of structs": {check[struct {
			ID    int `fieldcrypt:"id"`
			Homes []address
		}], []string{"field Homes", "aren't reached", `fieldcrypt:"-"`}},
		"array of structs": {check[struct {
			ID    int `fieldcrypt:"id"`
			Homes [2]address
		}], []string{"field Homes", "aren't reached"}},
		"map of structs": {check[struct {
			ID    int `fieldcrypt:"id"`
			Homes map[string]address
		}], []string{"field Homes", "aren't reached"}},
		"slice of pointers": {check[struct {
			ID    int   `fieldcrypt:"id"`
			A     value `fieldcrypt:"M.a"`
			Homes []*address
		}], []string{"field Homes", "aren't reached"}},
		"holds itself": {check[node], []string{"field Next", "holds itself"}},
		"another record": {check[struct {
			ID      int   `fieldcrypt:"id"`
			A       value `fieldcrypt:"M.a"`
			Company company
		}], []string{"field Company.ID", "a record of its own"}},
		"another record, pointed to": {check[struct {
			ID      int   `fieldcrypt:"id"`
			A       value `fieldcrypt:"M.a"`
			Company *company
		}], []string{"field Company.ID", "a record of its own"}},
		"tenant in nested": {check[struct {
			ID  int   `fieldcrypt:"id"`
			A   value `fieldcrypt:"M.a"`
			Sub struct {
				Tenant string `fieldcrypt:"tenant"`
			}
		}], []string{"field Sub.Tenant", "a record of its own"}},
		"tenant not a string": {check[struct {
			ID     int   `fieldcrypt:"id"`
			Tenant int   `fieldcrypt:"tenant"`
			A      value `fieldcrypt:"M.a"`
		}], []string{"field Tenant", "must be a string"}},
		"two tenants": {check[struct {
			ID int    `fieldcrypt:"id"`
			T1 string `fieldcrypt:"tenant"`
			T2 string `fieldcrypt:"tenant"`
			A  value  `fieldcrypt:"M.a"`
		}], []string{"field T2", "a second tenant"}},
		"ID of a float": {check[struct {
			ID float64 `fieldcrypt:"id"`
			A  value   `fieldcrypt:"M.a"`
		}], []string{"field ID", "type float64 isn't supported"}},
		"ID of a time": {check[struct {
			ID time.Time `fieldcrypt:"id"`
			A  value     `fieldcrypt:"M.a"`
		}], []string{"field ID", "isn't supported"}},
		"ID of 15 bytes": {check[struct {
			ID [15]byte `fieldcrypt:"id"`
			A  value    `fieldcrypt:"M.a"`
		}], []string{"field ID", "isn't supported"}},
		"ID of bytes": {check[struct {
			ID []byte `fieldcrypt:"id"`
			A  value  `fieldcrypt:"M.a"`
		}], []string{"field ID", "isn't supported"}},
		"ID that is sensitive": {check[struct {
			ID value `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a"`
		}], []string{"field ID", "isn't supported"}},
		"ID pointer to pointer": {check[struct {
			ID **int `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a"`
		}], []string{"field ID", "isn't supported"}},
		"max out of range": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a,max=0"`
		}], []string{"field A", "max=0"}},
		"max on a fixed type": {check[struct {
			ID int             `fieldcrypt:"id"`
			A  fieldcrypt.Bool `fieldcrypt:"M.a,max=9"`
		}], []string{"field A", "bool always takes 1 bytes"}},
		"max on a map of fixed type": {check[struct {
			ID int                         `fieldcrypt:"id"`
			A  map[string]fieldcrypt.Int64 `fieldcrypt:"M.*,max=9"`
		}], []string{"field A", "int64 always takes 8 bytes"}},
		"pad out of range": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a,pad=1"`
		}], []string{"field A", "pad=1"}},
		"map without a star": {check[struct {
			ID int               `fieldcrypt:"id"`
			A  fieldcrypt.Fields `fieldcrypt:"M.a"`
		}], []string{"field A", `"M.a.*"`}},
		"star without a map": {check[struct {
			ID int   `fieldcrypt:"id"`
			A  value `fieldcrypt:"M.a.*"`
		}], []string{"field A", "is for a map"}},
		"map with other keys": {check[struct {
			ID int               `fieldcrypt:"id"`
			A  map[orderID]value `fieldcrypt:"M.*"`
		}], []string{"field A", "string keys"}},
		"map of plain strings": {check[struct {
			ID int               `fieldcrypt:"id"`
			A  map[string]string `fieldcrypt:"M.*"`
		}], []string{"field A", "values such as fieldcrypt.String"}},
		"maps that overlap": {check[struct {
			ID int               `fieldcrypt:"id"`
			A  fieldcrypt.Fields `fieldcrypt:"M.custom.*"`
			B  fieldcrypt.Fields `fieldcrypt:"M.*"`
		}], []string{"field B", "the same names as those of A"}},
		"values and plain strings": {check[struct {
			ID int    `fieldcrypt:"id"`
			A  value  `fieldcrypt:"M.a"`
			B  string `fieldcrypt:"M.b"`
		}], []string{"fields A and B"}},
	}
	require.Greater(t, len(tests), 40)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.check(crypt)
			require.ErrorContains(t, err, "fieldcrypt: ")
			for _, says := range test.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

func TestForWithoutCrypt(t *testing.T) {
	_, err := fieldcrypt.For[company](nil)
	require.EqualError(t, err, "fieldcrypt: no Crypt: make one with New")
}
