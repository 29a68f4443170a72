package primitives

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

const mask = 0x55

// copiesOf counts the places in this process's memory that hold what masked is the
// mask of.
func copiesOf(t *testing.T, masked []byte) (n int) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	require.NoError(t, err)
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	defer mem.Close()
	chunk := make([]byte, 1<<20)
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uint64
		var rights string
		_, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights)
		require.NoError(t, err)
		if !strings.HasPrefix(rights, "rw") {
			continue
		}
		for at := from; at < to; at += uint64(len(chunk) - len(masked)) {
			got, err := mem.ReadAt(chunk[:min(uint64(len(chunk)), to-at)], int64(at))
			if err != nil && err != io.EOF {
				break // a mapping that can't be read
			}
			for rest := chunk[:got]; ; {
				i := bytes.IndexByte(rest, masked[0]^mask)
				if i < 0 || i+len(masked) > len(rest) {
					break
				}
				same := true
				for j, b := range masked {
					same = same && rest[i+j]^mask == b
				}
				if same {
					n++
				}
				rest = rest[i+1:]
			}
			clear(chunk)
		}
	}
	return n
}

// TestRegistersAreWiped: a signal saves what was copied last, and the next one
// overwrites it. Without either step a copy stays.
func TestRegistersAreWiped(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	masked := make([]byte, 32)
	_, _ = rand.Read(masked)
	key, other := make([]byte, 32), make([]byte, 32)
	copyKey := func() {
		for i, b := range masked {
			key[i] = b ^ mask
		}
		move(other, key)
	}
	forget := func() {
		clear(key)
		clear(other)
	}

	left, tries := 0, 50
	if scoreboard.UnderRace() {
		tries = 1
	}
	for try := 0; left == 0 && try < tries; try++ { // what else happens may overwrite it
		copyKey()
		wipeSignalStack() // any signal
		forget()
		left = copiesOf(t, masked)
	}
	if runtime.GOARCH == "amd64" && !scoreboard.UnderRace() { // which uses the registers itself
		require.Positive(t, left, "control: a signal left no copy, and the test shows nothing")
	}
	for range min(tries, 10) {
		copyKey()
		wipeRegisters()
		wipeSignalStack()
		forget()
		require.Zero(t, copiesOf(t, masked))
	}
}
