package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
)

// Page is what a reviewer must know of a module. Its JSON is stable: keys are added, none
// changes its meaning. Sizes are in bytes.
type Page struct {
	Digest string `json:"digest"` // "sha256:" and hex, of the file's bytes
	Size   int    `json:"size"`
	// Refused is why the gateway does not take the module; empty when it does.
	Refused string `json:"refused,omitempty"`
	// ABI is the interface: "wasmgate v1", "proxy-wasm" or "http-wasm".
	ABI      string    `json:"abi,omitempty"`
	Manifest *Manifest `json:"manifest,omitempty"` // nil when the module has none
	// Signatures stand beside the module; nobody verified them unless Verified says so.
	Signatures []Signature `json:"signatures"`
	// Powers are all that the module can do outside its own memory.
	Powers []Power `json:"powers"`
	// Shims are functions of WASI, for language runtimes: inert, no files, sockets or
	// environment.
	Shims []string `json:"shims"`
	// Unknown are imports that are neither; such a module is refused.
	Unknown []string `json:"unknown_imports,omitempty"`
	Hooks   []Hook   `json:"hooks"`
	Memory  Memory   `json:"memory"`
	Stack   Stack    `json:"stack"`
	Code    Code     `json:"code"`
	Exports []string `json:"exports"`
	Cases   []Case   `json:"cases,omitempty"`
	// Notes are what else a reviewer should know of this page.
	Notes []string `json:"notes,omitempty"`
}

// Manifest is what the module says of itself. Nobody checked that its words are true; hooks,
// masks and wants are enforced.
type Manifest struct {
	ID           string `json:"id"`
	Version      string `json:"version"`
	Description  string `json:"description,omitempty"`
	ConfigSchema bool   `json:"config_schema"` // it has one, and configs are held against it
	Wants        []Want `json:"wants"`
}

// Want is a grant that the module asks for.
type Want struct {
	Capability string `json:"capability"`
	Grant      string `json:"grant,omitempty"` // the key in a policy's grants
	Reason     string `json:"reason"`
}

// Signature is a signature that was found with the module.
type Signature struct {
	File  string `json:"file"`
	KeyID string `json:"key_id,omitempty"`
	// ID, Version and Signed are what the signer says.
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	Signed  string `json:"signed,omitempty"`
	// Verified says that a key that was given made it for this module.
	Verified bool   `json:"verified"`
	Error    string `json:"error,omitempty"`
}

// Power is one thing that the module may do, with the imports that it comes by.
type Power struct {
	Power   string   `json:"power"` // follows "the plugin": "may call HTTP hosts that the policy grants"
	Imports []string `json:"imports"`
	Grant   string   `json:"grant,omitempty"`  // the key in a policy's grants that bounds it
	Reason  string   `json:"reason,omitempty"` // the manifest's, for the grant
}

// Hook is one decision that the module takes.
type Hook struct {
	Hook string `json:"hook"`
	Does string `json:"does,omitempty"` // what it decides, in words
	// Sees is what it is shown, in words; empty for other projects' modules, which see all.
	Sees []string `json:"sees,omitempty"`
	Mask *Mask    `json:"mask,omitempty"`
}

// Mask is Sees for machines.
type Mask struct {
	Fields []string `json:"fields"`
	// Headers, QueryParams and ResponseHeaders are the names shown of those fields; nil is all.
	Headers         []string `json:"headers,omitempty"`
	QueryParams     []string `json:"query_params,omitempty"`
	ResponseHeaders []string `json:"response_headers,omitempty"`
	Body            Body     `json:"body"`
	ResponseBody    Body     `json:"response_body"`
}

// Body is how much of a body is shown: mode none, prefix or full, up to Max bytes.
type Body struct {
	Mode string `json:"mode"`
	Max  int    `json:"max,omitempty"`
}

// Memory is the linear memory of one instance; Max is nil when the module sets no limit of
// its own. The policy's limit holds in any case.
type Memory struct {
	Min int64  `json:"min"`
	Max *int64 `json:"max"`
}

// Stack is the native stack of calls.
type Stack struct {
	// Frames estimates the deepest chain of calls that is not counted; Recursive says that
	// calls can form a cycle, whose stack is counted and ends at Limit.
	Frames    int  `json:"frames"`
	Recursive bool `json:"recursive"`
	Limit     int  `json:"limit"`
}

// Code is what the module is made of.
type Code struct {
	Functions         int     `json:"functions"`
	ImportedFunctions int     `json:"imported_functions"`
	CodeBytes         int     `json:"code_bytes"`
	DataBytes         int     `json:"data_bytes"`
	CustomBytes       int     `json:"custom_bytes"`
	CustomSections    []Bytes `json:"custom_sections"`
	Globals           int     `json:"globals"`
	MutableGlobals    int     `json:"mutable_globals"`
	Tables            []Table `json:"tables"`
	StartFunction     bool    `json:"start_function"` // code that runs before any call
}

// Bytes is a custom section.
type Bytes struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// Table is a table of references; Max is nil when there is none.
type Table struct {
	Min int64  `json:"min"`
	Max *int64 `json:"max"`
}

// Case is what one of the module's case files came to.
type Case struct {
	File  string `json:"file"`
	Name  string `json:"name"`
	Hook  string `json:"hook"`
	OK    bool   `json:"ok"`
	Fuel  uint64 `json:"fuel"`
	Error string `json:"error,omitempty"`
}

// Foreign is an ABI of another project.
type Foreign struct {
	*guest.ABI
	// IsCallback tells whether an export takes part in requests.
	IsCallback func(export string) bool
}

// maxFaults is how many imports an error names: a short module may have a thousand.
const maxFaults = 16

// own is what pages call our ABI.
const own = "wasmgate v1"

// Read reads a module. Refused has what can be said without compiling it.
func Read(wasm []byte, foreign []Foreign) *Page {
	sum := sha256.Sum256(wasm)
	p := &Page{Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(wasm), Signatures: []Signature{},
		Powers: []Power{}, Shims: []string{}, Hooks: []Hook{}, Exports: []string{}}
	p.Code.CustomSections, p.Code.Tables = []Bytes{}, []Table{}
	facts, measured := fuel.Measure(wasm)
	p.measure(&facts)
	shape, err := abi.Inspect(wasm)
	if err != nil {
		p.Refused = err.Error()
		return p
	}
	for _, e := range shape.Exports {
		p.Exports = append(p.Exports, e.Name)
	}
	for _, f := range foreign {
		if f.Match(shape) {
			p.readForeign(shape, f)
			p.refuse(errors.Join(p.unknownImports(), measured))
			return p
		}
	}
	p.ABI = own
	manifest, found, err := abi.ReadManifest(wasm)
	if found && manifest != nil {
		p.Manifest = describe(manifest)
	}
	p.readImports(shape, manifest)
	p.readHooks(shape, manifest, found)
	p.refuse(errors.Join(err, shape.Check(manifest), p.unknownImports(), measured))
	return p
}

// unknownImports refuses imports outside our names, which the check of the shape leaves to
// the engine.
func (p *Page) unknownImports() error {
	var faults []error
	for _, name := range p.Unknown {
		if len(faults) < maxFaults && !strings.HasPrefix(name, "wasmgate.") {
			faults = append(faults, fmt.Errorf("import refused: %q is unknown", name))
		}
	}
	return errors.Join(faults...)
}

func (p *Page) refuse(err error) {
	if err != nil {
		p.Refused = err.Error()
	}
}

func (p *Page) measure(f *fuel.Facts) {
	p.Stack = Stack{f.Frames, f.Recursive, guest.StackBytes}
	c := &p.Code
	c.Functions, c.ImportedFunctions, c.CodeBytes, c.DataBytes, c.CustomBytes = f.Functions, f.Imported, f.Code, f.Data, f.Custom
	c.Globals, c.MutableGlobals, c.StartFunction = f.Globals, f.Mutable, f.Start
	for _, s := range f.Customs {
		c.CustomSections = append(c.CustomSections, Bytes(s))
	}
	limit := func(max, unit int64) *int64 {
		if max < 0 {
			return nil
		}
		max *= unit
		return &max
	}
	for _, t := range f.Tables {
		c.Tables = append(c.Tables, Table{t.Min, limit(t.Max, 1)})
	}
	for _, m := range f.Memories {
		p.Memory = Memory{m.Min << 16, limit(m.Max, 1<<16)}
	}
}

func describe(m *abi.Manifest) *Manifest {
	out := &Manifest{ID: m.ID, Version: m.Version, Description: m.Description, ConfigSchema: m.ConfigSchema != nil, Wants: []Want{}}
	for _, w := range m.Wants {
		out.Wants = append(out.Wants, Want{w.Capability, grantOf(w.Capability), w.Reason})
	}
	return out
}

// grantOf is the grant that bounds the capabilities of an import module.
func grantOf(module string) string {
	for c := range abi.Capabilities() {
		if c.Module() == module && c.Grant() != "" {
			return c.Grant()
		}
	}
	return ""
}

func (p *Page) readImports(shape *abi.Module, manifest *abi.Manifest) {
	for _, i := range shape.Imports {
		name := i.Module + " " + i.Name
		c, known := abi.CapabilityOf(i.Module, i.Name)
		switch {
		case known:
			power := Power{Power: c.Power(), Imports: []string{name}, Grant: c.Grant()}
			if manifest != nil && power.Grant != "" {
				for _, w := range manifest.Wants {
					if w.Capability == i.Module {
						power.Reason = w.Reason
					}
				}
			}
			p.add(power)
		case guest.IsShim(i.Module):
			p.shim(i)
		default:
			p.unknown(name)
		}
	}
}

// add puts a power on the page, or its imports to the same power that is there.
func (p *Page) add(power Power) {
	for i := range p.Powers {
		if q := &p.Powers[i]; q.Power == power.Power {
			if !slices.Contains(q.Imports, power.Imports[0]) {
				q.Imports = append(q.Imports, power.Imports[0])
			}
			return
		}
	}
	p.Powers = append(p.Powers, power)
}

func (p *Page) shim(i abi.Import) {
	if !slices.Contains(p.Shims, i.Name) {
		p.Shims = append(p.Shims, i.Name)
	}
}

func (p *Page) unknown(name string) {
	if !slices.Contains(p.Unknown, name) {
		p.Unknown = append(p.Unknown, name)
	}
}

func (p *Page) readForeign(shape *abi.Module, f Foreign) {
	p.ABI = f.Name
	for _, i := range shape.Imports {
		function, known := f.Functions[i.Name]
		switch {
		case i.Module == f.Module && known:
			p.add(Power{Power: function.Power, Imports: []string{i.Module + " " + i.Name}})
		case guest.WASIPower(i.Module, i.Name) != "": // their clock and randomness are real
			p.add(Power{Power: guest.WASIPower(i.Module, i.Name), Imports: []string{i.Module + " " + i.Name}})
		case guest.IsShim(i.Module):
			p.shim(i)
		default:
			p.unknown(i.Module + " " + i.Name)
		}
	}
	for _, e := range shape.Exports {
		if f.IsCallback(e.Name) {
			p.Hooks = append(p.Hooks, Hook{Hook: e.Name})
		}
	}
	p.Notes = append(p.Notes, "plugins of "+f.Name+" have no field masks: each may see whole requests and responses, as its powers say")
}
