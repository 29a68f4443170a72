package normalise_test

import (
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

// Different spellings, one form.
func Example() {
	for _, spelling := range []string{"Ada@Bücher.example", " ada@xn--bcher-kva.example", "ａｄａ＠bücher.example."} {
		fmt.Println(normalise.Email.Normalise(spelling))
	}
	for _, spelling := range []string{"やまだ　太郎", "ﾔﾏﾀﾞ 太郎", "ヤマダ  太郎"} {
		fmt.Println(normalise.Name.Normalise(spelling))
	}
	// Output:
	// ada@xn--bcher-kva.example <nil>
	// ada@xn--bcher-kva.example <nil>
	// ada@xn--bcher-kva.example <nil>
	// ヤマダ 太郎 <nil>
	// ヤマダ 太郎 <nil>
	// ヤマダ 太郎 <nil>
}

// By the name that a schema has.
func ExampleLookup() {
	digits, err := normalise.Lookup("digits.v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(digits.Normalise("12 34-५६"))
	_, err = digits.Normalise("none")
	fmt.Println(err, errors.Is(err, normalise.ErrEmpty))
	_, err = normalise.Lookup("digits.v2")
	fmt.Println(err)
	// Output:
	// 123456 <nil>
	// normalise: digits.v1: nothing of the value is left: store NULL in the index true
	// normalise: look up a normaliser: none has the name "digits.v2", there are email.v1, name.v1, digits.v1, trim.v1, none.v1
}
