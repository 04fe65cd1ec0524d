package listen

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// respond sends x.Response. A stream that cannot be sent whole is reset: x/net does that
// for a panic with http.ErrAbortHandler.
func (st *stream) respond() {
	r := &st.x.Response
	defer func() {
		if r.Stream != nil {
			r.Stream.Close()
		}
	}()
	if r.Status < 200 || r.Status > 599 {
		problem.Internal.Problem().Write(st.x)
	}
	if !st.sendHead() {
		st.c.s.o.Logger.Error("write response head", "request_id", string(st.x.ID[:]), "error", http1.ErrUnwritable)
		clear(st.w.Header())
		problem.BadGateway.Problem().Write(st.x)
		st.sendHead()
	}
	if st.r.Method == http.MethodHead || bodyless(r.Status) {
		return
	}
	if r.Stream == nil {
		st.send(r.Body)
		return
	}
	if !st.stream() {
		panic(http.ErrAbortHandler)
	}
}

// sendHead sets the final head; it is false when a field cannot be sent.
func (st *stream) sendHead() bool {
	r, header := &st.x.Response, st.w.Header()
	for name, value := range r.Header.All() {
		if http1.CheckField(name, value) != nil {
			return false
		}
		switch string(name) {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length", "te", "trailer", "host":
			continue // framing is HTTP/2's own (RFC 9113 8.2.2)
		}
		header.Add(string(name), string(value))
	}
	length := int64(len(r.Body))
	if r.Stream != nil || r.Body == nil {
		length = r.Length
	}
	if length >= 0 && !bodyless(r.Status) { // Go's clients take a 304 with a length for one cut short
		header.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	if st.c.s.retiring.Load() {
		header.Set("Connection", "close") // x/net's word for GOAWAY; drain missed connections that began after it
	}
	if !r.Header.Has("date") {
		header.Set("Date", *st.c.s.warden.date.Load())
	}
	if !r.Header.Has("content-type") {
		header["Content-Type"] = nil // x/net would guess one
	}
	st.w.WriteHeader(r.Status)
	st.started = true
	return true
}

// send writes b within the time that the client has for it; a client that opens no
// window loses the stream.
func (st *stream) send(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), bufferSize)
		if !st.sendPiece(b[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

func (st *stream) sendPiece(b []byte) bool {
	w, limit := &st.c.s.warden, st.c.s.o.Timeouts.Write
	if now := w.now.Load(); now >= st.extend {
		// Moving the deadline is a message to another goroutine: at most four times a limit.
		st.extend = now + int64(limit)/4
		st.control.SetWriteDeadline(time.Now().Add(limit + limit/4))
	}
	n, err := st.w.Write(b)
	st.x.Response.Sent += int64(n)
	return err == nil
}

// stream sends r.Stream, each piece as soon as it is there. It tells whether the answer
// is whole.
func (st *stream) stream() bool {
	r := &st.x.Response
	buf := getBuffer()
	defer putBuffer(buf)
	if st.control.Flush() != nil {
		return false
	}
	left := r.Length
	for {
		n, err := r.Stream.Read(buf[:])
		if n > 0 {
			if r.Length >= 0 && int64(n) > left {
				return false
			}
			left -= int64(n)
			if !st.sendPiece(buf[:n]) {
				return false
			}
		}
		switch {
		case err == io.EOF:
			return (r.Length < 0 || left == 0) && st.sendTrailer()
		case err != nil || st.control.Flush() != nil:
			return false
		}
	}
}

func (st *stream) sendTrailer() bool {
	for name, value := range st.x.Response.Trailer.All() {
		if http1.CheckTrailer(name, value) != nil {
			return false
		}
		st.w.Header().Add(http.TrailerPrefix+string(name), string(value))
	}
	return true
}

// sendInformational is Exchange.Informational.
func (st *stream) sendInformational(status int, header *exchange.Header) error {
	switch {
	case st.started || status < 100 || status > 199 || status == http.StatusSwitchingProtocols:
		return errors.New("send informational response: status is not 1xx, or too late")
	case status == http.StatusContinue:
		return nil // x/net sends it when the body is read
	}
	h := st.w.Header()
	if header != nil {
		for name, value := range header.All() {
			if err := http1.CheckField(name, value); err != nil {
				return err
			}
			h.Add(string(name), string(value))
		}
	}
	st.w.WriteHeader(status)
	clear(h) // the final head starts anew
	return nil
}
