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

// Schema is the JSON Schema of the process file.
func Schema() []byte { return config.Schema() }

// ConfigErrors is everything that is wrong in the configuration: the process file, the
// API documents, the plugins and their policies.
type ConfigErrors struct{ problems document.Errors }

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
		return &ConfigErrors{problems}
	}
	return err
}
