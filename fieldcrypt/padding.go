package fieldcrypt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Padding hides the length of a value up to the sizes that a field names. The
// frame, one byte of type and the value's payload, is brought to the smallest
// of the sizes that is larger than it, since at least one byte is added, and
// beyond the largest one to multiples of that. So one size alone is padding to
// its multiples.
//
// Readers take the padding off whatever its size (FORMAT.md, Plaintext framing),
// so that the sizes can change at any time. What is stored keeps its own until
// it is written anew.

const (
	minPad = 2
	maxPad = 1 << 16
	// maxBuckets is more than are of use: each size more tells more of the length.
	maxBuckets = 8
)

// A padding is the sizes in bytes, ascending, and zeros behind them. The zero
// padding is none. It can be compared, as a tag can.
type padding [maxBuckets]int

func (p *padding) none() bool { return p[0] == 0 }

// sizes returns those that are set.
func (p *padding) sizes() []int {
	n := slices.Index(p[:], 0)
	if n < 0 {
		n = len(p)
	}
	return p[:n]
}

// String is how a tag writes it.
func (p padding) String() string {
	var parts []string
	for _, size := range p.sizes() {
		parts = append(parts, strconv.Itoa(size))
	}
	return strings.Join(parts, "/")
}

// parsePadding reads what String writes of one size or more.
func parsePadding(text string) (p padding, err error) {
	parts := strings.Split(text, "/")
	if len(parts) > maxBuckets {
		return padding{}, fmt.Errorf("option pad: it has %d sizes, the limit is %d: each of them tells more of the length", len(parts), maxBuckets)
	}
	before := 0
	for i, part := range parts {
		if err := parseSize(&p[i], "pad", part, minPad, maxPad); err != nil {
			return padding{}, err
		}
		if p[i] <= before {
			return padding{}, fmt.Errorf("option pad=%s: its sizes must ascend, as in pad=16/64/256", text)
		}
		before = p[i]
	}
	return p, nil
}

// multiple returns what envelope.PadFrame is to be given for a frame of so many
// bytes: a size that is larger than the frame is reached in one step.
func (p *padding) multiple(frame int) int {
	largest := 0
	for _, size := range p.sizes() {
		if largest = size; frame < size {
			break
		}
	}
	return largest
}

// size is the length of a padded frame: at least one byte is added.
func (p *padding) size(frame int) int {
	if p.none() {
		return frame
	}
	multiple := p.multiple(frame)
	return (frame/multiple + 1) * multiple
}

// apply pads in place where there is room, and otherwise wipes what it copied.
func (p *padding) apply(frame []byte) ([]byte, error) {
	if p.none() {
		return frame, nil
	}
	multiple := p.multiple(len(frame))
	if size := p.size(len(frame)); size > cap(frame) {
		larger := append(make([]byte, 0, size), frame...)
		clear(frame)
		frame = larger
	}
	out, err := envelope.PadFrame(frame, multiple)
	if err != nil {
		clear(frame)
		return nil, err
	}
	return out, nil
}

// padding returns what Pad and Buckets say together.
func (f *SchemaField) padding() (p padding, err error) {
	switch {
	case f.Pad != 0 && f.Buckets != nil:
		return p, fmt.Errorf("pad and buckets: padding is one or the other")
	case f.Buckets == nil:
		p[0] = f.Pad
		return p, nil
	case len(f.Buckets) == 0:
		return p, fmt.Errorf("buckets: there are no sizes in it: leave it out for no padding")
	}
	parts := make([]string, len(f.Buckets))
	for i, size := range f.Buckets {
		parts[i] = strconv.Itoa(size)
	}
	if p, err = parsePadding(strings.Join(parts, "/")); err != nil {
		return p, fmt.Errorf("buckets: %w", err)
	}
	return p, nil
}

// paddingOf tells of a change what the padding is.
func paddingOf(f *SchemaField) string {
	p, err := f.padding()
	switch {
	case err != nil:
		return "not valid"
	case p.none():
		return "none"
	case len(p.sizes()) == 1:
		return "multiples of " + p.String()
	}
	return p.String()
}
