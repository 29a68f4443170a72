// Command quickstart shows fieldcrypt at work on a real SQLite database: what
// goes in, what the database holds, what comes back, what is refused, and what
// it costs in calls to the key service.
//
//	go run ./examples/quickstart                   # an embedded key file, nothing to install
//	go run ./examples/quickstart -dir demo         # keeps its files; run it again to read them
//	go run ./examples/quickstart -kms aws -key alias/crm -endpoint http://127.0.0.1:4566
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	dir := flags.String("dir", "", "keep the key file and the database in this folder (default: a temporary one, removed at the end)")
	kms := flags.String("kms", "local", "where the root key is: local (a key file) or aws")
	key := flags.String("key", "", "with -kms aws: the root key, as alias/name, key ARN or alias ARN")
	endpoint := flags.String("endpoint", "", "with -kms aws: the URL of an emulator such as LocalStack")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		tmp, err := os.MkdirTemp("", "fieldcrypt-quickstart-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		*dir = tmp
	} else if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}

	provider, rootKey, err := openProvider(ctx, *kms, *key, *endpoint, *dir)
	if err != nil {
		return err
	}
	crypt, err := fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: rootKey}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crypt.Close()) }()
	db, err := sql.Open("sqlite", filepath.Join(*dir, "crm.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	demo, err := newTour(ctx, out, crypt, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "root key  %s\n", rootKey)
	fmt.Fprintf(out, "database  %s\n", filepath.Join(*dir, "crm.db"))
	return demo.run(ctx)
}

// openProvider is the only place that knows where the root key lives.
func openProvider(ctx context.Context, kind, key, endpoint, dir string) (kmsprovider.Provider, string, error) {
	switch kind {
	case "local":
		local, err := localkms.Open(filepath.Join(dir, "root.keys"))
		if err != nil {
			return nil, "", err
		}
		return local, local.RootKey(), nil
	case "aws":
		uri, err := awskms.URI(key)
		if err != nil {
			return nil, "", fmt.Errorf("-key: %w", err)
		}
		provider, err := awskms.Open(ctx, &awskms.Options{Endpoint: endpoint})
		if err != nil {
			return nil, "", err
		}
		return provider, uri, nil
	}
	return nil, "", fmt.Errorf("-kms %q: it is local or aws", kind)
}
