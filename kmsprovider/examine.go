package kmsprovider

import "context"

// A Finding is what a check of a provider, a root key or a key store came to. It
// holds no secret.
type Finding struct {
	Subject string `json:"subject"` // what was looked at; whoever asked an Examiner fills it in where it is empty
	Check   string `json:"check"`   // what was checked of it, as in "TLS"
	Status  Status `json:"status"`
	Found   string `json:"found,omitempty"` // what was found: one line of text
	Mend    string `json:"mend,omitempty"`  // what to do about it; empty if there is nothing to do
	Err     error  `json:"-"`               // why it failed, for errors.Is; may be nil
}

// A Status is how a [Finding] is to be taken.
type Status string

// The statuses of findings.
const (
	StatusOK      Status = "ok"
	StatusWarning Status = "warning" // it works, and somebody should know
	StatusFailed  Status = "failed"  // it doesn't work
)

// An Examiner tells about itself what can be told without a root key:
// credentials, TLS, the clock. It may be a provider or a key store, changes
// nothing, and returns when ctx ends, with what it has found until then.
type Examiner interface {
	Examine(ctx context.Context) []Finding
}

// A Group stands for several providers. Each of those that it may call for a root
// key is checked by itself, since the first to answer hides what is wrong with
// the others.
type Group interface {
	// Behind returns the providers that may be called for rootKey; none if
	// there is no such root key.
	Behind(rootKey string) []Provider
}

// A RootKeyLister knows all root keys that it is configured for, by URI: those
// that wrap new data keys, and those that only open.
type RootKeyLister interface {
	ListRootKeys() (seal, open []string)
}

// A PolicyWriter can write down what its caller needs to be permitted.
type PolicyWriter interface {
	// Policy returns the least policy, in the key service's own JSON, for a
	// caller that wraps new data keys under the root keys in seal, opens those
	// under all of seal and open, and moves data keys to those in seal.
	Policy(ctx context.Context, seal, open []string) ([]byte, error)
}
