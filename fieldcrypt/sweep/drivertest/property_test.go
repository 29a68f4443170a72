package drivertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// seedVariable names the seed of one sample, which a failure printed, to see it
// again.
const seedVariable = "FIELDCRYPT_TEST_SEED"

// recordsOfSample is so many that values repeat, and so few that most samples are
// unlike each other.
const recordsOfSample = 10

// TestPropertyOfFields brings random records of random schemas into each database
// and back. What went in comes out, by its type; what is searched for is found;
// what didn't change isn't written anew; no plaintext is in the table. A case is
// a record.
func TestPropertyOfFields(t *testing.T) {
	cases := scoreboard.Count(2000, 100_000)
	if testing.Short() {
		cases = 200
	}
	first := rand.Uint64()
	seeds := (cases + recordsOfSample*len(databases) - 1) / (recordsOfSample * len(databases))
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		first, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "%s is the number that a failure printed", seedVariable)
		seeds = 1
	}
	tried, fields, searches := 0, 0, 0
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		for i := range seeds {
			of := drawSample(first+uint64(i), recordsOfSample)
			if err := s.check(t.Context(), of, nil); err != nil {
				smaller, err := s.shrink(t, of, err)
				t.Fatalf("%s=%d shows: %v\nsmallest sample that fails so: %s", seedVariable, of.seed, err, smaller)
			}
			tried, fields, searches = tried+len(of.records), fields+len(of.records)*len(of.fields), searches+len(of.probes())
		}
	})
	t.Logf("property of fields: 0 of %d records with %d values failed, in %d schemas on %s, searched in %d ways (first seed %d)",
		tried, fields, seeds*len(databases), strings.Join(slices.Sorted(maps.Keys(databases)), ", "), searches, first)
}

// shrink looks for a smaller sample that fails: first of one record, then with
// fewer indexes and fields.
func (s *service) shrink(t *testing.T, of *sample, cause error) (*sample, error) {
	t.Helper()
	try := func(smaller sample) bool {
		err := s.check(t.Context(), &smaller, nil)
		if err != nil {
			of, cause = &smaller, err
		}
		return err != nil
	}
	for i := range of.records {
		smaller := *of
		smaller.records = of.records[i : i+1]
		if try(smaller) {
			break
		}
	}
	for i := len(of.indexes) - 1; i >= 0; i-- {
		smaller := *of
		smaller.indexes = slices.Delete(slices.Clone(of.indexes), i, i+1)
		try(smaller)
	}
	for i := len(of.fields) - 1; i >= 0 && len(of.fields) > 1; i-- {
		try(of.without(i))
	}
	return of, cause
}

// without is the sample without a field and the indexes of it.
func (s *sample) without(field int) sample {
	smaller, gone := *s, &s.fields[field]
	smaller.fields = slices.Delete(slices.Clone(s.fields), field, field+1)
	smaller.indexes = nil
	for _, x := range s.indexes {
		if !slices.Contains(x.Of, gone.Name) {
			smaller.indexes = append(smaller.indexes, x)
		}
	}
	smaller.records = nil
	for _, rec := range s.records {
		rec.members = cloneTree(rec.members).(map[string]any)
		_ = walk(rec.members, gone.steps, func(_ any, put func(any)) error { put(nil); return nil })
		smaller.records = append(smaller.records, rec)
	}
	return smaller
}

// String shows the sample. Its values are made up.
func (s *sample) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", s.schema().Modules[0])
	for i := range s.records {
		text := fmt.Sprintf("%q", fmt.Sprint(s.records[i].members))
		fmt.Fprintf(&b, "\nrecord of %q: %.2000s", s.records[i].tenant, text)
	}
	return b.String()
}

// Things that can go wrong, each of which the checks have to notice.
const (
	wrongContent = "another content is encrypted"
	wrongRows    = "the envelopes of two rows are exchanged"
	wrongColumns = "the envelopes of two columns are exchanged"
	wrongPlain   = "plaintext is stored"
	wrongNull    = "a value is stored as NULL"
	wrongTag     = "a tag is missing"
	wrongTags    = "the tags of two rows are exchanged"
	wrongLost    = "a re-encrypted cell isn't written"
	wrongFound   = "a row that was found is left out"
	wrongOpen    = "rows that are nominated are taken for found"
)

// A wrong is one of them, on its way through a trial.
type wrong struct {
	what    string
	applied bool
}

func (w *wrong) is(what string) bool { return w != nil && w.what == what }

// content gives the first record another content than the one that it is compared
// with.
func (w *wrong) content(s *sample, records []map[string]any) {
	for i := range s.fields {
		f := &s.fields[i]
		if now := single(&s.records[0], f); now == nil || f.inside() {
			continue
		}
		other := drawContent(rand.New(rand.NewPCG(s.seed, 9)), f.Type, f.limit)
		if w.applied = !same(other, single(&s.records[0], f)); w.applied {
			records[0][f.steps[0]] = other
			return
		}
	}
}

// cells changes what is about to be inserted.
func (w *wrong) cells(t *trial, cells [][]any) {
	if w == nil {
		return
	}
	at := func(column string) int { return slices.Index(t.columns, column) }
	for i := range t.s.fields {
		f := &t.s.fields[i]
		if f.inside() {
			continue
		}
		c := at(f.column())
		for row := range cells {
			if cells[row][c] == nil || w.applied {
				continue
			}
			next := (row + 1) % len(cells)
			switch w.what {
			case wrongNull:
				cells[row][c], w.applied = nil, true
			case wrongPlain:
				cells[row][c], w.applied = canaryMark, true
				if _, binary := cells[row][c].([]byte); binary {
					cells[row][c] = []byte(canaryMark)
				}
			case wrongRows:
				if cells[next][c] != nil && !same(single(&t.s.records[row], f), single(&t.s.records[next], f)) {
					cells[row][c], cells[next][c], w.applied = cells[next][c], cells[row][c], true
				}
			case wrongColumns:
				for j := range t.s.fields[:i] {
					if other := &t.s.fields[j]; !other.inside() && cells[row][at(other.column())] != nil {
						o := at(other.column())
						cells[row][c], cells[row][o], w.applied = cells[row][o], cells[row][c], true
						break
					}
				}
			}
		}
	}
	for _, x := range t.s.indexes {
		c := at(x.Column)
		for row := range cells {
			next := (row + 1) % len(cells)
			switch {
			case w.applied || cells[row][c] == nil:
			case w.what == wrongTag:
				cells[row][c], w.applied = nil, true
			case w.what == wrongTags && cells[next][c] != nil && textOf(cells[row][c]) != textOf(cells[next][c]):
				cells[row][c], cells[next][c], w.applied = cells[next][c], cells[row][c], true
			}
		}
	}
}

// TestPropertyNoticesWhatIsWrong is the control: with one thing done wrong on the
// way, the same checks of the same samples fail.
func TestPropertyNoticesWhatIsWrong(t *testing.T) {
	const samples = 6
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		for _, what := range []string{wrongContent, wrongRows, wrongColumns, wrongPlain, wrongNull, wrongTag, wrongTags, wrongLost, wrongFound, wrongOpen} {
			t.Run(what, func(t *testing.T) {
				noticed := 0
				for seed := uint64(1); noticed < samples; seed++ {
					w := &wrong{what: what}
					err := s.check(t.Context(), drawSample(seed, recordsOfSample), w)
					if !w.applied { // the sample has nothing that it could be done to
						require.NoError(t, err)
						continue
					}
					require.Error(t, err, "%s=%d", seedVariable, seed)
					noticed++
				}
			})
		}
	})
}
