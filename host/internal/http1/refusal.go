package http1

import "errors"

// ErrIncomplete says that the buffer ends before the head does: read more and parse again.
var ErrIncomplete = errors.New("message is incomplete")

// Refusal says why a message is refused. Refusals are fixed values, so that Reason can
// label a metric.
type Refusal struct {
	Status  int    // what the client gets; 502 when an upstream sent the message
	Section string // where the rule stands, such as "RFC 9112 6.1"
	Reason  string
}

// Error is the reason with its section.
func (r *Refusal) Error() string { return "refuse message: " + r.Reason + " (" + r.Section + ")" }

// upstream is the refusal of the same fault in an answer; see [Response.Parse].
func upstream(err error) error {
	if r, ok := err.(*Refusal); ok && r.Status != 502 {
		return &Refusal{502, r.Section, r.Reason}
	}
	return err
}

// Lines and bytes.
var (
	errBareLF       = &Refusal{400, "RFC 9112 2.2", "LF without CR"}
	errBareCR       = &Refusal{400, "RFC 9112 2.2", "CR without LF"}
	errStartBlank   = &Refusal{400, "RFC 9112 2.2", "blank before the first field"}
	errFold         = &Refusal{400, "RFC 9112 5.2", "folded line"}
	errNameBlank    = &Refusal{400, "RFC 9112 5.1", "blank in or after a field name"}
	errNameEmpty    = &Refusal{400, "RFC 9110 5.1", "empty field name"}
	errName         = &Refusal{400, "RFC 9110 5.1", "bad byte in a field name"}
	errValue        = &Refusal{400, "RFC 9110 5.5", "control byte in a field value"}
	errValueBlank   = &Refusal{400, "RFC 9113 8.2.1", "blank around a field value"}
	errNameCase     = &Refusal{400, "RFC 9113 8.2.1", "upper-case field name"}
	errFieldCount   = &Refusal{431, "RFC 6585 5", "too many fields"}
	errHeadTooLarge = &Refusal{431, "RFC 6585 5", "head is too large"}
)

// Request line.
var (
	errMethod        = &Refusal{400, "RFC 9110 9.1", "bad method"}
	errMethodLong    = &Refusal{501, "RFC 9112 3", "method is too long"}
	errConnect       = &Refusal{501, "RFC 9110 9.3.6", "CONNECT is not offered"}
	errTrace         = &Refusal{501, "RFC 9110 9.3.8", "TRACE is not offered"}
	errTargetLong    = &Refusal{414, "RFC 9112 3", "target is too long"}
	errTarget        = &Refusal{400, "RFC 9112 3.2", "bad byte in the target"}
	errTargetForm    = &Refusal{400, "RFC 9112 3.2", "target has no known form"}
	errTargetPercent = &Refusal{400, "RFC 3986 2.1", "malformed percent-encoding in the path"}
	errFragment      = &Refusal{400, "RFC 9110 7.1", "fragment in the target"}
	errAsterisk      = &Refusal{400, "RFC 9112 3.2.4", "target * without OPTIONS"}
	errVersion       = &Refusal{400, "RFC 9112 2.3", "malformed version"}
	errVersionOther  = &Refusal{505, "RFC 9110 15.6.6", "version is neither HTTP/1.0 nor HTTP/1.1"}
)

// Host.
var (
	errHostMissing = &Refusal{400, "RFC 9112 3.2", "Host is missing"}
	errHostTwice   = &Refusal{400, "RFC 9112 3.2", "more than one Host"}
	errHost        = &Refusal{400, "RFC 9110 7.2", "bad Host"}
	errUserinfo    = &Refusal{400, "RFC 9110 4.2.4", "userinfo in the authority"}
	errHostDiffers = &Refusal{400, "RFC 9112 3.2.2", "Host differs from the target"}
)

// Framing.
var (
	errLength      = &Refusal{400, "RFC 9112 6.3", "bad Content-Length"}
	errLengthTwice = &Refusal{400, "RFC 9112 6.3", "more than one Content-Length"}
	errBoth        = &Refusal{400, "RFC 9112 6.1", "Content-Length together with Transfer-Encoding"}
	errCoding      = &Refusal{501, "RFC 9112 6.1", "transfer coding other than chunked"}
	errCodingTwice = &Refusal{400, "RFC 9112 6.1", "chunked is not the only transfer coding"}
	errCoding10    = &Refusal{400, "RFC 9112 6.1", "Transfer-Encoding in HTTP/1.0"}
	errBodyless    = &Refusal{502, "RFC 9112 6.3", "framing in an answer without a body"}
)

// Connection and expectations.
var (
	errOption      = &Refusal{400, "RFC 9110 7.6.1", "bad connection option"}
	errOptionField = &Refusal{400, "RFC 9110 7.6.1", "connection option names an end-to-end field"}
	errSpecific    = &Refusal{400, "RFC 9113 8.2.2", "connection-specific field"}
	errExpect      = &Refusal{417, "RFC 9110 10.1.1", "unknown expectation"}
	errStatus      = &Refusal{502, "RFC 9112 4", "malformed status line"}
	errSwitching   = &Refusal{502, "RFC 9110 15.2.2", "switch of protocols that nobody asked for"}
)

// Chunked bodies.
var (
	errChunkSize    = &Refusal{400, "RFC 9112 7.1", "malformed chunk size"}
	errChunkExt     = &Refusal{400, "RFC 9112 7.1.1", "malformed chunk extension"}
	errChunkExtLong = &Refusal{400, "RFC 9112 7.1.1", "chunk extensions are too long"}
	errChunkEnd     = &Refusal{400, "RFC 9112 7.1", "chunk data without CRLF"}
	errTrailer      = &Refusal{400, "RFC 9110 6.5.1", "field that may not be a trailer"}
)
