package model

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Source is where a policy's module is to be had. The zero value is plugins.dir or the
// built-in plugins.
type Source struct {
	// Scheme is SourceFile, SourceHTTPS or SourceOCI.
	Scheme string
	// Path is the file, for SourceFile.
	Path string
	// URL is the whole URL, for SourceHTTPS.
	URL string
	// Registry is host or host:port, Repository the path in it, for SourceOCI.
	Registry, Repository string
	// Tag is what the publisher may move; empty where Digest says all.
	Tag string
	// Digest is the manifest's, "sha256:" and hex; empty where there is only a tag.
	Digest string
}

// The schemes of sources.
const (
	SourceFile  = "file"
	SourceHTTPS = "https"
	SourceOCI   = "oci"
)

// SourceError says what is wrong in a source.
type SourceError struct{ Got, Want string }

// Error is "got X, want Y".
func (e *SourceError) Error() string { return "got " + e.Got + ", want " + e.Want }

const sourceWant = "file:PATH, https://HOST/PATH, oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@sha256:HEX"

var (
	registryForm   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`) // OCI distribution-spec 1.1, "Pull"
	tagForm        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// ParseSource reads a source. What could be read in two ways, or would carry a credential
// into logs, is refused: user names, queries and fragments, upper case in registries. A
// relative file starts at the working directory; see [Source.Under]. The error is a [SourceError].
func ParseSource(text string) (Source, error) {
	bad := func(want string) (Source, error) { return Source{}, &SourceError{strconv.Quote(text), want} }
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return bad(sourceWant)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case SourceFile:
		if rest == "" || strings.HasPrefix(rest, "//") {
			return bad("file:PATH, without //")
		}
		return Source{Scheme: SourceFile, Path: filepath.Clean(rest)}, nil
	case SourceHTTPS:
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") || u.Path == "" || strings.HasSuffix(u.Path, "/") {
			return bad("https://HOST/PATH without user, query and fragment")
		}
		return Source{Scheme: SourceHTTPS, URL: text}, nil
	case SourceOCI:
		s, ok := parseOCI(strings.TrimPrefix(rest, "//"))
		if !ok || !strings.HasPrefix(rest, "//") {
			return bad("oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@sha256:HEX")
		}
		return s, nil
	}
	return bad(sourceWant)
}

func parseOCI(text string) (Source, bool) {
	s := Source{Scheme: SourceOCI}
	var rest string
	s.Registry, rest, _ = strings.Cut(text, "/")
	rest, s.Digest, _ = strings.Cut(rest, "@")
	s.Repository, s.Tag, _ = strings.Cut(rest, ":")
	ok := registryForm.MatchString(s.Registry) && len(s.Repository) <= 255 && repositoryForm.MatchString(s.Repository) &&
		(s.Digest != "" || s.Tag != "") && (s.Tag == "" || tagForm.MatchString(s.Tag)) && (s.Digest == "" || digestForm.MatchString(s.Digest)) &&
		!strings.HasSuffix(rest, ":") && !strings.HasSuffix(text, "@")
	return s, ok
}

// Under is s with a relative file taken from dir.
func (s Source) Under(dir string) Source {
	if s.Scheme == SourceFile && !filepath.IsAbs(s.Path) {
		s.Path = filepath.Join(dir, s.Path)
	}
	return s
}

// String is the source as [ParseSource] takes it; empty for the zero value.
func (s Source) String() string {
	switch s.Scheme {
	case SourceFile:
		return "file:" + s.Path
	case SourceHTTPS:
		return s.URL
	case SourceOCI:
		text := "oci://" + s.Registry + "/" + s.Repository
		if s.Tag != "" {
			text += ":" + s.Tag
		}
		if s.Digest != "" {
			text += "@" + s.Digest
		}
		return text
	}
	return ""
}

// IsDigest tells whether text is a digest as we write it: "sha256:" and 64 lower-case
// hexadecimal digits.
func IsDigest(text string) bool { return digestForm.MatchString(text) }

// IsLoopback tells whether host, or the host of host:port, is this machine by what it says:
// localhost or a loopback address.
func IsLoopback(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		if _, err := netip.ParseAddr(host); err != nil { // a port, and no IPv6 address
			host = host[:i]
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}
