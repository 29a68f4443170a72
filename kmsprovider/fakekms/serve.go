package fakekms

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// ServeHTTP implements [http.Handler], for tests that put the server behind
// something of their own, such as a TLS listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newUUID()
	w.Header().Set("x-amzn-RequestId", requestID)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")

	call := Call{RequestID: requestID, Time: time.Now()}
	op, refused := operation(r)
	call.Op = op
	who, notSigned := signer(r)
	call.AccessKeyID = cut(who.accessKeyID)
	if notSigned == nil {
		if other, err := s.cloud.server(who.region, false); err == nil {
			s = other
		} else {
			notSigned = refuse("InvalidSignatureException", "Credential should be scoped to a valid region: %v", err)
		}
	}
	var req request
	if refused == nil {
		refused = notSigned
	}
	if refused == nil {
		if req, refused = readRequest(r); refused == nil {
			s.describe(&call, req)
		}
	}

	e := &exchange{server: s, w: w, ctx: r.Context(), call: s.log.begin(call)}
	defer e.end(gone)
	if refused != nil {
		e.refuse(refused)
		return
	}
	e.serve(req, s.faults.strike(&call, s.arnOf))
}

// gone is the Err of a call whose client didn't wait for an answer.
const gone = "gone"

// An exchange is a request being served.
type exchange struct {
	server *Server
	w      http.ResponseWriter
	ctx    context.Context
	call   *Call
	ended  bool
}

// end notes how the call went. It comes before the last write: a client with
// an answer finds its call done.
func (e *exchange) end(err string) {
	if !e.ended {
		e.ended = true
		e.server.log.end(e.call, err)
	}
}

// serve lets a fault do its work around a call.
func (e *exchange) serve(req request, f Fault) {
	if !sleep(e.ctx, f.Delay) {
		return
	}
	switch {
	case f.Error != "":
		refused := refuse(f.Error, "%s", wordsOf(f.Error))
		if f.Status != 0 {
			refused.status = f.Status
		}
		e.refuse(refused)
		return
	case f.Status != 0:
		e.end(strconv.Itoa(f.Status))
		e.w.Header().Set("Content-Type", "text/html")
		e.write(f.Status, []byte("<html><body><h1>"+http.StatusText(f.Status)+"</h1></body></html>\n"))
		return
	case f.Break == Hang:
		<-e.ctx.Done()
		e.end(string(Hang))
		return
	case f.Break == Drop:
		e.end(string(Drop))
		e.hangUp()
		return
	}

	a, refused := operations[e.call.Op](e.server, req)
	if refused != nil {
		e.refuse(refused)
		return
	}
	defer a.wipe()
	e.end(string(f.Break))
	var body []byte
	if spoil := spoilers[f.Break]; spoil != nil {
		body = spoil(e.server, a)
	} else {
		body = a.encode()
	}
	defer clear(body)
	if f.Break == Truncate {
		e.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = e.w.Write(body[:len(body)/2])
		e.hangUp()
		return
	}
	e.write(http.StatusOK, body)
}

func (e *exchange) refuse(refused *apiError) {
	body, err := json.Marshal(map[string]string{"__type": refused.code, "message": refused.message})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	e.end(refused.code)
	e.write(refused.status, body)
}

func (e *exchange) write(status int, body []byte) {
	e.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	e.w.WriteHeader(status)
	_, _ = e.w.Write(body)
}

// hangUp sends what has been written and closes the connection. A writer that
// has no connection, such as a recorder, keeps what it has.
func (e *exchange) hangUp() {
	c := http.NewResponseController(e.w)
	if e.w.Header().Get("Content-Length") != "" {
		_ = c.Flush()
	}
	if conn, _, err := c.Hijack(); err == nil {
		_ = conn.Close()
	}
}

// sleep waits, and reports false if the client went away meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An answer is what a call returns, by name.
type answer map[string]any

// encode returns the answer as it goes over the wire.
func (a answer) encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any(a)); err != nil {
		panic(err) // answers hold nothing that can't be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// wipe overwrites the plain data key.
func (a answer) wipe() {
	if plaintext, ok := a["Plaintext"].([]byte); ok {
		clear(plaintext)
	}
}
