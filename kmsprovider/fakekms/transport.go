package fakekms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// A transport carries HTTP to one handler, over pipes and perhaps a socket.
//
// It starts no goroutine and makes no channel before the first connection, so
// that these belong to the synctest bubble in which they are used.
type transport struct {
	http   *http.Server
	client *http.Client

	mu     sync.Mutex
	socket string // address of the listener, empty without
	closed bool
	served map[chan struct{}]struct{} // one per request being served, closed at its end
}

func newTransport() *transport {
	t := &transport{served: map[chan struct{}]struct{}{}}
	t.client = &http.Client{
		Transport: wholeBodies{&http.Transport{
			DialContext:         t.dial,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 64,
		}},
		// As the SDK's own client: KMS never redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t
}

func (t *transport) start(h http.Handler) {
	// No timeouts: in simulated time, a connection would be closed at the very
	// moment when a client, done with its sleep, takes it up again.
	t.http = &http.Server{Handler: t.track(h)} // #nosec G112 -- loopback and pipes only
}

// track lets close wait for the requests being served.
func (t *transport) track(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		t.served[done] = struct{}{}
		t.mu.Unlock()
		defer func() {
			t.mu.Lock()
			delete(t.served, done)
			t.mu.Unlock()
			close(done)
		}()
		h.ServeHTTP(w, r)
	})
}

func (t *transport) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	// Closed connections end the requests' contexts, and with them every
	// delay and hang.
	_ = t.http.Close()
	t.client.CloseIdleConnections()
	for {
		t.mu.Lock()
		var done chan struct{}
		for done = range t.served {
			break
		}
		t.mu.Unlock()
		if done == nil {
			return
		}
		<-done
	}
}

func (t *transport) url() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.socket == "" {
		return "http://127.0.0.1"
	}
	return "http://" + t.socket
}

func (t *transport) listen() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errors.New("fakekms: can't listen: the server is closed")
	}
	if t.socket != "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("fakekms: can't listen on a loopback address: %w", err)
	}
	t.socket = l.Addr().String()
	go func() { _ = t.http.Serve(l) }()
	return nil
}

func (t *transport) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	t.mu.Lock()
	socket := t.socket
	t.mu.Unlock()
	if socket != "" {
		return new(net.Dialer).DialContext(ctx, "tcp", socket)
	}
	return t.pipe(ctx)
}

// pipe returns a new connection within the process.
func (t *transport) pipe(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Under the lock, so that close finds every connection.
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("fakekms: the server is closed")}
	}
	client, server := net.Pipe()
	// Serve starts a goroutine for the one connection and then returns.
	_ = t.http.Serve(&oneConn{conn: server})
	return client, nil
}

// wholeBodies hands on requests whose body is in memory.
//
// The SDK closes a request's body as soon as it has an answer, and the HTTP
// client then closes the connection if it wasn't quite done with that body. A
// write to a pipe lasts until the other side has read it all, so that the
// answer can win this race.
type wholeBodies struct{ *http.Transport }

func (w wholeBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return w.Transport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if closeErr := r.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("fakekms: can't read the request's body: %w", err)
	}
	r = r.Clone(r.Context())
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return w.Transport.RoundTrip(r)
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn net.Conn
}

func (l *oneConn) Accept() (net.Conn, error) {
	c := l.conn
	if c == nil {
		return nil, net.ErrClosed
	}
	l.conn = nil
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
