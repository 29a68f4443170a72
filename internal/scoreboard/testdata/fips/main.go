// The control of row S20: a cipher whose nonces the caller chooses.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"log"
)

func main() {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cipher.NewGCM(block); err != nil {
		log.Fatal(err)
	}
}
