package fieldcrypt

import (
	"context"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// DoctorOptions tune [Crypt.Doctor]; see [envelope.DoctorOptions].
type DoctorOptions = envelope.DoctorOptions

// DoctorReport is what [Crypt.Doctor] found; see [envelope.DoctorReport].
type DoctorReport = envelope.DoctorReport

// Doctor tries what the Crypt depends on, for a program's start or an operator's
// command: root keys, permissions, the key store, TLS, clocks, and a round trip of
// a value. See [envelope.KeyRing.Doctor] for what it does, and what it leaves
// behind. Options may be nil.
func (c *Crypt) Doctor(ctx context.Context, opts *DoctorOptions) *DoctorReport {
	switch {
	case !c.made():
		return noDoctor(errNoCrypt)
	case ctx == nil:
		return noDoctor(fmt.Errorf("fieldcrypt: Doctor: %w", errNoContext))
	}
	return c.ring.Doctor(ctx, opts)
}

func noDoctor(err error) *DoctorReport {
	return &DoctorReport{Findings: []kmsprovider.Finding{{
		Subject: "Crypt", Check: "examine", Status: kmsprovider.StatusFailed, Found: err.Error(), Err: err,
	}}}
}
