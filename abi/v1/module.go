package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Module is what a Wasm module shows from outside: its imports and exports.
type Module struct {
	Imports []Import
	Exports []Export
}

// Import is one entry of the import section. Kind is the binary format's: 0 is a function.
type Import struct {
	Module, Name string
	Kind         byte
}

// Export is one entry of the export section. Kind is the binary format's: 0 is a
// function, 2 a memory.
type Export struct {
	Name string
	Kind byte
}

const (
	sectionCustom = 0
	sectionImport = 2
	sectionExport = 7

	kindFunction = 0
	kindMemory   = 2

	// Two bytes make a section and four an import: without bounds a short module takes
	// gigabytes to look at, and its faults as much of the log.
	maxSections = 1 << 10
	maxImports  = 1 << 10
	maxExports  = 1 << 14
	maxName     = 1 << 10
	maxFaults   = 16
)

// section is one section: all of its bytes, and those after its id and size.
type section struct {
	id        byte
	all, body []byte
}

// sections cuts a module. It checks the preamble and the sections' sizes, not what
// stands in them: that is the engine's.
func sections(wasm []byte) (out []section, err error) {
	const preamble = "\x00asm\x01\x00\x00\x00"
	if len(wasm) < len(preamble) || string(wasm[:len(preamble)]) != preamble {
		return nil, errors.New("not a Wasm module of version 1")
	}
	for rest := wasm[len(preamble):]; len(rest) > 0; {
		r := reader{b: rest[1:]}
		body := r.bytes(uint64(r.u32()))
		if r.err != nil {
			return nil, fmt.Errorf("section %d is cut off", rest[0])
		}
		if len(out) == maxSections {
			return nil, fmt.Errorf("more than %d sections", maxSections)
		}
		n := len(rest) - len(r.b)
		out = append(out, section{rest[0], rest[:n], body})
		rest = rest[n:]
	}
	return out, nil
}

// Inspect reads the import and export sections.
func Inspect(wasm []byte) (*Module, error) {
	list, err := sections(wasm)
	if err != nil {
		return nil, fmt.Errorf("inspect module: %w", err)
	}
	m := &Module{}
	for _, s := range list {
		r := reader{b: s.body}
		switch s.id {
		case sectionImport:
			for n := r.count("imports", maxImports); n > 0 && r.err == nil; n-- {
				i := Import{Module: r.name(), Name: r.name(), Kind: r.byte()}
				r.skipImport(i.Kind)
				m.Imports = append(m.Imports, i)
			}
		case sectionExport:
			for n := r.count("exports", maxExports); n > 0 && r.err == nil; n-- {
				e := Export{Name: r.name(), Kind: r.byte()}
				r.u32()
				m.Exports = append(m.Exports, e)
			}
		}
		if r.err != nil {
			return nil, fmt.Errorf("inspect module: section %d: %w", s.id, r.err)
		}
	}
	return m, nil
}

// Exported tells whether there is a function of that name.
func (m *Module) Exported(name string) bool {
	return slices.Contains(m.Exports, Export{name, kindFunction})
}

// Check refuses a module that does not keep the contract or is not what its manifest
// says: no marker, scratch or memory; an unknown hook or capability; hooks exported and
// not listed, or listed and not exported; capabilities imported and not asked for, or
// asked for and not imported. man may be nil. The error has the first 16 faults.
func (m *Module) Check(man *Manifest) error {
	var faults []error
	fault := func(format string, args ...any) {
		if len(faults) == maxFaults {
			return
		}
		faults = append(faults, fmt.Errorf("check module: "+format, args...))
	}
	for _, name := range []string{Marker, Scratch} {
		if !m.Exported(name) {
			fault("it does not export the function %q", name)
		}
	}
	if !slices.Contains(m.Exports, Export{Memory, kindMemory}) {
		fault("it does not export its memory as %q", Memory)
	}
	hooks := map[string]Hook{}
	for h := range Hooks() {
		hooks[h.Export()] = h
		if man == nil || h == HookConfigure {
			continue
		}
		if _, listed := man.Hooks[h]; listed != m.Exported(h.Export()) {
			fault("hook %v: exported as %q: %t, listed in the manifest: %t", h, h.Export(), !listed, listed)
		}
	}
	for _, e := range m.Exports {
		_, ok := hooks[e.Name]
		switch {
		case strings.HasPrefix(e.Name, "wg_") && !ok && e.Name != Marker && e.Name != Scratch:
			fault("it exports %q, which is no hook of this version", e.Name)
		case ok && e.Kind != kindFunction:
			fault("it exports %q, which is no function", e.Name)
		}
	}
	imported := map[string]bool{}
	for _, i := range m.Imports {
		imported[i.Module] = true
		if !strings.HasPrefix(i.Module, "wasmgate.") {
			continue
		}
		c, ok := CapabilityOf(i.Module, i.Name)
		if !ok || i.Kind != kindFunction {
			fault("it imports %q %q, which is no capability of this version", i.Module, i.Name)
		} else if man != nil && c.Grant() != "" && !man.wanted(i.Module) {
			fault("it imports %q %q, which the manifest does not ask for", i.Module, i.Name)
		}
	}
	if man != nil {
		for _, w := range man.Wants {
			if !imported[w.Capability] {
				fault("the manifest asks for %q, which it does not import", w.Capability)
			}
		}
	}
	return errors.Join(faults...)
}

// ReadManifest reads the manifest of a module; found is false when it has none.
func ReadManifest(wasm []byte) (m *Manifest, found bool, err error) {
	list, err := sections(wasm)
	if err != nil {
		return nil, false, fmt.Errorf("read manifest: %w", err)
	}
	for _, s := range list {
		text, ok := s.manifest()
		if !ok {
			continue
		}
		if found {
			return nil, true, fmt.Errorf("read manifest: there are two sections %q", ManifestSection)
		}
		found = true
		if m, err = ParseManifest(text); err != nil {
			return nil, true, err
		}
	}
	return m, found, nil
}

// AppendManifest gives a copy of the module with the manifest in the place of any that
// it had. It refuses a manifest that [ParseManifest] refuses.
func AppendManifest(wasm, manifest []byte) ([]byte, error) {
	list, err := sections(wasm)
	if err != nil {
		return nil, fmt.Errorf("append manifest: %w", err)
	}
	if _, err := ParseManifest(manifest); err != nil {
		return nil, fmt.Errorf("append manifest: %w", err)
	}
	out := slices.Clone(wasm[:8])
	for _, s := range list {
		if _, ok := s.manifest(); !ok {
			out = append(out, s.all...)
		}
	}
	body := binary.AppendUvarint(nil, uint64(len(ManifestSection)))
	body = append(append(body, ManifestSection...), manifest...)
	out = append(out, sectionCustom)
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...), nil
}

func (s section) manifest() (text []byte, ok bool) {
	if s.id != sectionCustom {
		return nil, false
	}
	r := reader{b: s.body}
	name := r.name()
	return r.b, r.err == nil && name == ManifestSection
}

// reader reads the binary format; after the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

var errCutOff = errors.New("it is cut off")

func (r *reader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = errCutOff
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// u32 is an unsigned LEB128 of at most five bytes.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if v |= uint64(c&0x7f) << shift; c < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	if r.err == nil {
		r.err = errors.New("number over 32 bits")
	}
	return 0
}

func (r *reader) name() string { return string(r.bytes(uint64(r.count("bytes of a name", maxName)))) }

// count is a u32 of at most limit.
func (r *reader) count(what string, limit uint32) uint32 {
	n := r.u32()
	if n > limit && r.err == nil {
		r.err = fmt.Errorf("%d %s, want at most %d", n, what, limit)
		return 0
	}
	return n
}

// skipImport skips what stands after an import's kind.
func (r *reader) skipImport(kind byte) {
	switch kind {
	case kindFunction:
		r.u32()
	case 1: // table: type and limits
		r.byte()
		r.skipLimits()
	case kindMemory:
		r.skipLimits()
	case 3: // global: type, mutability
		r.bytes(2)
	case 4: // tag: attribute, type
		r.byte()
		r.u32()
	default:
		r.err = fmt.Errorf("unknown import kind %d", kind)
	}
}

func (r *reader) skipLimits() {
	flags := r.byte()
	r.u32()
	if flags&1 != 0 { // there is a maximum
		r.u32()
	}
}
