package http2

import (
	"math"
	"unsafe"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/http2/hpack"
)

// block is a header block that is being received.
type block struct {
	stream  uint32
	open    bool // CONTINUATION follows
	end     bool // with it the client ends the stream
	depends bool // on itself
	parts   int
	buf     []byte
}

const (
	maxParts = 64 // CONTINUATION frames
	maxBlock = 2  // times the limit of heads: a little too large gets an answer
	// maxHeads times the limit of heads is what the requests of a connection may hold before
	// another comes. By references to one field, a client has each of them hold the whole limit
	// for a few bytes (CVE-2026-47774).
	maxHeads = 16
)

// takeBlock handles a whole header block: a request, or its trailers.
func (c *conn) takeBlock(b []byte) error {
	id := c.block.stream
	c.mu.Lock()
	st := c.find(id)
	if st != nil {
		defer c.mu.Unlock()
		return c.takeTrailers(st, b)
	}
	known, ours, old := false, false, id <= c.lastID
	if old {
		known, ours = c.closed.has(id)
	}
	c.lastID = max(id, c.lastID)
	late := c.drained.step == 2 && id > c.drained.last || c.closing
	full := c.slots >= c.s.o.Streams
	crowded := c.crowded()
	if !old && (late || full || crowded || c.block.depends) {
		c.closed.add(id, true)
	}
	c.mu.Unlock()
	switch {
	case old && !known:
		return faultStreamID
	case old && !ours:
		return faultClosed
	case old || late:
		return c.skipBlock(b, id, nil)
	case c.block.depends:
		return c.skipBlock(b, id, streamDepends)
	case full:
		return c.skipBlock(b, id, streamTooMany)
	case crowded:
		return c.skipBlock(b, id, streamHeads)
	}
	return c.takeRequest(id, b)
}

// crowded tells whether the requests hold so many bytes of heads that no other may come; c.mu is held.
func (c *conn) crowded() bool { return c.heads >= maxHeads*c.s.o.Syntax.Head }

// skipBlock reads a block for its effect on the compression only, and resets the stream
// if there is a fault.
func (c *conn) skipBlock(b []byte, id uint32, f *fault) error {
	var field hpack.Field
	c.dec.Start(b)
	fields := int64(0)
	for more := true; more; fields++ {
		var err error
		if more, err = c.dec.Next(&field); err != nil {
			return faultCompression
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f != nil {
		c.append(appendRSTStream(nil, id, f.code))
		c.s.refused(&c.p, nil, &f.Refusal)
	}
	return c.chargeLocked(costRefused + fields/fieldsPerCost)
}

func (c *conn) takeRequest(id uint32, b []byte) error {
	st := acquireStream(c, id)
	refusal, err := st.readHead(b)
	if err != nil {
		st.release()
		return faultCompression
	}
	st.remoteDone = c.block.end
	if refusal == nil {
		refusal = st.checkBody()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if refusal != nil && refusal.Status == 400 {
		cost := costReset + int64(st.skipped/fieldsPerCost)
		st.release()
		c.closed.add(id, true)
		c.append(appendRSTStream(nil, id, codeProtocol))
		c.s.refused(&c.p, nil, refusal)
		return c.chargeLocked(cost)
	}
	if refusal != nil {
		st.x.Header.Reset() // nobody reads it
		st.size = 0
	}
	st.start()
	c.open(st)
	if refusal != nil {
		st.refusal, st.recv.refusal = refusal, refusal
		c.dispatch(st)
		return c.chargeLocked(costRefused + int64(st.skipped/fieldsPerCost))
	}
	if st.recv.length == 0 && !st.remoteDone {
		st.held, st.readUntil = true, c.s.o.Now()+int64(c.s.o.Body)
		return nil
	}
	c.dispatch(st)
	return nil
}

// checkBody compares what the head says of the body with its end.
func (st *stream) checkBody() *http1.Refusal {
	r := &st.recv
	switch {
	case r.length > 0 && st.remoteDone:
		return errLengthAlone
	case st.remoteDone || r.length == 0:
		r.asks = false
		return nil
	case r.length > st.c.s.o.BodyBytes:
		return errBodyLarge
	}
	st.x.Body, st.x.BodyLength = st, r.length
	return nil
}

// takeTrailers takes the block that ends a request behind its DATA (RFC 9113 8.1); c.mu is held.
func (c *conn) takeTrailers(st *stream, b []byte) error {
	var field hpack.Field
	var refusal *fault
	switch {
	case c.crowded(): // not REFUSED_STREAM, which would say that nobody has begun with it
		refusal = &fault{codeEnhanceYourCalm, streamHeads.Refusal}
	case st.remoteDone:
		refusal = streamClosed
	case !c.block.end:
		refusal = streamTrailers
	}
	lim := &c.s.o.Syntax
	fields, size := 0, 0
	c.dec.Start(b)
	for {
		more, err := c.dec.Next(&field)
		if err != nil {
			return faultCompression
		}
		if !more {
			break
		}
		fields++
		size += len(field.Name) + len(field.Value) + 32
		if refusal != nil {
			continue
		}
		switch r, _ := http1.CheckTrailer(field.Name, field.Value).(*http1.Refusal); {
		case r != nil:
			refusal = &fault{codeProtocol, *r}
		case fields > lim.Fields:
			refusal = &fault{codeEnhanceYourCalm, *errFieldCount}
		case size > lim.Head:
			refusal = &fault{codeEnhanceYourCalm, *errHeadLarge}
		default:
			st.recv.trailer.AppendCopy(field.Name, field.Value)
		}
	}
	if refusal != nil {
		return c.resetFor(st, refusal)
	}
	st.size += size
	c.heads += size
	return c.endRemote(st)
}

// head is what a request's fields say beside those that stay in the exchange.
type head struct {
	st                              *stream
	method, scheme, path, authority []byte // nil when absent; within st.text but for the first two
	host                            []byte
	cookies                         int
	lengths                         int
	fields, size                    int
	regular                         bool // a field that is no pseudo one was seen
}

// readHead fills x from a header block. The refusal is the first that applies; those
// about size stop only the taking of fields.
func (st *stream) readHead(b []byte) (refusal *http1.Refusal, err error) {
	h := head{st: st}
	c := st.c
	var field hpack.Field
	var over *http1.Refusal
	lim := &c.s.o.Syntax
	c.dec.Start(b)
	for {
		more, err := c.dec.Next(&field)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if refusal != nil || over != nil {
			st.skipped++
			continue
		}
		if h.size += len(field.Name) + len(field.Value) + 32; h.size > lim.Head {
			over = errHeadLarge
			continue
		}
		if len(field.Name) > 0 && field.Name[0] == ':' {
			refusal = h.takePseudo(&field)
			continue
		}
		if h.fields++; h.fields > lim.Fields {
			over = errFieldCount
			continue
		}
		refusal = h.take(&field)
	}
	st.size = h.size
	switch {
	case refusal != nil:
		return refusal, nil
	case over != nil:
		st.x.Method = methodName(h.method) // HEAD gets no body either way
		return over, nil
	}
	return h.finish(lim), nil
}

// takePseudo takes a pseudo field (RFC 9113 8.3).
func (h *head) takePseudo(f *hpack.Field) *http1.Refusal {
	var to *[]byte
	switch string(f.Name) {
	case ":method":
		to = &h.method
	case ":scheme":
		to = &h.scheme
	case ":path":
		to = &h.path
	case ":authority":
		to = &h.authority
	default:
		return errPseudo
	}
	switch {
	case h.regular:
		return errPseudoLate
	case *to != nil:
		return errPseudoTwice
	}
	*to = h.keep(f.Value)
	return nil
}

// keep copies b to where it lives as long as the stream; never nil.
func (h *head) keep(b []byte) []byte {
	st := h.st
	if st.text == nil {
		st.text = make([]byte, 0, 512)
	}
	start := len(st.text)
	st.text = append(st.text, b...)
	return st.text[start:len(st.text):len(st.text)]
}

// take takes any other field.
func (h *head) take(f *hpack.Field) *http1.Refusal {
	h.regular = true
	if f.Checked == nil || !*f.Checked {
		if err := http1.CheckField(f.Name, f.Value); err != nil {
			return asRefusal(err)
		}
		if f.Checked != nil {
			*f.Checked = true
		}
	}
	switch string(f.Name) {
	case "content-length":
		return h.takeLength(f.Value)
	case "host":
		if h.host != nil {
			return errHostTwice
		}
		h.host = h.keep(f.Value)
		return nil
	case "cookie":
		h.cookies++
	case "expect":
		h.st.recv.asks = true // anything but 100-continue is refused below
	}
	h.st.x.Header.AppendCopy(f.Name, f.Value)
	return nil
}

func (h *head) takeLength(value []byte) *http1.Refusal {
	if h.lengths++; h.lengths > 1 {
		return errLengthTwice
	}
	if len(value) == 0 {
		return errLength
	}
	var n int64
	for _, c := range value {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return errLength
		}
		n = n*10 + d
	}
	h.st.recv.length = n
	return nil
}

// finish checks what only the whole head shows.
func (h *head) finish(lim *http1.Limits) *http1.Refusal {
	x := h.st.x
	if h.method == nil {
		return errPseudoMissing
	}
	x.Method = methodName(h.method)
	if err := http1.CheckMethod(x.Method, lim.Trace); err != nil {
		return asRefusal(err)
	}
	switch {
	case h.scheme == nil || h.path == nil:
		return errPseudoMissing
	case string(h.scheme) != "https" && string(h.scheme) != "http":
		return errScheme
	case len(h.path) > lim.Target:
		return errTargetLong
	}
	x.Target = alias(h.path)
	for i, c := range h.path {
		if c == '?' {
			x.Target, x.Query = alias(h.path[:i]), alias(h.path[i+1:])
			x.EmptyQuery = x.Query == ""
			break
		}
	}
	if err := http1.CheckTarget(x.Method, x.Target, x.Query, x.EmptyQuery); err != nil {
		return asRefusal(err)
	}
	if refusal := h.finishAuthority(x); refusal != nil {
		return refusal
	}
	if h.cookies > 1 {
		h.joinCookies(x)
	}
	if _, err := http1.CleanRequest(&x.Header, h.st.c.p.Trusted); err != nil {
		return asRefusal(err)
	}
	x.Informational = h.st.inform
	return nil
}

// finishAuthority resolves :authority and host, which must agree (RFC 9113 8.3.1):
// upstreams and caches look at either.
func (h *head) finishAuthority(x *exchange.Exchange) *http1.Refusal {
	first, second := h.authority, h.host
	if first == nil {
		first, second = h.host, nil
	}
	if first == nil {
		return errAuthority
	}
	authority, err := http1.CheckAuthority(first)
	if err != nil {
		return asRefusal(err)
	}
	if second != nil {
		host, err := http1.CheckAuthority(second)
		if err != nil {
			return asRefusal(err)
		}
		if string(host) != string(authority) {
			return errHostDiffers
		}
	}
	x.Authority = alias(authority)
	return nil
}

// joinCookies makes one field of what a client has split for compression (RFC 9113 8.2.3).
func (h *head) joinCookies(x *exchange.Exchange) {
	start := len(h.st.text)
	for value := range x.Header.Values("cookie") {
		if len(h.st.text) > start {
			h.st.text = append(h.st.text, "; "...)
		}
		h.st.text = append(h.st.text, value...)
	}
	x.Header.Set("cookie", alias(h.st.text[start:]))
}

// methodName spares the common methods a copy.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "PATCH":
		return "PATCH"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	}
	return string(b)
}

// asRefusal is an error of http1's checks, which return no other.
func asRefusal(err error) *http1.Refusal {
	r, _ := err.(*http1.Refusal)
	return r
}

// alias is b as a string without a copy: it lives as long as the stream.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
