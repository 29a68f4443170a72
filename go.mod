module github.com/fieldcrypt/fieldcrypt-go

go 1.26
