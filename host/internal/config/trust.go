package config

import (
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/model"
)

// Trust is the rules about signatures.
func (p *Plugins) Trust() *signature.Rules {
	return &signature.Rules{Signers: p.Signers, Unsigned: p.Unsigned}
}

// Pull is how modules come over the network.
type Pull struct {
	Timeout      time.Duration         // of one pull, from the first byte to the last
	CAFile       string                // PEM file beside the system's roots
	PlainHTTP    []string              // registries on loopback that are asked by plain HTTP
	Proxy        string                // URL; empty is none
	DockerConfig string                // config.json with credentials; empty is none
	Credentials  map[string]Credential // by registry
}

// Credential is what a registry is shown.
type Credential struct {
	Username string
	Password Secret
}

var (
	idPattern = matched(`^[a-z0-9*?][a-z0-9_.*?-]{0,63}$`, "a pattern of plugin ids: lower-case letters, digits, _.- and * and ?", nil)
	loopback  = matched(`^(.*):[0-9]{1,5}$`, `a loopback address "host:port": nothing else goes without TLS`, func(s string) bool {
		return isAddress(s) && model.IsLoopback(s)
	})
	proxy = matched(`^(https?://[^\s/]+)?$`, "an http or https URL without a path", func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && (s == "" || u.Hostname() != "")
	})
)

// patterns are the ids that a rule is about, at least one.
func patterns(rule document.Value) []string {
	ids := list(idPattern, false).read(rule.Field("plugins"))
	if rule.Field("plugins").IsList() && len(ids) == 0 {
		rule.Field("plugins").Report("no pattern", "at least one plugin id or pattern")
	}
	return ids
}

var patternSchema = object{"type": "array", "minItems": 1, "items": idPattern.schema}

var signers = kind[[]signature.Signer]{
	literal: plain,
	schema: object{"type": "array", "items": object{"type": "object", "additionalProperties": false,
		"required": []string{"plugins"},
		"properties": object{
			"keys":      object{"type": "array", "items": object{"type": "string"}, "description": "Public keys as minisign prints them."},
			"key_files": object{"type": "array", "items": path.schema, "description": "Public keys as files."},
			"plugins":   patternSchema}}},
	read: func(v document.Value) []signature.Signer {
		var all []signature.Signer
		for rule := range v.Items() {
			rule.Only("keys", "key_files", "plugins")
			rule.Require("plugins")
			s := signature.Signer{Rule: rule.Path(), Plugins: patterns(rule)}
			for text := range rule.Field("keys").Items() {
				s.Keys = addKey(s.Keys, text, text.Text())
			}
			for file := range rule.Field("key_files").Items() {
				if name := path.read(file); name != "" {
					data, err := readKey(name)
					if err != nil {
						file.Report(file.String()+" ("+err.Error()+")", "a public key file of minisign")
						continue
					}
					s.Keys = addKey(s.Keys, file, data)
				}
			}
			if rule.IsObject() && empty(rule.Field("keys")) && empty(rule.Field("key_files")) {
				rule.Report("a signer without keys", "keys or key_files")
			}
			all = append(all, s)
		}
		return all
	},
}

// empty tells whether v is absent or a list of nothing.
func empty(v document.Value) bool {
	for range v.Items() {
		return false
	}
	return !v.Exists() || v.IsList()
}

// maxKeyFile is longer than any public key with its comment.
const maxKeyFile = 4 << 10

func readKey(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return "", &os.PathError{Op: "read", Path: name, Err: os.ErrInvalid}
	}
	data, err := os.ReadFile(name)
	return string(data), err
}

func addKey(keys []signature.Key, at document.Value, text string) []signature.Key {
	key, err := signature.ParseKey(text)
	if err != nil {
		if text != "" { // else it is told already
			at.Report(at.String()+" ("+err.Error()+")", "a public key as minisign prints it")
		}
		return keys
	}
	return append(keys, key)
}

var origins = []string{string(signature.Dir), string(signature.File), string(signature.HTTPS), string(signature.OCI)}

var unsigned = kind[[]signature.Unsigned]{
	literal: plain,
	schema: object{"type": "array", "items": object{"type": "object", "additionalProperties": false,
		"required":   []string{"plugins", "from"},
		"properties": object{"plugins": patternSchema, "from": object{"type": "array", "minItems": 1, "items": choice(origins...).schema}}}},
	read: func(v document.Value) []signature.Unsigned {
		var all []signature.Unsigned
		for rule := range v.Items() {
			rule.Only("plugins", "from")
			rule.Require("plugins", "from")
			u := signature.Unsigned{Rule: rule.Path(), Plugins: patterns(rule)}
			for _, from := range list(choice(origins...), false).read(rule.Field("from")) {
				u.From = append(u.From, signature.Origin(from))
			}
			all = append(all, u)
		}
		return all
	},
}

var registryName = regexp.MustCompile(`^[a-z0-9.\[\]:-]+$`)

var credentials = kind[map[string]Credential]{
	literal: plain,
	schema: object{"type": "object", "propertyNames": object{"pattern": registryName.String()},
		"additionalProperties": object{"type": "object", "additionalProperties": false, "required": []string{"username", "password"},
			"properties": object{"username": object{"type": "string"}, "password": object{"type": "string"}}}},
	read: func(v document.Value) map[string]Credential {
		all := map[string]Credential{}
		for registry, c := range v.Fields() {
			if !registryName.MatchString(registry) || strings.Contains(registry, "..") {
				c.AtKey().Report("", "a registry, host or host:port, in lower case")
			}
			c.Only("username", "password")
			c.Require("username", "password")
			password := c.Field("password")
			if password.Exists() && !password.IsText() { // the value is not shown
				password.Report("no text", "a text, best a reference ${env:NAME} or ${file:/path}")
				continue
			}
			all[registry] = Credential{Username: c.Field("username").Text(), Password: Secret{password.Text()}}
		}
		return all
	},
}
