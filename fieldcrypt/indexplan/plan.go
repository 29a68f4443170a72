package indexplan

import (
	"errors"
	"fmt"
	"math"
)

// ErrLowEntropy says that a column isn't to be indexed: it has so few values, or
// some that are so frequent, that its tags are as good as the values. The error
// is a [*LowEntropyError], which has the plan.
var ErrLowEntropy = errors.New("its values are too few to hide behind a hash")

// Defaults of Options.
const (
	DefaultFalsePositives = 16
	DefaultMaxGuess       = 0.02
	DefaultMaxPartitions  = 16
	DefaultMinEntropy     = 14 // bits, as of 16,384 equally frequent values
)

// Limits of the format (FORMAT.md, "Blind index").
const (
	MaxBits       = 256
	MaxPartitions = 255
)

// A Column is what is to be indexed.
type Column struct {
	Field     string    // as in "Contacts.email"; for texts only
	Histogram Histogram // of one tenant's normalised values

	// Rows is for how many rows with a value to plan, if the column will grow:
	// with values as frequent as those there are. Default: those of the
	// histogram.
	Rows int64

	// Others are the indexes that the field has besides. What they tell adds up.
	Others []Index
}

// An Index is an index that a field has.
type Index struct {
	Name       string // for texts only, such as "last4"
	Bits       int
	Partitions int // 0 or 1: none

	// Histogram is of the values that it holds, where these are made of the
	// field's, such as the last four digits. Nil: the field's own.
	Histogram Histogram
}

// Options change what is asked of a plan. Nil and zero values mean the defaults.
type Options struct {
	// FalsePositives is how many a search may have in the mean: fewer bits are
	// planned the more there may be, which tell less.
	FalsePositives float64

	// MaxGuess is the fraction of rows that Leak.Guess is to stay below, besides
	// what GuessWithout has already. More partitions are planned, up to
	// MaxPartitions, until it does. A search asks for as many tags.
	MaxGuess      float64
	MaxPartitions int

	// MinEntropy is the values' least entropy in bits. A column of fewer rows than
	// such entropy takes is held to half as many equally frequent values as it has
	// rows.
	MinEntropy float64

	// AllowLowEntropy plans an index where New would refuse with ErrLowEntropy:
	// for booleans, states, postal codes and whatever else an attacker can count.
	// Whoever sets it accepts that Plan.Leak is what the column gives away.
	AllowLowEntropy bool

	// Bits and Partitions, if set, are not planned but taken, to see what they
	// cost and tell.
	Bits, Partitions int
}

// A Plan says how to index a field, and what comes of it. It prints as a table
// and marshals as JSON.
type Plan struct {
	Field      string  `json:"field"`
	Rows       int64   `json:"rows"`
	Values     int64   `json:"values"`
	ValueBits  float64 `json:"value_bits"` // entropy of the values, a row
	Index      bool    `json:"index"`      // whether to index at all
	Bits       int     `json:"bits"`
	Partitions int     `json:"partitions"` // 1: none

	ByRows   Cost `json:"by_rows"`   // searches for values as frequent as rows have them
	ByValues Cost `json:"by_values"` // searches for each value alike
	Leak     Leak `json:"leak"`

	// TogetherBits is a bound of what all indexes of the field tell together, in
	// bits a row: the sum of their LearnedBits, and no more than ValueBits.
	TogetherBits float64 `json:"together_bits"`

	Warnings []string `json:"warnings,omitempty"`
}

// A LowEntropyError is New's refusal, with the plan that it would have been.
type LowEntropyError struct{ Plan *Plan }

func (e *LowEntropyError) Error() string {
	p := e.Plan
	return fmt.Sprintf("indexplan: plan an index of %s: %v: %d values in %d rows, with an entropy of %.1f bits; by the tags %s of the rows could be guessed, and %s by who can insert values. Leave it without an index and filter what is decrypted, index it together with another field, or set Options.AllowLowEntropy",
		p.Field, ErrLowEntropy, p.Values, p.Rows, p.ValueBits, percent(p.Leak.Guess), percent(p.Leak.GuessWithKey))
}

// Unwrap returns ErrLowEntropy.
func (e *LowEntropyError) Unwrap() error { return ErrLowEntropy }

// New plans an index. Its errors are ErrHistogram, ErrLowEntropy, and those about
// numbers out of range. It takes time and memory in proportion to the number of
// values times that of partitions: about a second for 10^6 values in one, and up
// to half a minute where more and more partitions are tried.
func New(column Column, options *Options) (*Plan, error) {
	fail := func(err error) (*Plan, error) {
		return nil, fmt.Errorf("indexplan: plan an index of %s: %w", column.Field, err)
	}
	o, err := options.orDefaults()
	if err != nil {
		return fail(err)
	}
	h, err := column.histogram()
	if err != nil {
		return fail(err)
	}
	p := &Plan{Field: column.Field, Rows: h.Rows(), Values: h.Values(), ValueBits: h.Entropy()}
	p.choose(h, &o)
	p.ByRows, p.ByValues = costs(h, p.Bits, p.Partitions)
	if err := p.together(h, column.Others); err != nil {
		return fail(err)
	}
	least := min(o.MinEntropy, math.Log2(float64(p.Rows))-1)
	low := p.ValueBits < least || p.Values == 1
	p.Index = !low || o.AllowLowEntropy
	p.warn(&o, low)
	if !p.Index {
		return nil, &LowEntropyError{p}
	}
	return p, nil
}

func (o *Options) orDefaults() (Options, error) {
	all := Options{}
	if o != nil {
		all = *o
	}
	set := func(v *float64, name string, fallback, most float64) error {
		if *v == 0 {
			*v = fallback
		}
		if !(*v > 0 && *v <= most) { // and not NaN
			return fmt.Errorf("option %s is %v: it must be more than 0 and at most %v", name, *v, most)
		}
		return nil
	}
	if all.MaxPartitions == 0 {
		all.MaxPartitions = DefaultMaxPartitions
	}
	switch {
	case all.MaxPartitions < 1 || all.MaxPartitions > MaxPartitions:
		return all, fmt.Errorf("option MaxPartitions is %d: there are 1 to %d", all.MaxPartitions, MaxPartitions)
	case all.Bits < 0 || all.Bits > MaxBits:
		return all, fmt.Errorf("option Bits is %d: a tag has 1 to %d", all.Bits, MaxBits)
	case all.Partitions < 0 || all.Partitions > MaxPartitions:
		return all, fmt.Errorf("option Partitions is %d: there are 1 to %d", all.Partitions, MaxPartitions)
	}
	return all, errors.Join(
		set(&all.FalsePositives, "FalsePositives", DefaultFalsePositives, MaxRows),
		set(&all.MaxGuess, "MaxGuess", DefaultMaxGuess, 1),
		set(&all.MinEntropy, "MinEntropy", DefaultMinEntropy, 64),
	)
}

func (c *Column) histogram() (Histogram, error) {
	h := c.Histogram
	if err := h.check(); err != nil {
		return nil, err
	}
	rows := h.Rows()
	switch {
	case c.Rows == 0 || c.Rows == rows:
		return h, nil
	case c.Rows < rows:
		return nil, fmt.Errorf("%w: it has %d rows, and Column.Rows says %d: it is for a column that grows", ErrHistogram, rows, c.Rows)
	}
	if c.Rows > MaxRows {
		return nil, fmt.Errorf("%w: Column.Rows is %d, the limit is %d", ErrHistogram, c.Rows, int64(MaxRows))
	}
	h = h.grown(c.Rows)
	return h, h.check()
}

// choose sets bits, partitions and what they tell.
func (p *Plan) choose(h Histogram, o *Options) {
	partitions := 1
	if o.Partitions > 0 {
		partitions = o.Partitions
	}
	for {
		bits := o.Bits
		if bits == 0 {
			bits = fewestBits(h, partitions, o.FalsePositives)
		}
		l := leak(h, bits, partitions)
		if p.Bits == 0 || l.Guess < p.Leak.Guess {
			p.Bits, p.Partitions, p.Leak = bits, partitions, l
		}
		partitions *= 2
		enough := l.Guess <= o.MaxGuess+l.GuessWithout
		if enough || o.Partitions > 0 || partitions > o.MaxPartitions || int64(partitions)*h.Values() > MaxValues {
			return
		}
	}
}

// fewestBits returns the least number of bits with which searches have no more
// false positives in the mean than are wanted.
func fewestBits(h Histogram, partitions int, wanted float64) int {
	n := float64(h.Rows())
	others := n - h.squares()/n
	for bits := 1; bits < 64; bits++ {
		if others*collisionChance(bits, partitions) <= wanted {
			return bits
		}
	}
	return 64
}

// together sums up what all indexes of the field tell.
func (p *Plan) together(h Histogram, others []Index) error {
	sum := p.Leak.LearnedBits
	for i, x := range others {
		of := x.Histogram
		if of == nil {
			of = h
		}
		if x.Bits < 1 || x.Bits > MaxBits || x.Partitions < 0 || x.Partitions > MaxPartitions {
			return fmt.Errorf("other index %d, %q: %d bits and %d partitions: there are 1 to %d bits and up to %d partitions", i, x.Name, x.Bits, x.Partitions, MaxBits, MaxPartitions)
		}
		if err := of.check(); err != nil {
			return fmt.Errorf("other index %d, %q: %w", i, x.Name, err)
		}
		sum += leak(of, x.Bits, max(1, x.Partitions)).LearnedBits
	}
	p.TogetherBits = min(sum, p.ValueBits)
	return nil
}

func (p *Plan) warn(o *Options, low bool) {
	say := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	if low {
		say("low entropy: whoever knows how frequent the values are learns %.1f of %.1f bits a row", p.Leak.LearnedBits, p.ValueBits)
	}
	if p.Leak.Guess > o.MaxGuess+p.Leak.GuessWithout {
		say("%s of the rows can be guessed by rank; no number of partitions that was tried brings it to %s", percent(p.Leak.Guess), percent(o.MaxGuess+p.Leak.GuessWithout))
	}
	if p.Leak.GuessWithout > o.MaxGuess {
		say("one value has %s of the rows: if it stands for no value, such as \"n/a\", store NULL", percent(p.Leak.GuessWithout))
	}
	if p.Rows < 1000 {
		say("%d rows are few to judge by: plan again when there are more", p.Rows)
	}
	if p.ByRows.FalsePositives > o.FalsePositives {
		say("a search has %.3g false positives in the mean, %.3g were wanted", p.ByRows.FalsePositives, o.FalsePositives)
	}
}
