package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// openProvider is the only place that knows where the root key lives. With
// again, there is a database of an earlier run, and before is the root key of
// its rows, if it has any.
func openProvider(ctx context.Context, o options, again bool, before string) (kmsprovider.Provider, string, error) {
	if before != "" && strings.HasPrefix(before, "local-kms://") != (o.kms == "local") {
		return nil, "", fmt.Errorf("-dir %s belongs to another key service: its rows are sealed under %s; run it as before, or with another -dir", o.dir, before)
	}
	if o.kms == "local" {
		return openKeyFile(filepath.Join(o.dir, "root.keys"), again, before)
	}
	uri, err := awskms.URI(o.key)
	if err != nil {
		return nil, "", fmt.Errorf("-key: %w", err)
	}
	provider, err := awskms.Open(ctx, &awskms.Options{Endpoint: o.endpoint})
	if err != nil {
		return nil, "", err
	}
	// A wrong root key shows here, and not with the first record.
	if err := provider.Check(ctx, uri); err != nil {
		return nil, "", err
	}
	return provider, uri, nil
}

const misplaced = "lost, restored elsewhere, or another working directory?"

func openKeyFile(path string, again bool, before string) (kmsprovider.Provider, string, error) {
	open := localkms.Open
	if again { // where there is data, a new key file opens none of it
		open = localkms.OpenExisting
	}
	provider, err := open(path)
	switch {
	case again && errors.Is(err, fs.ErrNotExist):
		return nil, "", fmt.Errorf("the database is here and its key file isn't: %s %w", misplaced, err)
	case err != nil:
		return nil, "", err
	case before != "" && before != provider.RootKey():
		return nil, "", fmt.Errorf("%s is another key file: %s The rows are sealed under %s, and its root key is %s", path, misplaced, before, provider.RootKey())
	}
	return provider, provider.RootKey(), nil
}

// sealedUnder returns the root key that an earlier run's rows are sealed under,
// or "" if there are none, and whether they carry their data keys inline, as
// rows do that were written before this program had a key store.
func sealedUnder(ctx context.Context, db *sql.DB) (rootKey string, inline bool, err error) {
	var tables int
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'contacts'`).Scan(&tables)
	if err != nil || tables == 0 {
		return "", false, err
	}
	var tenant string
	var sealed []byte
	err = db.QueryRowContext(ctx, `SELECT tenant, email FROM contacts WHERE email IS NOT NULL LIMIT 1`).Scan(&tenant, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	info, err := envelope.Inspect(sealed) // needs no key
	if err != nil || info.Mode == envelope.ModeInline {
		return info.RootKey, true, err
	}
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{NoMigrate: true})
	if err != nil {
		return "", false, err
	}
	rec, err := keys.Get(ctx, envelope.Scope{Tenant: tenant}, envelope.PurposeData, info.KeyID)
	if err != nil {
		return "", false, fmt.Errorf("%w: rows are here and the data key of one of them isn't: %s", err, misplaced)
	}
	return rec.RootKey, false, nil
}
