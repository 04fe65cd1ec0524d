package http2

import (
	"errors"

	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// fault is an error that ends the connection, or with a stream one that ends the stream.
type fault struct {
	code code
	http1.Refusal
}

// connectionFault is a fault that the client is told with GOAWAY.
func connectionFault(c code, section, reason string) *fault {
	return &fault{c, http1.Refusal{Section: section, Reason: "HTTP/2: " + reason}}
}

// Faults of connections. Reasons label a metric.
var (
	faultPreface      = connectionFault(codeProtocol, "RFC 9113 3.4", "no connection preface")
	faultFrameSize    = connectionFault(codeFrameSize, "RFC 9113 4.2", "frame of a wrong size")
	faultStreamZero   = connectionFault(codeProtocol, "RFC 9113 6", "frame on a wrong stream")
	faultPadding      = connectionFault(codeProtocol, "RFC 9113 6.1", "padding longer than the frame")
	faultContinuation = connectionFault(codeProtocol, "RFC 9113 6.10", "header block interrupted")
	faultIdle         = connectionFault(codeProtocol, "RFC 9113 5.1", "frame on an idle stream")
	faultClosed       = connectionFault(codeStreamClosed, "RFC 9113 5.1", "frame on a closed stream")
	faultStreamID     = connectionFault(codeProtocol, "RFC 9113 5.1.1", "bad stream identifier")
	faultPush         = connectionFault(codeProtocol, "RFC 9113 8.4", "push by a client")
	faultSettings     = connectionFault(codeProtocol, "RFC 9113 6.5.2", "bad setting")
	faultSettingsSize = connectionFault(codeFrameSize, "RFC 9113 6.5", "SETTINGS of a wrong size")
	faultWindow       = connectionFault(codeFlowControl, "RFC 9113 6.9.1", "window overflow")
	faultWindowSet    = connectionFault(codeFlowControl, "RFC 9113 6.5.2", "initial window is too large")
	faultIncrement    = connectionFault(codeProtocol, "RFC 9113 6.9", "window increment of 0")
	faultFlow         = connectionFault(codeFlowControl, "RFC 9113 6.9.1", "DATA beyond the window")
	faultCompression  = connectionFault(codeCompression, "RFC 9113 4.3", "malformed header block")
	faultDependency   = connectionFault(codeProtocol, "RFC 7540 5.3.1", "stream depends on itself")
	faultBudget       = connectionFault(codeEnhanceYourCalm, "RFC 9113 10.5", "over budget")
	faultAbandoned    = connectionFault(codeEnhanceYourCalm, "RFC 9113 10.5", "too many requests abandoned")
	faultBlock        = connectionFault(codeEnhanceYourCalm, "RFC 9113 10.5.1", "header block is too large")
	faultHeadSlow     = connectionFault(codeEnhanceYourCalm, "RFC 9110 15.5.9", "head is too slow")
)

// Faults of streams.
var (
	streamTooMany   = &fault{codeRefusedStream, http1.Refusal{Section: "RFC 9113 5.1.2", Reason: "too many streams"}}
	streamHeads     = &fault{codeRefusedStream, http1.Refusal{Section: "RFC 9113 10.5.1", Reason: "heads at once are too large"}}
	streamFlow      = &fault{codeFlowControl, http1.Refusal{Section: "RFC 9113 6.9.1", Reason: "HTTP/2: DATA beyond the stream's window"}}
	streamClosed    = &fault{codeStreamClosed, http1.Refusal{Section: "RFC 9113 5.1", Reason: "HTTP/2: frame behind the end of a stream"}}
	streamWindow    = &fault{codeFlowControl, http1.Refusal{Section: "RFC 9113 6.9.1", Reason: "HTTP/2: stream window overflow"}}
	streamIncrement = &fault{codeProtocol, http1.Refusal{Section: "RFC 9113 6.9", Reason: "HTTP/2: stream window increment of 0"}}
	streamLength    = &fault{codeProtocol, http1.Refusal{Section: "RFC 9113 8.1.1", Reason: "HTTP/2: DATA is not what Content-Length says"}}
	streamTrailers  = &fault{codeProtocol, http1.Refusal{Section: "RFC 9113 8.1", Reason: "HTTP/2: trailers without the end of the stream"}}
	streamDepends   = &fault{codeProtocol, http1.Refusal{Section: "RFC 7540 5.3.1", Reason: "HTTP/2: stream depends on itself"}}
	streamUnread    = &fault{codeCancel, http1.Refusal{Reason: "answer is read too slowly"}}
	streamHeld      = &fault{codeCancel, http1.Refusal{Status: 408, Section: "RFC 9110 15.5.9", Reason: "body is too slow"}}
)

// Refusals of requests, beside those of http1. Those of status 400 are malformed
// (RFC 9113 8.1.1) and reset the stream; the others are answered.
var (
	errPseudo        = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3", Reason: "unknown pseudo field"}
	errPseudoTwice   = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3", Reason: "pseudo field twice"}
	errPseudoLate    = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3", Reason: "pseudo field behind others"}
	errPseudoMissing = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3.1", Reason: "pseudo field is missing"}
	errScheme        = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3.1", Reason: "unknown scheme"}
	errAuthority     = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3.1", Reason: "authority is missing"}
	errHostTwice     = &http1.Refusal{Status: 400, Section: "RFC 9112 3.2", Reason: "more than one Host"}
	errHostDiffers   = &http1.Refusal{Status: 400, Section: "RFC 9113 8.3.1", Reason: "Host differs from the authority"}
	errLength        = &http1.Refusal{Status: 400, Section: "RFC 9110 8.6", Reason: "bad Content-Length"}
	errLengthTwice   = &http1.Refusal{Status: 400, Section: "RFC 9110 8.6", Reason: "more than one Content-Length"}
	errLengthAlone   = &http1.Refusal{Status: 400, Section: "RFC 9113 8.1.1", Reason: "Content-Length without DATA"}
	errTargetLong    = &http1.Refusal{Status: 414, Section: "RFC 9110 15.5.15", Reason: "target is too long"}
	errFieldCount    = &http1.Refusal{Status: 431, Section: "RFC 6585 5", Reason: "too many fields"}
	errHeadLarge     = &http1.Refusal{Status: 431, Section: "RFC 6585 5", Reason: "head is too large"}
	errBodyLarge     = &http1.Refusal{Status: 413, Section: "RFC 9110 15.5.14", Reason: "body is too large"}
	errBodySlow      = &http1.Refusal{Status: 408, Section: "RFC 9110 15.5.9", Reason: "body is too slow"}
	errBodyShort     = &http1.Refusal{Status: 400, Section: "RFC 9113 8.1.1", Reason: "body is incomplete"}
)

// Errors that handlers and finishers see.
var (
	errReset     = errors.New("send answer: the client reset the stream")
	errFaulty    = errors.New("send answer: the stream was reset for a fault of the client")
	errTooSlow   = errors.New("send answer: the client reads too slowly")
	errGone      = errors.New("send answer: the connection ended")
	errCut       = errors.New("send answer: its body is not as long as announced")
	errPanic     = errors.New("send answer: reading it panicked")
	errTrailer   = errors.New("send answer: a trailer cannot be sent")
	errInform    = errors.New("send informational response: status is not 1xx, or 101, or the answer has begun")
	errConnected = errors.New("serve connection: it is to be closed")
)
