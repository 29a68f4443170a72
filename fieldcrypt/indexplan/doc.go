// Package indexplan plans the blind index of a field from the frequencies of its
// values: how many bits a tag should have, in how many partitions, what a search
// then costs, and what someone with a copy of the database learns.
//
//	histogram, err := indexplan.ReadHistogram(ctx, db, query)   // of HistogramQuery
//	plan, err := indexplan.New(indexplan.Column{Field: "Contacts.email", Histogram: histogram}, nil)
//	fmt.Println(plan)
//
// The histogram says how many values there are that occur once, twice, and so
// on, and nothing of the values: no plaintext leaves the database.
//
// # The model
//
// A tag is the first bits of a keyed hash of the normalised value and of the
// row's partition. So equal values of one partition have equal tags, and a
// search for a value asks for its tag in each of the partitions. The rows of
// other values that it finds are false positives: the reader opens them, sees
// that they differ, and leaves them out. With N rows, c of them with the value
// that is searched for, b bits and P partitions, it finds
//
//	(N - c) × q of them in the mean, q = 1 - (1 - 2^-b)^P
//
// They come in lumps, as a value that collides does so with all its rows of a
// partition: [Cost.P95] is computed from the distribution of their number. The
// keys of two tenants, and of two classes, have nothing to do with each other.
// All figures are therefore of one tenant's rows: see [TenantHistogramQuery].
//
// # What an attacker learns
//
// The attacker of [Leak] has a copy of the database and knows exactly how
// frequent each value is, as from a census, but not the key. Three numbers say
// what the tags tell:
//
//   - LearnedBits is the mutual information between a row's value and its tag, in
//     bits: how much of the values' entropy (ValueBits) the tags give away. It is
//     the entropy of the tags less what of it is due to the partitions.
//   - Guess is the fraction of rows whose value is guessed right by rank: the
//     most frequent tags are taken for the most frequent value, as many as there
//     are partitions, the next for the next, and so on. It is to be compared with
//     GuessWithout, which is had without the database, by guessing the most
//     frequent value for every row.
//   - GuessWithKey is the fraction for someone who can compute tags: with the
//     index key, or with an account of the tenant by which values can be inserted
//     and their tags seen in the copy. It bounds what any attack by frequency
//     gets.
//
// They are computed by drawing random functions for the hash, from fixed seeds,
// and counting: the same input has the same plan, and a key may tell a few rows
// in a hundred more or less than the mean. They are no bounds for an
// attacker who knows more, such as which rows were written together, or which
// fields go with each other.
//
// Everything here is safe for concurrent use.
package indexplan
