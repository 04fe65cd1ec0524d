package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

var (
	pluginForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,127}$`)
	hashForm     = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	upstreamForm = regexp.MustCompile(`^(https?://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$`)
	digestForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	recordForm   = regexp.MustCompile(`^((header|response_header|param|path_param|cookie|context|stage_variable|claim)\.[^\x00-\x20]{1,128}|principal|api_key_id|source_ip|body|response_body|config)$`)
	keyForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}$`)
)

// policies reads x-wasmgate-policies.
func (l *loader) policies(v document.Value) []model.Policy {
	var policies []model.Policy
	for item := range v.Items() {
		policies = append(policies, l.policy(item))
	}
	if v.Exists() && !v.IsList() {
		policies = append(policies, l.lost(v.Position()))
	}
	return policies
}

// lost stands for policies that could not be read.
func (l *loader) lost(at model.Position) model.Policy {
	l.broken[at] = true
	return model.Policy{Position: at}
}

func (l *loader) policy(item document.Value) model.Policy {
	before := l.doc.Count()
	item.Only("plugin", "source", "digest", "config", "grants", "on_error", "isolation", "fuel", "memory", "record")
	item.Require("plugin")
	p := model.Policy{Position: item.Position()}
	p.Plugin = item.Field("plugin").Match(pluginForm, "a plugin's id: lower-case letters, digits and _.-")
	var sourced bool
	if p.Source, p.Digest, sourced = source(item); !sourced {
		p.Plugin = "" // it is not the one of that name elsewhere
	}
	beforeConfig := l.doc.Count()
	if p.Config = item.Field("config").JSON(); l.doc.Count() > beforeConfig {
		p.Config = nil
	}
	p.Grants = grants(item.Field("grants"))
	if l.doc.Count() > before {
		l.broken[p.Position] = true
	}
	// What follows, when it is wrong, leaves a policy that can be bound to see what else is.
	p.OnError = item.Field("on_error").OneOf(model.OnErrorDeny, model.OnErrorSkip, model.OnErrorFail)
	p.Isolation = item.Field("isolation").OneOf(model.IsolationPooled, model.IsolationFresh)
	p.Fuel = uint64(item.Field("fuel").Int(1000, 1e15))
	p.Memory = uint64(item.Field("memory").Size(64<<10, 4<<30))
	p.Record = record(item.Field("record"))
	return p
}

// source reads where a module is, and what it must be. A relative file starts where the
// document is. What comes by https has a digest: nothing else would say what it is.
func source(item document.Value) (s model.Source, digest string, ok bool) {
	at := item.Field("source")
	digest = item.Field("digest").Match(digestForm, `"sha256:" and 64 lower-case hexadecimal digits`)
	if !at.Exists() {
		return s, digest, true
	}
	text := at.Text()
	if !at.IsText() {
		return s, digest, false // told by Text
	}
	s, err := model.ParseSource(text)
	if bad, ok := errors.AsType[*model.SourceError](err); ok {
		at.Report("", bad.Want)
		return model.Source{}, digest, false
	}
	if s.Scheme == model.SourceHTTPS && !item.Field("digest").Exists() {
		at.Report("an https source without a digest", "a digest beside it: the module's, as sha256sum prints it")
	}
	return s.Under(filepath.Dir(item.Position().File)), digest, true
}

// record reads what is recorded: all calls, up to 60 a minute, unless it says otherwise.
func record(v document.Value) *model.Record {
	if !v.Exists() {
		return nil
	}
	v.Only("sample", "max", "redact", "reveal")
	r := &model.Record{Sample: 1, Max: 60}
	if s := v.Field("sample"); s.Exists() {
		r.Sample = s.Float(0, 1)
	}
	if m := v.Field("max"); m.Exists() {
		r.Max = int(m.Int(1, 6000))
	}
	r.Redact, r.Reveal = selectors(v.Field("redact")), selectors(v.Field("reveal"))
	return r
}

func selectors(v document.Value) (list []string) {
	for each := range v.Elements() {
		list = append(list, each.Match(recordForm, "header.NAME, response_header.NAME, param.NAME, path_param.NAME, cookie.NAME, context.NAME, stage_variable.NAME, claim.NAME, principal, api_key_id, source_ip, body, response_body or config"))
	}
	return list
}

func grants(v document.Value) model.Grants {
	if !v.Exists() {
		return model.Grants{}
	}
	v.Only("http", "kv", "secrets", "jwks")
	g := model.Grants{KV: v.Field("kv").Texts(), Secrets: v.Field("secrets").Texts(), JWKS: v.Field("jwks").Texts()}
	if http := v.Field("http"); http.IsObject() {
		g.HTTP, g.Upstreams = upstreams(http)
	} else {
		g.HTTP = http.Texts()
	}
	return g
}

// upstreams reads hosts by name; a host without a scheme is called by https.
func upstreams(v document.Value) (hosts []string, names map[string]string) {
	names = map[string]string{}
	for name, url := range v.Fields() {
		text := url.Match(upstreamForm, "https://host:port or http://host:port, without a path")
		if !strings.Contains(text, "://") {
			text = "https://" + text
		}
		hosts, names[name] = append(hosts, text), text
	}
	return hosts, names
}

// apiKeys reads x-wasmgate-keys. A value is hashed at once and never shown.
func (l *loader) apiKeys(v document.Value) []model.APIKey {
	var keys []model.APIKey
	ids, hashes := map[string]bool{}, map[[32]byte]string{}
	for item := range v.Items() {
		item.Only("id", "value", "sha256", "disabled", "usage_plan")
		item.Require("id")
		key := model.APIKey{Position: item.Position()}
		key.ID = item.Field("id").Match(keyForm, "letters, digits and _.@-")
		key.SHA256 = hash(item)
		key.Disabled = item.Field("disabled").Bool()
		key.UsagePlan = item.Field("usage_plan").Match(keyForm, "letters, digits and _.@-")
		if ids[key.ID] {
			item.Report(fmt.Sprintf("the id %q again", key.ID), "each id once")
		}
		if other, ok := hashes[key.SHA256]; ok && key.SHA256 != [32]byte{} {
			item.Report(fmt.Sprintf("the value of the key %q again", other), "each value once")
		}
		ids[key.ID], hashes[key.SHA256] = true, key.ID
		keys = append(keys, key)
	}
	return keys
}

// hash is the hash of a key's value, which stands there itself or as its hash.
func hash(item document.Value) (sum [32]byte) {
	value, digest := item.Field("value"), item.Field("sha256")
	switch {
	case value.Exists() == digest.Exists():
		item.Report("an API key", "either value or sha256")
	case digest.Exists():
		// The form leaves no error, and no form leaves no hash.
		_, _ = hex.Decode(sum[:], []byte(digest.Match(hashForm, "64 hexadecimal digits, in quotes")))
	case !value.IsText():
		value.Report("no text", "a text of 20 to 128 characters, best a reference ${env:NAME} or ${file:/path}")
	default:
		text, ok := value.Scalar()
		if ok && (len(text) < 20 || len(text) > 128) { // Amazon's bounds
			value.Report(fmt.Sprintf("a value of %d characters", len(text)), "20 to 128")
		}
		sum = sha256.Sum256([]byte(text))
	}
	return sum
}
