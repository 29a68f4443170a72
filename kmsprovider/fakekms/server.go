package fakekms

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The defaults of [Options].
const (
	DefaultRegion  = "eu-central-1"
	DefaultAccount = "111122223333"
)

// Options describes a new [Server]. The zero value is ready for use.
type Options struct {
	Region  string // of the first regional server; empty means DefaultRegion
	Account string // 12 digits, the callers' account; empty means DefaultAccount

	// Seed makes the faults that strike at a [Fault.Rate] choose differently.
	// Equal seeds give equal choices for equal sequences of calls.
	Seed uint64
}

// A Server is AWS KMS in one region, to one account's callers. It is safe for
// concurrent use; every setting may change while calls are under way.
//
// The servers of the other regions ([Server.Region]) share its accounts, its
// transports and the key material of multi-region keys, and are closed with it.
type Server struct {
	cloud  *cloud
	region string
	faults faults
	log    callLog
}

// New returns a server that can be reached through [Server.HTTPClient], which
// needs no socket. Its user calls [Server.Close].
//
// For a test in a [testing/synctest] bubble, make the server inside the bubble
// and close it there. If the test also runs with GODEBUG=fips140=on or only, it
// first calls [cryptotest.SetGlobalRandom]: Go's random source starts from the
// jitter of the clock, and panics where that stands still.
//
// New panics if an option is malformed.
//
// [cryptotest.SetGlobalRandom]: https://pkg.go.dev/testing/cryptotest#SetGlobalRandom
func New(opts Options) *Server {
	if opts.Region == "" {
		opts.Region = DefaultRegion
	}
	if opts.Account == "" {
		opts.Account = DefaultAccount
	}
	if !validRegion(opts.Region) || !validAccount(opts.Account) {
		panic(fmt.Sprintf("fakekms: New: %q is not a region, or %q not an account of 12 digits", opts.Region, opts.Account))
	}
	c := newCloud(opts.Account, opts.Seed)
	home, _ := c.server(opts.Region, true)
	c.transport.start(home)
	return home
}

// Start returns a server with default options that also listens on a loopback
// address, [Server.URL]. It is closed when the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := New(Options{})
	t.Cleanup(s.Close)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Region returns the server of another region, such as "us-east-1": another
// endpoint with its own keys, aliases, faults and calls. Calling it again gives
// the same server. It panics if name isn't like a region's name.
func (s *Server) Region(name string) *Server {
	other, err := s.cloud.server(name, true)
	if err != nil {
		panic("fakekms: Region: " + err.Error())
	}
	return other
}

// Config returns the configuration of an AWS SDK client of this server: region,
// endpoint, HTTP client and static credentials. A copy with other Credentials
// is another caller. The region of a request is that of its signature, so that
// one endpoint serves the clients of all regions.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       s.region,
		BaseEndpoint: aws.String(s.URL()),
		HTTPClient:   s.HTTPClient(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     DefaultAccessKeyID,
				SecretAccessKey: "fakekms/not-a-secret/EXAMPLEKEY",
				Source:          "fakekms",
			}, nil
		}),
	}
}

// DefaultAccessKeyID is the access key ID of the credentials in
// [Server.Config]. Any other is welcome too.
const DefaultAccessKeyID = "AKIAFAKEKMSEXAMPLE00"

// URL returns the server's endpoint: the address of its listener, or, before
// [Server.Listen], a loopback address where only [Server.HTTPClient] finds it.
func (s *Server) URL() string { return s.cloud.transport.url() }

// Listen makes the server reachable for any HTTP client of this machine, at a
// loopback address with a free port. A test in a synctest bubble must not call
// it: time doesn't move there while a socket is waited for.
func (s *Server) Listen() error { return s.cloud.transport.listen() }

// HTTPClient returns an HTTP client whose every connection leads to this
// server, over its listener if there is one and otherwise within the process.
func (s *Server) HTTPClient() *http.Client { return s.cloud.transport.client }

// Close ends all regions' servers: listener, connections and calls under way.
// It returns when no call is being served any more, and may be called again.
func (s *Server) Close() { s.cloud.transport.close() }
