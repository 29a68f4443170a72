module github.com/fieldcrypt/fieldcrypt-go/testdata/tinklegacy

go 1.26.0

require (
	github.com/fieldcrypt/fieldcrypt-go v0.0.0-00010101000000-000000000000
	github.com/google/tink/go v1.7.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/tink-crypto/tink-go/v2 v2.9.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
