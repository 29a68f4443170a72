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

	logged := s.log.begin(call)
	outcome := "" // of a call that doesn't get to its end
	defer func() { s.log.end(logged, outcome) }()
	if refused != nil {
		outcome = refused.code
		writeError(w, refused)
		return
	}
	outcome = s.serve(w, r, op, req, s.faults.strike(&call, s.arnOf))
}

// serve lets a fault do its work around a call, and returns the call's Err.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, op string, req request, f Fault) string {
	ctx := r.Context()
	if !sleep(ctx, f.Delay) {
		return "gone"
	}
	switch {
	case f.Error != "":
		e := refuse(f.Error, "%s", wordsOf(f.Error))
		if f.Status != 0 {
			e.status = f.Status
		}
		writeError(w, e)
		return f.Error
	case f.Status != 0:
		w.Header().Set("Content-Type", "text/html")
		write(w, f.Status, []byte("<html><body><h1>"+http.StatusText(f.Status)+"</h1></body></html>\n"))
		return strconv.Itoa(f.Status)
	case f.Break == Hang:
		<-ctx.Done()
		return string(Hang)
	case f.Break == Drop:
		hangUp(w)
		return string(Drop)
	}

	answer, refused := operations[op](s, req)
	if refused != nil {
		writeError(w, refused)
		return refused.code
	}
	defer answer.wipe()
	if f.Break == Truncate {
		body := answer.encode()
		defer clear(body)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		hangUp(w)
		return string(Truncate)
	}
	if spoil := spoilers[f.Break]; spoil != nil {
		body := spoil(s, answer)
		defer clear(body)
		write(w, http.StatusOK, body)
		return string(f.Break)
	}
	body := answer.encode()
	defer clear(body)
	write(w, http.StatusOK, body)
	return ""
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

// hangUp closes the connection. A writer that has none, such as a recorder,
// keeps what it has.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeError(w http.ResponseWriter, e *apiError) {
	body, err := json.Marshal(map[string]string{"__type": e.code, "message": e.message})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	write(w, e.status, body)
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
