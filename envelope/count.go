package envelope

import "context"

// Counts are the keys of a key store in numbers.
type Counts struct {
	Keys    int
	State   map[State]int
	RootKey map[string]int // by URI; the destroyed keys need none
}

// Count returns the numbers of the keys that the filter chooses. It reads all of
// their records, page by page; keys that are made meanwhile may be missing.
func Count(ctx context.Context, store KeyStore, f Filter) (Counts, error) {
	c := Counts{State: map[State]int{}, RootKey: map[string]int{}}
	for rec, err := range List(ctx, store, f) {
		if err != nil {
			return Counts{}, err
		}
		c.Keys++
		c.State[rec.State]++
		if rec.State != StateDestroyed {
			c.RootKey[rec.RootKey]++
		}
	}
	return c, nil
}
