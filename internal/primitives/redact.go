package primitives

import (
	"fmt"
	"io"
)

// Format implements fmt.Formatter: no verb prints key material.
func (h *HMAC) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "HMAC [REDACTED]") }

// Format implements fmt.Formatter: no verb prints key material.
func (d *Deriver) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "Deriver [REDACTED]") }

// Format implements fmt.Formatter: no verb prints key material.
func (s *SIV) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "SIV [REDACTED]") }
