// The control of row S23: code that linters object to.
package main

import (
	"errors"
	"fmt"
	"os"
)

var errMade = errors.New("made up")

func main() {
	os.Remove("made-up-file")
	if err := work(); err == errMade {
		return
	}
}

func work() error { return fmt.Errorf("%d", "made up") }
