package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds. The first three are the log's own.
const (
	Genesis Kind = "genesis" // the first line: format, instance
	Segment Kind = "segment" // the first line of a later file: format, instance, number, previous
	Torn    Kind = "torn"    // the line before was cut off by a crash: bytes, sha256

	GatewayStarted Kind = "gateway_started"
	GatewayStopped Kind = "gateway_stopped"
	AdminCall      Kind = "admin_call" // somebody asked the admin plane for a change

	ConfigurationLoaded  Kind = "configuration_loaded"
	ConfigurationRefused Kind = "configuration_refused"

	PluginLoaded  Kind = "plugin_loaded"
	PluginRefused Kind = "plugin_refused"
	PluginSwapped Kind = "plugin_swapped"
	PluginRemoved Kind = "plugin_removed"

	PolicyBound   Kind = "policy_bound"
	PolicyUnbound Kind = "policy_unbound"
	GrantsChanged Kind = "grants_changed"

	Rollout Kind = "rollout" // a step of the rollout of a plugin's new version
)

// Event is something that happened, to be appended.
type Event struct {
	Kind Kind
	// Fields tell more: a map or struct whose JSON is an object; nil is none. Texts in them
	// pass [Options].Scrub. They must not change while they are appended.
	Fields any
}

// Head is the last line of a log, by which its end is known. The zero value is before the
// first line.
type Head struct {
	Seq  uint64
	Hash [sha256.Size]byte
}

// String is SEQ:HASH with the hash in hex, as [ParseHead] takes it.
func (h Head) String() string { return fmt.Sprintf("%d:%x", h.Seq, h.Hash) }

// ParseHead reads SEQ:HASH.
func ParseHead(text string) (Head, error) {
	number, hash, ok := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	raw, hexErr := hex.DecodeString(hash)
	if !ok || err != nil || hexErr != nil || seq == 0 || len(raw) != sha256.Size {
		return Head{}, fmt.Errorf("read head: got %q, want SEQ:HASH, a number from 1 and %d hex digits", text, 2*sha256.Size)
	}
	return Head{seq, [sha256.Size]byte(raw)}, nil
}

// record is one line.
type record struct {
	Seq    uint64          `json:"seq"`
	Time   string          `json:"time"`
	Kind   Kind            `json:"kind"`
	Fields json.RawMessage `json:"fields"`
	Prev   string          `json:"prev"`
	Hash   string          `json:"hash"`
}

const (
	hashKey  = `,"hash":"`
	hashTail = len(hashKey) + 2*sha256.Size + len(`"}`)
	layout   = "2006-01-02T15:04:05.000000Z"
)

// appendLine appends the line of e after head, with its newline, and gives the new head.
func appendLine(dst []byte, head Head, now time.Time, kind Kind, fields []byte) ([]byte, Head, error) {
	from := len(dst)
	dst = fmt.Appendf(dst, `{"seq":%d,"time":%q,"kind":%q,"fields":%s,"prev":"%x"}`,
		head.Seq+1, now.UTC().Format(layout), string(kind), fields, head.Hash)
	sum := sha256.Sum256(dst[from:])
	dst = append(dst[:len(dst)-1], hashKey...)
	dst = append(hex.AppendEncode(dst, sum[:]), `"}`...)
	if n := len(dst) - from; n > maxLine {
		return nil, Head{}, fmt.Errorf("event %q is a line of %d bytes, want at most %d", kind, n, maxLine)
	}
	return append(dst, '\n'), Head{head.Seq + 1, sum}, nil
}

// parse reads one line without its newline. The hash comes first: what it does not cover
// need not be understood.
func parse(line []byte) (record, Head, error) {
	var r record
	at := len(line) - hashTail
	if at < 0 || string(line[at:at+len(hashKey)]) != hashKey || string(line[len(line)-2:]) != `"}` {
		return r, Head{}, errors.New(`it does not end with its hash: it was changed, or is no line of this log`)
	}
	h := sha256.New()
	h.Write(line[:at])
	h.Write([]byte("}"))
	sum := [sha256.Size]byte(h.Sum(nil))
	if said := line[at+len(hashKey) : len(line)-2]; string(said) != hex.EncodeToString(sum[:]) {
		return r, Head{}, fmt.Errorf("it says the hash %q, and its bytes have %x: it was changed", said, sum)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, Head{}, fmt.Errorf("it is no line of this log: %w", err)
	}
	if again, err := r.canonical(); err != nil || !bytes.Equal(again, line[:at]) {
		return r, Head{}, errors.New("its encoding is not canonical: another program wrote it")
	}
	return r, Head{r.Seq, sum}, nil
}

// canonical is the line without its hash.
func (r *record) canonical() ([]byte, error) {
	fields, err := canonical(r.Fields, func(s string) string { return s })
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"seq":%d,"time":%q,"kind":%q,"fields":%s,"prev":%q`, r.Seq, r.Time, string(r.Kind), fields, r.Prev), nil
}

// canonical is an object's JSON with members sorted and without blanks, all texts scrubbed.
func canonical(object any, scrub func(string) string) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree map[string]any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	if tree == nil {
		tree = map[string]any{}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err = enc.Encode(scrubbed(tree, scrub))
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func scrubbed(v any, scrub func(string) string) any {
	switch v := v.(type) {
	case string:
		return scrub(v)
	case []any:
		for i := range v {
			v[i] = scrubbed(v[i], scrub)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[scrub(key)] = scrubbed(value, scrub)
		}
		return out
	}
	return v
}
