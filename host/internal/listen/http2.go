package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// http2Server turns the requests of x/net/http2 into exchanges. x/net has read them
// leniently: what http1 refuses is refused here too.
type http2Server struct {
	s     *Server
	base  *http.Server
	http2 *http2.Server
	once  sync.Once
}

func newHTTP2Server(s *Server) (*http2Server, error) {
	t := &s.o.Timeouts
	h := &http2Server{s: s}
	h.base = &http.Server{
		MaxHeaderBytes: s.o.Limits.HeadBytes, // x/net counts 32 bytes a field on top (RFC 9113 10.5.1)
		ErrorLog:       slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	h.http2 = &http2.Server{
		MaxConcurrentStreams: uint32(s.o.Limits.Streams),
		MaxReadFrameSize:     16 * kib,
		IdleTimeout:          t.Idle,
		ReadIdleTimeout:      t.Idle,
		WriteByteTimeout:     t.Write,
		// What clients may send ahead of a handler that does not read.
		MaxUploadBufferPerStream:     64 * kib,
		MaxUploadBufferPerConnection: mib,
		CountError: func(kind string) {
			s.refused(Refused{Protocol: "HTTP/2.0", Reason: "HTTP/2 error: " + kind})
		},
	}
	// Only ties drain to the connections; nothing serves base itself.
	if err := http2.ConfigureServer(h.base, h.http2); err != nil {
		return nil, fmt.Errorf("configure HTTP/2: %w", err)
	}
	return h, nil
}

// serve runs a connection to its end.
func (h *http2Server) serve(c *conn) {
	h.http2.ServeConn(c.rw, &http2.ServeConnOpts{
		Context:    c.ctx,
		BaseConfig: h.base,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.serveStream(c, w, r)
		}),
	})
}

// drain sends GOAWAY on every connection; streams in flight go on.
func (h *http2Server) drain() { h.once.Do(func() { h.base.Shutdown(context.Background()) }) }

// serveStream answers one request, on a goroutine of x/net, which ServeConn waits for.
func (h *http2Server) serveStream(c *conn, w http.ResponseWriter, r *http.Request) {
	x := exchange.Acquire()
	defer x.Release()
	h.s.identify(x)
	x.Start = time.Now()
	x.Remote, x.Conn, x.Context = c.remote, c.info, r.Context()
	st := &stream{c: c, x: x, r: r, w: w, control: http.NewResponseController(w)}
	if err := st.fill(); err != nil {
		refusal, _ := errors.AsType[*http1.Refusal](err) // fill returns no other
		h.s.refuse(refusal, c, x)
	} else {
		h.s.handle(c.handler, x)
		defer func() { h.s.finish(c.handler, x, st.whole) }() // also when respond panics to reset the stream
	}
	st.respond()
	st.whole = true
}

// stream is one HTTP/2 request and its answer.
type stream struct {
	c       *conn
	x       *exchange.Exchange
	r       *http.Request
	w       http.ResponseWriter
	control *http.ResponseController
	pace    pace
	started bool  // the final head was sent
	whole   bool  // and all of the answer
	extend  int64 // warden's time when the write deadline is to be moved
	fault   error // of the body
}

// Refusals that only HTTP/2 knows.
var (
	errStreamHost   = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3.1", Reason: "authority is missing"}
	errStreamFields = &http1.Refusal{Status: 431, Section: "RFC 6585 5", Reason: "too many fields"}
	errStreamTarget = &http1.Refusal{Status: 414, Section: "RFC 9110 15.5.15", Reason: "target is too long"}
	errStreamLength = &http1.Refusal{Status: 400, Section: "RFC 9113 8.1.1", Reason: "bad Content-Length"}
)

// fill makes the exchange from the request.
func (st *stream) fill() error {
	x, r, syntax := st.x, st.r, st.c.syntax
	if err := http1.CheckMethod(r.Method, syntax.Trace); err != nil {
		return err
	}
	if len(r.RequestURI) > syntax.Target {
		return errStreamTarget
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if err := http1.CheckTarget(r.Method, path, query); err != nil {
		return err
	}
	if r.Host == "" {
		return errStreamHost
	}
	authority, err := http1.CheckAuthority([]byte(r.Host))
	if err != nil {
		return err
	}
	if err := st.fillHeader(); err != nil {
		return err
	}
	x.Method, x.Authority, x.Target, x.Query = r.Method, string(authority), path, query
	x.Informational = st.sendInformational
	return st.fillBody()
}

// fillHeader takes the fields over. x/net has lost their order across names; sorted,
// they are at least always the same.
func (st *stream) fillHeader() error {
	h, n := &st.x.Header, 0
	for _, name := range slices.Sorted(maps.Keys(st.r.Header)) {
		lower := strings.ToLower(name)
		for _, value := range st.r.Header[name] {
			if n++; n > st.c.syntax.Fields {
				return errStreamFields
			}
			if err := http1.CheckField([]byte(lower), []byte(value)); err != nil {
				return err
			}
			h.Add(lower, value)
		}
	}
	_, err := http1.CleanRequest(h, st.c.syntax.Trusted)
	return err
}

// fillBody checks the announced length. A request whose length is 0 goes on only once
// its end was seen: bytes behind it would reach the upstream as another request
// (CVE-2026-33555 and the like). x/net checks lengths above 0 against DATA as it is read.
func (st *stream) fillBody() error {
	lengths := st.r.Header["Content-Length"]
	switch {
	case len(lengths) > 1:
		return errStreamLength
	case len(lengths) == 1:
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || int64(n) != st.r.ContentLength {
			return errStreamLength
		}
	}
	if st.r.ContentLength == 0 {
		if n, err := st.r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return errStreamLength
		}
		return nil
	}
	if st.r.ContentLength > st.c.s.o.Limits.BodyBytes {
		return errBodyLarge
	}
	st.x.Body, st.x.BodyLength = st, st.r.ContentLength
	return nil
}

// Read reads the request body, with the client's limits; its errors are problems.
func (st *stream) Read(p []byte) (int, error) {
	if st.fault != nil {
		return 0, st.fault
	}
	o := &st.c.s.o
	w := &st.c.s.warden
	st.control.SetReadDeadline(time.Now().Add(o.Timeouts.Body))
	from := w.now.Load()
	n, err := st.r.Body.Read(p)
	slow := st.pace.tooSlow(n, w.now.Load()-from, o.Timeouts.BodyRate)
	switch {
	case err == io.EOF:
		if fault := st.fillTrailer(); fault != nil {
			err = fault
		}
	case err != nil:
	case st.pace.got > o.Limits.BodyBytes:
		err = exchange.ErrBodyTooLarge
	case slow:
		err = errBodySlow
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	st.fault = st.c.s.bodyFault(err, st.c, st.x)
	return 0, st.fault
}

// fillTrailer takes the trailers over; x/net keeps those that a Trailer field announced.
func (st *stream) fillTrailer() error {
	for _, name := range slices.Sorted(maps.Keys(st.r.Trailer)) {
		for _, value := range st.r.Trailer[name] {
			lower := strings.ToLower(name)
			if err := http1.CheckTrailer([]byte(lower), []byte(value)); err != nil {
				return err
			}
			st.x.Trailer.Add(lower, value)
		}
	}
	return nil
}
