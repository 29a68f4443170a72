module github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/schemayaml

go 1.26.0

require (
	github.com/fieldcrypt/fieldcrypt-go v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
)

require (
	github.com/maypok86/otter/v2 v2.4.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
)
