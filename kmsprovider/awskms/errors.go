package awskms

import (
	"errors"
	"fmt"
	"strings"
)

// RequestID returns the request ID that AWS gave the failed call, which is what
// AWS support asks for and CloudTrail lists. It is empty if err holds none,
// such as when the service was never reached.
func RequestID(err error) string {
	// Both our own error and the SDK's have the method.
	var with interface{ ServiceRequestID() string }
	if errors.As(err, &with) {
		return with.ServiceRequestID()
	}
	return ""
}

// An operation is a KMS call as the error texts name it.
type operation struct {
	verb       string
	permission string // what IAM calls the right to it
}

var (
	opGenerate  = operation{"generate a data key", "kms:GenerateDataKey"}
	opDecrypt   = operation{"decrypt", "kms:Decrypt"}
	opReEncrypt = operation{"re-encrypt", "kms:ReEncryptFrom on the old key and kms:ReEncryptTo on the new one"}
	opEncrypt   = operation{"encrypt a data key", "kms:Encrypt"}
	opCheck     = operation{"check", "kms:DescribeKey"}
	opResolve   = operation{"resolve", "kms:DescribeKey"}
	opExamine   = operation{"examine", ""}
)

// A callError is every error of a Provider's methods. Its chain holds the
// class of failure, and the SDK's error unless that could be taken for the end
// of the caller's own context or could hold key bytes.
type callError struct {
	op      operation
	rootKey string
	failure
}

func (e *callError) Error() string {
	var b strings.Builder
	preposition := " under "
	if e.op == opCheck || e.op == opResolve || e.op == opExamine {
		preposition = " "
	}
	fmt.Fprintf(&b, "awskms: %s%s%s: %s", e.op.verb, preposition, printable(e.rootKey), e.what)
	if e.requestID != "" {
		fmt.Fprintf(&b, " (request ID %s)", e.requestID)
	}
	if e.advice != "" {
		b.WriteString(": " + e.advice)
	}
	if e.detail != "" {
		b.WriteString(" [" + e.detail + "]")
	}
	return b.String()
}

func (e *callError) Unwrap() []error {
	chain := []error{e.class}
	if e.also != nil {
		chain = append(chain, e.also)
	}
	if e.cause != nil {
		chain = append(chain, e.cause)
	}
	return chain
}

// ServiceRequestID is what RequestID looks for.
func (e *callError) ServiceRequestID() string { return e.requestID }

// refuse makes the error of a call that was not made.
func refuse(op operation, rootKey string, class error, reason string) error {
	return &callError{op: op, rootKey: rootKey, failure: failure{class: class, what: reason}}
}
