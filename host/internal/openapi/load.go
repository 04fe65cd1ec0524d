package openapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

// GatewayFile is the name, without extension, of the document with the policies and keys
// of the whole gateway.
const GatewayFile = "_gateway"

// Options say how documents are read.
type Options struct {
	// Resolver resolves ${env:X} and ${file:/path}; with nil they are problems.
	Resolver *document.Resolver
	// Stage is the stage of a document that names none; empty is "$default".
	Stage string
	// MaxBytes is the longest document; 0 is 16 MiB.
	MaxBytes int
}

// Set is everything that a directory of documents says.
type Set struct {
	// APIs are in the order of the file names.
	APIs []*model.API
	// Policies are bound to all APIs, before their own.
	Policies []model.Policy
	// Keys are accepted by all APIs.
	Keys []model.APIKey
	// Warnings are what is not served and was left out.
	Warnings []document.Problem
	// Broken is the positions of policies that cannot be bound, since their plugin, config,
	// grants or an unknown key is among the problems. Plugin and Config are as written, or
	// empty when they are the problem; a list that could not be read is one empty policy.
	Broken map[model.Position]bool `json:"-"`
	// Digests is the SHA-256 of each file that was read, by its path.
	Digests map[string][sha256.Size]byte `json:"-"`
}

// Load reads one document under the name of its file. What is wrong in it is a
// [document.Errors].
func Load(file string, data []byte, o Options) (*model.API, []document.Problem, error) {
	d, err := document.Parse(file, data, o.document())
	if err != nil {
		return nil, nil, err
	}
	l := newLoader(d, o)
	api := l.api()
	if err := d.Err(); err != nil {
		return nil, l.warnings, err
	}
	return api, l.warnings, nil
}

func (o Options) document() document.Options {
	return document.Options{Resolver: o.Resolver, MaxBytes: o.MaxBytes}
}

// LoadDir reads every .yaml, .yml and .json file of dir whose name does not start with a
// dot. The problems of all of them, files that cannot be read among them, are one
// [document.Errors], beside which the set holds what could be read, so that the caller can
// look for more in it; the set is nil when dir cannot be read, which is any other error.
func LoadDir(dir string, o Options) (*Set, error) {
	files, err := documents(dir)
	if err != nil {
		return nil, err
	}
	parts, errs := make([]Set, len(files)), make([]error, len(files))
	// The goroutines end with their document; this function waits for them.
	var group sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, file := range files {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			parts[i], errs[i] = loadFile(file, o)
		})
	}
	group.Wait()
	set := &Set{Broken: make(map[model.Position]bool), Digests: make(map[string][sha256.Size]byte)}
	var problems document.Errors
	for i, part := range parts {
		var found document.Errors
		if errs[i] != nil && !errors.As(errs[i], &found) {
			if _, err := os.Lstat(files[i]); errors.Is(err, fs.ErrNotExist) {
				continue // removed after it was listed
			}
			found = document.Errors{{Position: model.Position{File: files[i]}, Got: errs[i].Error()}}
		}
		problems = append(problems, found...)
		set.APIs = append(set.APIs, part.APIs...)
		set.Policies = append(set.Policies, part.Policies...)
		set.Keys = append(set.Keys, part.Keys...)
		set.Warnings = append(set.Warnings, part.Warnings...)
		maps.Copy(set.Broken, part.Broken)
		maps.Copy(set.Digests, part.Digests)
	}
	problems = append(problems, conflicts(set.APIs)...)
	return set, problems.Err()
}

// documents is the files of dir that hold documents, by name.
func documents(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read API documents: %w", err)
	}
	var files []string
	for _, e := range entries {
		extensions := []string{".yaml", ".yml", ".json"}
		if strings.HasPrefix(e.Name(), ".") || !slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		info, err := os.Stat(file) // through links: a mounted ConfigMap is made of them
		if err != nil {
			if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
				continue // removed after it was listed
			}
			return nil, fmt.Errorf("read API documents: %w", err)
		}
		if info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files, nil
}

// loadFile returns what it could read, too, when there are problems.
func loadFile(file string, o Options) (Set, error) {
	isGateway := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) == GatewayFile
	d, err := document.Read(file, o.document())
	if err != nil {
		var part Set
		if isGateway { // it may have had a policy for every route
			at := model.Position{File: file}
			part.Policies, part.Broken = []model.Policy{{Position: at}}, map[model.Position]bool{at: true}
		}
		return part, err
	}
	l := newLoader(d, o)
	part := Set{Broken: l.broken, Digests: map[string][sha256.Size]byte{file: d.Digest}}
	if isGateway {
		part.Policies, part.Keys = l.gateway()
	} else if api := l.api(); api != nil {
		part.APIs = []*model.API{api}
	}
	part.Warnings = l.warnings
	return part, d.Err()
}

// conflicts finds addresses that two documents claim.
func conflicts(apis []*model.API) (problems document.Errors) {
	claimed := map[string]*model.API{}
	claim := func(api *model.API, path, what string) {
		if first := claimed[what]; first != nil {
			problems = append(problems, document.Problem{Position: api.Position, Path: path,
				Got: what + " of " + first.Position.String(), Want: "another one"})
			return
		}
		claimed[what] = api
	}
	for _, api := range apis {
		if api.ID == "" || api.Stage == "" {
			continue // they are among the problems
		}
		claim(api, apiKey+".id", fmt.Sprintf("the id %q and stage %q", api.ID, api.Stage))
		for _, domain := range api.Domains {
			claim(api, apiKey+".domains", fmt.Sprintf("the domain %q and base path %q", domain, api.BasePath))
		}
	}
	return problems
}

// loader reads one document.
type loader struct {
	doc      *document.Document
	root     document.Value
	options  Options
	warnings []document.Problem
	rest     bool // the API is a REST API

	stageVariables map[string]string
	schemes        map[string]*scheme
	told           map[string]bool // extensions that a warning named
	broken         map[model.Position]bool
}

func newLoader(d *document.Document, o Options) *loader {
	return &loader{doc: d, root: d.Root(), options: o, schemes: map[string]*scheme{}, told: map[string]bool{},
		broken: map[model.Position]bool{}}
}

// warn tells of something that is left out.
func (l *loader) warn(v document.Value, got, want string) {
	l.warnings = append(l.warnings, v.Problem(got, want))
}

// follow is what a local $ref in v points to, or v.
func (l *loader) follow(v document.Value) document.Value {
	for range 10 {
		ref := v.Field("$ref")
		if !ref.Exists() {
			return v
		}
		pointer, ok := strings.CutPrefix(ref.Text(), "#/")
		pointer, err := url.PathUnescape(pointer) // RFC 6901, section 6
		if !ok || err != nil {
			ref.Report("", "a reference into this document, such as #/components/...")
			return document.Value{}
		}
		at := l.root
		for step := range strings.SplitSeq(pointer, "/") {
			at = at.Field(strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
		if !at.Exists() {
			ref.Report("", "a reference to something that is there")
			return document.Value{}
		}
		v = at
	}
	v.Report("a $ref that leads through more than 10 others", "fewer")
	return document.Value{}
}

var notInID = regexp.MustCompile(`[^a-z0-9]+`)

// slug is the id of an API whose document gives none.
func slug(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	return strings.Trim(notInID.ReplaceAllString(strings.ToLower(name), "-"), "-")
}
