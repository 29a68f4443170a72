package awskms

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/examine"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Examine implements kmsprovider.Examiner: where credentials come from, whether
// the endpoint speaks TLS, and how far this process's clock is from that of KMS.
// For the last two it sends one request that is not signed and asks for nothing.
// Whether AWS accepts the credentials shows with the first call for a root key.
func (p *Provider) Examine(ctx context.Context) []kmsprovider.Finding {
	return examine.All(
		ctx,
		examine.Check{Name: "credentials", Do: func(ctx context.Context) []kmsprovider.Finding {
			return []kmsprovider.Finding{p.examineCredentials(ctx)}
		}},
		examine.Check{Name: "connection", Do: p.examineConnection},
	)
}

func (p *Provider) examineCredentials(ctx context.Context) kmsprovider.Finding {
	const check = "credentials"
	creds, err := p.client.Options().Credentials.Retrieve(ctx)
	if err != nil {
		if end := ended(ctx); end != nil {
			return examine.Failed(check, p.examineError(failure{class: end, what: "the AWS credentials couldn't be had before the deadline"}), "")
		}
		ce, ok := errors.AsType[*credentialsError](err)
		if !ok {
			ce = &credentialsError{err: err}
		}
		f := classifyCredentials(opExamine, ce)
		f.requestID = printable(RequestID(err))
		return examine.Failed(check, p.examineError(f), "")
	}
	from := "of the AWS configuration"
	if creds.Source != "" {
		from = "from " + printable(creds.Source)
	}
	if p.role != "" {
		from += ", for the role " + printable(p.role)
	}
	switch {
	case !creds.CanExpire:
		return examine.OK(check, from)
	case creds.Expired():
		return examine.Warning(check, from+"; they expired at "+creds.Expires.UTC().Format(time.RFC3339), "renew them, or use a source that renews itself, such as a role")
	}
	return examine.OK(check, from+", until "+creds.Expires.UTC().Format(time.RFC3339))
}

// examineConnection sends a request for nothing: any answer has the server's
// time.
func (p *Provider) examineConnection(ctx context.Context) []kmsprovider.Finding {
	secure := strings.HasPrefix(p.endpoint, "https://")
	var found []kmsprovider.Finding
	if !secure {
		found = append(found, examine.Warning("TLS", p.endpoint+" is plain HTTP: who reads that network reads the data keys",
			"use an endpoint of https, save for an emulator on this machine"))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint+"/", http.NoBody)
	if err != nil {
		return append(found, examine.Failed("connection", p.examineError(failure{class: kmsprovider.ErrUnavailable, what: err.Error()}), ""))
	}
	sent := time.Now()
	answer, err := p.client.Options().HTTPClient.Do(r)
	received := time.Now()
	if err != nil {
		f := classifyNetwork(err)
		if end := ended(ctx); end != nil {
			f = failure{class: end, what: "no answer from " + p.endpoint + " before the deadline", advice: f.advice}
		}
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			f.what, f.advice = "KMS shows a certificate that this machine doesn't trust", "check for a proxy in between, the configured endpoint, and the CA bundle in use"
		}
		return append(found, examine.Failed("connection", p.examineError(f), ""))
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if secure {
		found = append(found, examine.OK("TLS", versionOf(answer.TLS)+" to "+p.endpoint))
	}
	theirs, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return append(found, examine.OK("clock", "KMS doesn't tell the time in its answer"))
	}
	return append(found, examine.Clock("AWS KMS", theirs, sent, received, time.Second))
}

func versionOf(state *tls.ConnectionState) string {
	if state == nil { // an HTTP client of the program's own
		return "HTTPS"
	}
	return tls.VersionName(state.Version)
}

func (p *Provider) examineError(f failure) error {
	if errors.Is(f.cause, context.Canceled) || errors.Is(f.cause, context.DeadlineExceeded) {
		f.cause = nil // it must not pass for the caller's
	}
	return &callError{op: opExamine, rootKey: p.describe(), failure: f}
}
