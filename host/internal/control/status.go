package control

import (
	"context"
	"time"
)

// Host is what the listener shows and drives.
type Host interface {
	// Status is called for each request that shows it.
	Status() Status
	// Reload loads everything again and swaps it in, or says why not and changes nothing.
	Reload(ctx context.Context) error
}

// Status is what a host serves and what it refused. No field holds a secret.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Ready is false before the first snapshot and while the host drains.
	Ready bool `json:"ready"`
	// Parts say what is ready and what is not, in the host's order.
	Parts        []Part        `json:"parts"`
	Snapshot     Snapshot      `json:"snapshot"`
	LastReload   Reload        `json:"last_reload"`
	APIs         []API         `json:"apis"`
	Policies     []Policy      `json:"policies"`
	Certificates []Certificate `json:"certificates"`
	// Warnings are what was loaded but is not as it looks.
	Warnings []string `json:"warnings,omitempty"`
}

// Part is one thing that readiness depends on, such as config, certificates or plugins.
type Part struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Detail is why it is not ready, or what was refused while the old state serves on.
	Detail string `json:"detail,omitempty"`
}

// Snapshot is what serves now.
type Snapshot struct {
	Digest string    `json:"digest"`
	Loaded time.Time `json:"loaded"`
	Routes int       `json:"routes"`
}

// Reload is how the last load ended; Error is empty when it succeeded.
type Reload struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error,omitempty"`
}

// API is one API that is served.
type API struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Protocol string   `json:"protocol"`
	Stage    string   `json:"stage"`
	Domains  []string `json:"domains,omitempty"`
	BasePath string   `json:"base_path,omitempty"`
	Routes   int      `json:"routes"`
	File     string   `json:"file"`
}

// Policy is one plugin with one config.
type Policy struct {
	Plugin string `json:"plugin"`
	// Digest is the SHA-256 of the module, "sha256:" and hex.
	Digest string `json:"digest"`
	// Source is where the module comes from: "built-in", a file, or the policy's source.
	Source string `json:"source,omitempty"`
	// Signer is the id of the key whose signature was verified; empty when none was.
	Signer string   `json:"signer,omitempty"`
	Hooks  []string `json:"hooks"`
	// Capabilities are the import modules that the plugin was granted.
	Capabilities []string `json:"capabilities,omitempty"`
	// Isolation is pooled or fresh.
	Isolation string `json:"isolation"`
	// Bound is where it is bound: "gateway", an API's id, or that and a route's key.
	Bound string `json:"bound"`
}

// Certificate is the state of one.
type Certificate struct {
	Names    []string   `json:"names"`
	NotAfter *time.Time `json:"not_after,omitempty"` // nil when there is none yet
	Source   string     `json:"source"`
	Error    string     `json:"error,omitempty"`
}
