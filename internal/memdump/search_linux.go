package memdump

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
)

// A Secret is a byte string to look for, at least 8 bytes long.
type Secret struct {
	Kind  string // what it is
	Of    string // whose it is
	Bytes []byte
}

// A Hit is a place at which a secret was found.
type Hit struct {
	Secret
	Address uint64
	Mapping string // the line of /proc/pid/maps that it is in
}

// A Search looks for secrets in memory, all at once.
type Search struct {
	secrets map[[8]byte][]Secret // by their first bytes
	first   [1 << 16]bool        // the first two bytes of some secret
	longest int
}

// NewSearch returns a search for secrets.
func NewSearch(secrets []Secret) *Search {
	s := &Search{secrets: map[[8]byte][]Secret{}}
	for _, secret := range secrets {
		key := [8]byte(secret.Bytes)
		s.secrets[key] = append(s.secrets[key], secret)
		s.first[binary.LittleEndian.Uint16(key[:])] = true
		s.longest = max(s.longest, len(secret.Bytes))
	}
	return s
}

// Process returns the hits in all memory that a process has mapped to read and
// write, and the size of that memory. It reads it as it stands: stop the
// process first.
func (s *Search) Process(pid int) (hits []Hit, size int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, 0, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, 0, err
	}
	defer mem.Close()
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil {
			return nil, 0, fmt.Errorf("maps: %q: %w", lines.Text(), err)
		}
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		found, err := s.mapping(io.NewSectionReader(mem, int64(from), int64(to-from)), lines.Text(), from)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		hits = append(hits, found...)
		size += int64(to - from)
	}
	return hits, size, nil
}

// block is how much memory is read at a time.
const block = 4 << 20

func (s *Search) mapping(mem *io.SectionReader, line string, base uint64) (hits []Hit, err error) {
	buf := make([]byte, block+s.longest)
	for at := int64(0); at < mem.Size(); at += block {
		n, err := mem.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return hits, err
		}
		for i := range min(n-7, block) {
			if !s.first[binary.LittleEndian.Uint16(buf[i:])] {
				continue
			}
			for _, secret := range s.secrets[[8]byte(buf[i:])] {
				if bytes.HasPrefix(buf[i:n], secret.Bytes) {
					hits = append(hits, Hit{secret, base + uint64(at) + uint64(i), line})
				}
			}
		}
	}
	return hits, nil
}
