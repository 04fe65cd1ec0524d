package http1

import (
	"bytes"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Response is what the head of an upstream's answer says.
type Response struct {
	Status  int // 100 to 599; 101 is refused
	Framing Framing
	Length  int64 // of the body: -1 when not known; announced length for HEAD and 304, -1 without one
	HTTP10  bool
	Close   bool // the connection must not be used again

	header  *exchange.Header
	at      int
	seen    int
	fields  int
	started bool
	keep    bool
	options bool
	framing framingFields
}

// Reset prepares p for a new response, whose fields go to header (emptied).
func (p *Response) Reset(header *exchange.Header) {
	header.Reset()
	*p = Response{header: header}
}

// Parse reads a response head at the start of buf and returns its length, with the same
// rules as [Request.Parse]; every refusal has status 502. method is the request's: it
// decides whether there is a body (RFC 9112 6.3). An answer 1xx is a head of its own, the
// final one follows. Framing and hop-by-hop fields are taken out of the header.
func (p *Response) Parse(buf []byte, method string, lim *Limits) (int, error) {
	if p.seen > 0 && !mayEndLine(buf, p.seen) && len(buf) < lim.Head {
		p.seen = len(buf)
		return 0, ErrIncomplete
	}
	n, err := p.parse(buf[:min(len(buf), lim.Head)], method, lim)
	if err == ErrIncomplete {
		p.seen = len(buf)
		if len(buf) >= lim.Head {
			err = errHeadTooLarge
		}
	}
	return n, upstream(err)
}

func (p *Response) parse(buf []byte, method string, lim *Limits) (int, error) {
	if !p.started {
		if err := p.parseLine(buf); err != nil {
			return 0, err
		}
	}
	for {
		end, err := endOfSection(buf, p.at)
		if err != nil {
			return 0, err
		}
		if end {
			break
		}
		name, value, next, err := parseField(buf, p.at)
		if err != nil {
			return 0, err
		}
		if p.fields++; p.fields > lim.Fields {
			return 0, errFieldCount
		}
		if err := p.take(name, value); err != nil {
			return 0, err
		}
		p.at = next
	}
	return p.at + 2, p.finish(method)
}

// parseLine reads "HTTP/1.1 200 reason" (RFC 9112 4). The blank before an absent reason
// may be missing, as many servers have it.
func (p *Response) parseLine(buf []byte) error {
	const shortest = len("HTTP/1.1 200\r\n")
	if len(buf) < shortest {
		if bytes.IndexByte(buf, '\n') >= 0 || !bytes.HasPrefix([]byte("HTTP/1."), buf[:min(len(buf), 7)]) {
			return errStatus
		}
		return ErrIncomplete
	}
	switch string(buf[:9]) {
	case "HTTP/1.1 ":
	case "HTTP/1.0 ":
		p.HTTP10 = true
	default:
		return errStatus
	}
	status := 0
	for _, c := range buf[9:12] {
		if !digit(c) {
			return errStatus
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || status > 599 || buf[12] != ' ' && buf[12] != '\r' {
		return errStatus
	}
	if status == 101 {
		return errSwitching
	}
	end := textEnd(buf, 12)
	switch {
	case end+1 >= len(buf) && (end == len(buf) || buf[end] == '\r'):
		return ErrIncomplete
	case buf[end] == '\n':
		return errBareLF
	case buf[end] != '\r':
		return errStatus
	case buf[end+1] != '\n':
		return errBareCR
	}
	p.Status, p.at, p.started = status, end+2, true
	return nil
}

// take puts one field where it belongs.
func (p *Response) take(name, value []byte) error {
	switch classOf(name) {
	case contentLength:
		return p.framing.addLength(value)
	case transferEncoding:
		p.framing.addCoding(value)
	case connection:
		switch {
		case equalFold(value, "keep-alive"):
			p.keep = true
		case equalFold(value, "close"):
			p.Close = true
		default:
			p.options = true
			p.header.AppendAlias(name, value)
		}
	case hop, te:
	default:
		p.header.AppendAlias(name, value)
	}
	return nil
}

// finish decides on the framing (RFC 9112 6.3) and the connection's fate (9.3).
func (p *Response) finish(method string) error {
	framing, length, err := p.framing.resolve(p.HTTP10)
	if err != nil {
		return err
	}
	if p.options {
		closes, keeps, err := obeyConnection(p.header)
		if err != nil {
			return err
		}
		p.Close, p.keep = p.Close || closes, p.keep || keeps
	}
	p.Framing, p.Length = framing, length
	switch {
	case p.Status < 200 || p.Status == 204:
		// Bytes that such a framing announces would be taken for the next answer.
		if framing == Chunked || length > 0 {
			return errBodyless
		}
		p.Framing, p.Length = None, 0
	case method == "HEAD" || p.Status == 304:
		if framing != Fixed {
			p.Length = -1
		}
		p.Framing = None
	case framing == None:
		p.Framing, p.Length, p.Close = UntilClose, -1, true
	}
	p.Close = p.Close || p.HTTP10 && !p.keep
	return nil
}
