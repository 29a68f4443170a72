package fakekms

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fault makes calls slow, or fail, or be answered with nonsense. The first
// fields say which calls it strikes, all if they are zero; the others what
// becomes of them.
type Fault struct {
	Ops         []string // operations, such as "Decrypt"
	Keys        []string // keys, each named as in a KeyId; of ReEncrypt either key
	AccessKeyID string   // calls signed with this access key

	// Rate is the share of these calls that is struck, chosen at random by
	// [Options.Seed]; zero means all.
	Rate float64

	// Above lets that many of these calls a second pass, and strikes what is
	// more: with the error "ThrottlingException" it is a request quota. A second's
	// calls may come all at once. Zero lets none pass.
	Above int

	// Times is how many calls are struck before the fault is over; zero means
	// no limit.
	Times int

	// Delay holds a call up before anything else happens to it. Delays of
	// several faults add up.
	Delay time.Duration

	// Error is the code of the error to answer with, instead of carrying the
	// call out: "ThrottlingException", "AccessDeniedException",
	// "UnrecognizedClientException" (credentials that AWS doesn't know),
	// "DisabledException", "KMSInternalException" or any other.
	Error string

	// Status replaces the error's HTTP status. Without Error, the answer has
	// this status and a web page for a body, as from a proxy: it isn't KMS
	// that answers.
	Status int

	// Break spoils the connection or the answer. It is not for use with Error
	// or Status.
	Break Break
}

// A Break is a way to spoil a connection or an answer.
type Break string

// Without an answer. The call isn't carried out, except by Truncate.
const (
	Hang     Break = "hang"     // no answer until the client gives up or the server is closed
	Drop     Break = "drop"     // the connection is closed before an answer
	Truncate Break = "truncate" // the call is carried out; the connection is closed in the midst of the answer
)

// With an answer of status 200 that makes no sense. The call is carried out.
const (
	BadJSON        Break = "bad JSON"        // a body that isn't JSON
	EmptyBody      Break = "empty body"      // a body of no bytes
	NoFields       Break = "no fields"       // an object without members
	WrongTypes     Break = "wrong types"     // every member has a value of another type
	BadBase64      Break = "bad base64"      // bytes are text that isn't base64
	Oversized      Break = "oversized"       // bytes are replaced by 4 MiB of them
	ShortKey       Break = "short key"       // Plaintext lacks its last byte
	LongKey        Break = "long key"        // Plaintext has one byte more
	NoKey          Break = "no key"          // Plaintext is empty
	OtherKey       Break = "other key"       // Plaintext has the right length and other bytes
	NoCiphertext   Break = "no ciphertext"   // CiphertextBlob is empty
	LongCiphertext Break = "long ciphertext" // CiphertextBlob is longer than KMS's limit of 6,144 bytes
	OtherKeyID     Break = "other key ID"    // KeyId is the ARN of another key
	NoKeyID        Break = "no key ID"       // KeyId is missing
)

// Inject adds a fault and returns the function that removes it, which may be
// called more than once. It concerns the calls that arrive while it is there;
// a call that hangs or is delayed already goes on doing so. Of several faults
// that apply to a call, the one injected first decides what becomes of it.
func (s *Server) Inject(f Fault) (remove func()) {
	f.check()
	f.Ops, f.Keys = slices.Clone(f.Ops), slices.Clone(f.Keys)
	return s.faults.add(f)
}

// Deny makes calls for a key (all keys if keyID is empty) fail with
// AccessDeniedException: those of the given operations, or all of them. The
// returned function allows them again.
func (s *Server) Deny(keyID string, ops ...string) (allow func()) {
	f := Fault{Ops: ops, Error: "AccessDeniedException"}
	if keyID != "" {
		f.Keys = []string{keyID}
	}
	return s.Inject(f)
}

// check panics on a fault that can't strike as it says.
func (f *Fault) check() {
	for _, op := range f.Ops {
		if operations[op] == nil {
			panic("fakekms: Inject: no operation " + op)
		}
	}
	switch {
	case !(f.Rate >= 0 && f.Rate <= 1):
		panic("fakekms: Inject: Rate is not from 0 to 1")
	case f.Times < 0 || f.Delay < 0 || f.Above < 0:
		panic("fakekms: Inject: Times, Delay or Above is negative")
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		panic("fakekms: Inject: Status is not from 400 to 599")
	case f.Break != "" && (f.Error != "" || f.Status != 0):
		panic("fakekms: Inject: Break goes with neither Error nor Status")
	case f.Break != "" && f.Break != Hang && f.Break != Drop && f.Break != Truncate && spoilers[f.Break] == nil:
		panic("fakekms: Inject: no Break " + string(f.Break))
	case f.Delay == 0 && f.Error == "" && f.Status == 0 && f.Break == "":
		panic("fakekms: Inject: the fault has no effect: set Delay, Error, Status or Break")
	}
}

// faults is the faults of a server, in the order of their injection.
type faults struct {
	mu   sync.Mutex
	seed uint64
	made uint64
	list []*activeFault
}

type activeFault struct {
	Fault
	random *rand.Rand // its own, so that faults don't change each other's choices
	left   int
	passes quota
}

// A quota is how many calls may pass now: as many a second as it is refilled
// with, and no more than a second's at a time.
type quota struct {
	left float64
	at   time.Time
}

func (q *quota) take(perSecond int, now time.Time) bool {
	most := float64(perSecond)
	switch {
	case q.at.IsZero():
		q.left, q.at = most, now
	case now.After(q.at): // calls that arrive together may come here in any order
		q.left, q.at = min(most, q.left+most*now.Sub(q.at).Seconds()), now
	}
	if q.left < 1 {
		return false
	}
	q.left--
	return true
}

func (fs *faults) add(f Fault) (remove func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.made++
	a := &activeFault{Fault: f, random: rand.New(rand.NewPCG(fs.seed, fs.made)), left: f.Times} // #nosec G404 -- repeatable on purpose
	fs.list = append(fs.list, a)
	return func() { fs.remove(a) }
}

func (fs *faults) remove(a *activeFault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = slices.DeleteFunc(fs.list, func(b *activeFault) bool { return a == b })
}

// strike returns what befalls a call: the sum of the delays, and the first
// effect besides.
func (fs *faults) strike(c *Call, names func(keyID string) (arn string)) (effect Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var spent []*activeFault
	struck := false
	for _, f := range fs.list {
		if !f.concerns(c, names) || f.Rate > 0 && f.random.Float64() >= f.Rate || f.Above > 0 && f.passes.take(f.Above, c.Time) {
			continue
		}
		ends := f.Error != "" || f.Status != 0 || f.Break != ""
		if ends && struck {
			continue // it hasn't struck: another one was first
		}
		effect.Delay += f.Delay
		if ends {
			struck = true
			effect.Error, effect.Status, effect.Break = f.Error, f.Status, f.Break
		}
		if f.Times > 0 {
			if f.left--; f.left == 0 {
				spent = append(spent, f)
			}
		}
	}
	fs.list = slices.DeleteFunc(fs.list, func(f *activeFault) bool { return slices.Contains(spent, f) })
	return effect
}

func (f *activeFault) concerns(c *Call, names func(string) string) bool {
	if len(f.Ops) > 0 && !slices.Contains(f.Ops, c.Op) || f.AccessKeyID != "" && f.AccessKeyID != c.AccessKeyID {
		return false
	}
	return len(f.Keys) == 0 || slices.ContainsFunc(f.Keys, func(keyID string) bool {
		if keyID == c.KeyID {
			return true
		}
		name := names(keyID)
		return name != "" && (name == c.KeyARN || name == c.DestinationKeyARN)
	})
}

// wordsOf is what an error that was asked for says.
func wordsOf(code string) string {
	switch {
	case strings.HasPrefix(code, "Throttling"):
		return "Rate exceeded"
	case code == "UnrecognizedClientException":
		return "The security token included in the request is invalid."
	case code == "AccessDeniedException":
		return "User is not authorized to perform this operation on this resource"
	}
	return "asked for by the test"
}
