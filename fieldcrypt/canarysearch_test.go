package fieldcrypt

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

type wanted4815 struct {
	ID     int64  `fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`
	Email  String `fieldcrypt:"Wanted.email,deterministic"`
	Name   String `fieldcrypt:"Wanted.name"`

	NameTag BlindIndex `fieldcrypt:"index=Wanted.name,normalise=name.v1,bits=24"`
	Part    BlindIndex `fieldcrypt:"index=Wanted.name,normalise=none.v1,bits=24,text"`
}

// huntSearches looks for the canary in what stands around a search and around the
// rows of a table.
func huntSearches(t *testing.T, sum *tally) {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	crypt, err := New(kms, RootKeys{Seal: kms.RootKey()}, &Options{Envelope: envelope.Options{Store: envelope.NewMemoryStore()}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	records, err := For[wanted4815](crypt)
	require.NoError(t, err)
	found := wanted4815{ID: 1, Tenant: "acme", Email: Of(canaryText), Name: Of(canaryText)}
	require.NoError(t, records.Encrypt(t.Context(), &found))

	see := func(what, where, how, out string) {
		sum.outputs++
		if form := seenIn(out); form != "" {
			sum.found++
			t.Errorf("%s in %s by %s: %q shows %q", what, where, how, out, form)
		}
	}
	everywhereIn := func(what string, nested map[string]any) {
		for where, x := range nested {
			emit(x, func(how, out string) { see(what, where, how, out) })
		}
	}
	everywhereIn("a blind index", nestings(found.NameTag))
	everywhereIn("a blind index in text form", nestings(found.Part))
	everywhereIn("a blind index without a tag", nestings(BlindIndex{state: indexNull, err: ErrNotIndexed}))
	for _, by := range []string{"Wanted.name", "part", "Wanted.email"} {
		search, err := records.Search(by)
		require.NoError(t, err)
		q, err := search.Query(t.Context(), "acme", canaryText)
		require.NoError(t, err)
		hits, err := q.Open(t.Context(), []wanted4815{found})
		require.NoError(t, err)
		require.Len(t, hits, 1)
		everywhereIn("a search by "+by, nestings(search))
		everywhereIn("a query by "+by, nestings(*q))
		see("a query by "+by, "SQL", "Where and Args", q.Where(Postgres, 1)+fmt.Sprintf("%s %x", q.Args(), q.Args()))
	}
	_, err = records.Search(canaryText + "is no field")
	require.ErrorContains(t, err, canaryText, "the control: what a program names is named")

	rows := records.Rows()
	batch := []Row{{ID: []any{int64(1)}, Tenant: "acme", Cells: []RowCell{{Old: canaryText}, {Old: canaryText, New: []byte(canaryText), Changed: true}}, Plain: []RowCell{{Old: canaryText, Apart: true}, {}}}}
	everywhereIn("Rows", nestings(rows))
	// A cell is for sweeps to read and write, and so has its content in exported
	// fields. fmt doesn't ask the methods of what is in unexported ones.
	for what, x := range map[string]any{"a cell": batch[0].Cells[1], "cells": batch[0].Cells, "a pointer to a cell": &batch[0].Cells[0], "a row": batch[0], "rows": batch, "a struct": exported[Row]{batch[0]}} {
		for _, out := range scoreboard.Printed(x) {
			see(what, "itself", "print", out)
		}
	}
	require.NoError(t, rows.Verify(t.Context(), batch, RowOptions{}))
	for _, cell := range batch[0].Cells {
		require.ErrorIs(t, cell.Err, ErrNotEnvelope)
		everywhereIn("the error of a cell", nestings(cell.Err))
	}
	require.NoError(t, rows.Inspect(&batch[0], func(f RowFinding) { everywhereIn("a finding", nestings(f)) }))
	bad := wanted4815{ID: 1, Tenant: "acme"}
	require.NoError(t, bad.Name.Scan(canaryText))
	failed := records.Decrypt(t.Context(), &bad)
	var all *DecryptError
	require.ErrorAs(t, failed, &all)
	everywhereIn("a DecryptError", nestings(all))
	everywhereIn("a Failure", nestings(all.Failures[0]))
	everywhereIn("a PlaintextEvent", nestings(PlaintextEvent{Field: "Wanted.name", Err: all.Failures[0].Err}))
	everywhereIn("what failed", nestings(bad))
}
