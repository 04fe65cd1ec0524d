package host

import (
	"encoding/json"
	"errors"

	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/document"
)

// Config is the process configuration; [Load] makes it and nobody changes it afterwards.
type Config = config.Config

// LoadOptions say where the configuration comes from. Flags win over the environment, the
// environment over the file, the file over the defaults.
type LoadOptions struct {
	// File is wasmgate.yaml; empty is none.
	File string
	// Set is the flags: values by key, such as listen.https.
	Set map[string]string
	// Environ is NAME=value pairs; nil is the process's environment.
	Environ []string
}

// Load reads the process file. Everything that is wrong in it is one *[ConfigErrors].
func Load(o LoadOptions) (*Config, error) {
	c, err := config.Load(config.Options{File: o.File, Set: o.Set, Environ: o.Environ})
	if err != nil {
		return nil, configErrors(err)
	}
	return c, nil
}

// LoadAdmin reads only what it takes to talk to a running gateway, Listen.Admin and DataDir,
// and no more is in the Config: a gateway that refuses its files must still be asked why.
// What else is wrong in them does not matter. Ignored says why a file that cannot be
// parsed was taken for none.
func LoadAdmin(o LoadOptions) (c *Config, ignored, err error) {
	c, ignored, err = config.LoadAdmin(config.Options{File: o.File, Set: o.Set, Environ: o.Environ})
	return c, ignored, configErrors(err)
}

// Schema is the JSON Schema of the process file.
func Schema() []byte { return config.Schema() }

// ConfigErrors is everything that is wrong in the configuration: the process file, the
// API documents, the plugins and their policies.
type ConfigErrors struct {
	problems document.Errors
	refused  []refusedPlugin
}

// Error is one line for each problem: "file:line:column: key.path: got X, want Y".
func (e *ConfigErrors) Error() string { return e.problems.Error() }

// JSON is a list of objects with file, line, column, path, got and want.
func (e *ConfigErrors) JSON() []byte {
	data, err := json.Marshal(e.problems)
	if err != nil {
		panic("encode problems: " + err.Error()) // strings and numbers
	}
	return data
}

// configErrors makes a *ConfigErrors of err when there are problems in it.
func configErrors(err error) error {
	if problems, ok := errors.AsType[document.Errors](err); ok {
		return &ConfigErrors{problems: problems}
	}
	return err
}

// shown is err as it may leave the package: without the values of references, which are
// credentials often enough, and which errors of the operating system tell.
func shown(c *Config, err error) error {
	if err == nil {
		return nil
	}
	err = configErrors(err)
	if e, ok := errors.AsType[*ConfigErrors](err); ok {
		for i, p := range e.problems {
			p.File, p.Path, p.Got, p.Want = c.Scrub(p.File), c.Scrub(p.Path), c.Scrub(p.Got), c.Scrub(p.Want)
			e.problems[i] = p
		}
	}
	if text := c.Scrub(err.Error()); text != err.Error() {
		return &scrubbed{text, err}
	}
	return err
}

// scrubbed is an error with another text.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.err }
