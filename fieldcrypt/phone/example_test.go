package phone_test

import (
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/phone"
)

// Numbers as they are dialled in Germany.
func ExampleNew() {
	de, err := phone.New("DE")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(de.Name)
	for _, spelling := range []string{"+49 (0)30 23125-123", "0049 30 23125123", "030 / 23 12 51 23", "030"} {
		fmt.Println(de.Normalise(spelling))
	}
	// Output:
	// phone.v1-de
	// +493023125123 <nil>
	// +493023125123 <nil>
	// +493023125123 <nil>
	//  phone: phone.v1-de: the value isn't of that kind: it has no area code
}
