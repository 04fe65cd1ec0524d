package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	"github.com/wasmgate/wasmgate/host/internal/guest/proxywasm"
	"github.com/wasmgate/wasmgate/host/internal/inspect"
	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// The reviewer's page of a plugin, and what one version has that another had not.
type (
	PluginPage      = inspect.Page
	PluginCase      = inspect.Case
	PluginSignature = inspect.Signature
	PluginDiff      = inspect.Diff
)

// ReadPlugin reads what a module can do, without compiling or running it: Refused is what
// that shows.
func ReadPlugin(wasm []byte) *PluginPage {
	var foreign []inspect.Foreign
	for _, a := range foreignABIs() {
		f := inspect.Foreign{ABI: a, IsCallback: httpwasm.IsCallback}
		if a.Name != httpwasm.Name {
			f.IsCallback = proxywasm.IsCallback
		}
		foreign = append(foreign, f)
	}
	return inspect.Read(wasm, foreign)
}

// InspectOptions are for [InspectPlugin].
type InspectOptions struct {
	// ID is what the plugin is called when it has no manifest.
	ID   string
	Wasm []byte
	// Signature is the file beside the module, File its name; nil is none.
	Signature     []byte
	SignatureFile string
	// Keys are public keys that the signature is verified with; without any it is not.
	Keys []string
	// Cases are run, by the files that they stand in.
	Cases []InspectCase
}

// InspectCase is a case and its file.
type InspectCase struct {
	File string
	*casefile.Case
}

// InspectPlugin is [ReadPlugin], and loads the module on the gateway's engine: Refused is
// what the gateway would say, and cases run under its limits. An error is of the engine; what
// is wrong with the module stands in the page.
func InspectPlugin(ctx context.Context, o InspectOptions) (*PluginPage, error) {
	p := ReadPlugin(o.Wasm)
	if o.Signature != nil {
		p.Signatures = append(p.Signatures, signatureOf(&o))
	}
	if p.Refused != "" {
		return p, nil
	}
	if foreign := p.Manifest == nil && len(p.Hooks) > 0 && p.Hooks[0].Mask == nil; foreign {
		if len(o.Cases) > 0 {
			p.Notes = append(p.Notes, "its cases are not run: plugins of "+p.ABI+" have no case files")
		}
		return p, load(ctx, p, &o)
	}
	bench, err := OpenWorkbench(ctx, WorkbenchOptions{ID: o.ID, Wasm: o.Wasm})
	if refused, ok := errors.AsType[*guest.Error](err); ok {
		p.Refused = refused.Err.Error()
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	for _, c := range o.Cases {
		outcome := bench.Run(ctx, c.Case)
		one := PluginCase{File: c.File, Name: c.Name, Hook: c.Hook.String(), OK: true, Fuel: outcome.Fuel}
		if err := outcome.Check(c.Case); err != nil {
			one.OK, one.Error = false, err.Error()
		}
		p.Cases = append(p.Cases, one)
	}
	return p, bench.Close(ctx)
}

// load compiles a module of another ABI.
func load(ctx context.Context, p *PluginPage, o *InspectOptions) error {
	engine, err := guest.New(ctx, guest.Options{ABIs: foreignABIs(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	module, err := engine.Compile(ctx, o.ID, o.Wasm)
	if refused, ok := errors.AsType[*guest.Error](err); ok {
		p.Refused, err = refused.Err.Error(), nil
	} else if err == nil {
		module.Release()
	}
	return errors.Join(err, engine.Close(ctx))
}

// signatureOf tells what the signature beside a module says, and whether it is good.
func signatureOf(o *InspectOptions) PluginSignature {
	s := PluginSignature{File: o.SignatureFile}
	parsed, err := signature.Parse(o.Signature)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	s.KeyID = parsed.KeyID()
	if c, err := parsed.Comment(); err != nil {
		s.Error = err.Error()
	} else if s.ID, s.Version = c.ID, c.Version; !c.Time.IsZero() {
		s.Signed = c.Time.Format(time.RFC3339)
	}
	if len(o.Keys) > 0 {
		if _, err := VerifyPlugin(o.Wasm, o.Signature, o.Keys); err != nil {
			s.Error = err.Error()
		} else {
			s.Verified = true
		}
	}
	return s
}

// ComparePlugins tells what now has that old had not, and the other way.
func ComparePlugins(old, now *PluginPage) *PluginDiff { return inspect.Compare(old, now) }

// WritePage writes a page as text, safe for terminals; file is its title. diff may be nil.
func WritePage(w io.Writer, file string, p *PluginPage, diff *PluginDiff) error {
	if err := inspect.WriteText(w, file, p); err != nil || diff == nil {
		return err
	}
	return inspect.WriteDiff(w, diff)
}
