// Program is what fieldcrypttest must stop.
package main

import (
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

func main() { fmt.Println("got through:", fieldcrypttest.Provider() != nil) }
