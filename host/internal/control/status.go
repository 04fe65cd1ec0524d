package control

import (
	"context"
	"time"

	"github.com/wasmgate/wasmgate/host/model"
)

// Host is what the listener shows and drives.
type Host interface {
	// Status is called for each request that shows it.
	Status() Status
	// Reload loads everything again and swaps it in, or says why not and changes nothing.
	Reload(ctx context.Context) error
	// Review is every policy with all that it may do.
	Review() Review
	// Record puts a call that changes something into the audit log, before it is done. What
	// cannot be recorded is not done.
	Record(remote, method, path string) error
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
	Audit        Audit         `json:"audit"`
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

// Audit is the state of the audit log.
type Audit struct {
	File string `json:"file"`
	// Instance is the random id of the log's first line.
	Instance string `json:"instance"`
	// Head is the last line, SEQ:HASH.
	Head string `json:"head"`
	// Error is why nothing can be recorded, and so no configuration changed, now; empty when
	// the last line was written.
	Error string `json:"error,omitempty"`
}

// Review is what a reviewer must know of the running configuration.
type Review struct {
	Snapshot string           `json:"snapshot"` // its digest
	Audit    *Audit           `json:"audit,omitempty"`
	Policies []ReviewedPolicy `json:"policies"`
}

// ReviewedPolicy is one policy with all that it may do. Secrets are there by name only.
type ReviewedPolicy struct {
	Plugin  string `json:"plugin"`
	Version string `json:"version,omitempty"` // as the manifest says
	Digest  string `json:"digest"`            // "sha256:" and hex
	// Source is "built-in", or where the module came from.
	Source string `json:"source"`
	// Signer is whose signature the operator's rule accepted; empty is none.
	Signer string `json:"signer,omitempty"`
	// ABI is the other project's whose plugin it is; empty is our own.
	ABI   string   `json:"abi,omitempty"`
	Hooks []string `json:"hooks"`
	// Powers say what its imports let it do, and Grants how far that reaches.
	Powers []string     `json:"powers"`
	Grants model.Grants `json:"grants"`
	// Fuel is of one call, in instructions; Memory of one instance, in bytes; Instances at once.
	Fuel      uint64 `json:"fuel"`
	Memory    uint64 `json:"memory"`
	Instances int    `json:"instances"`
	Isolation string `json:"isolation"`
	OnError   string `json:"on_error"`
	// Record is what of its calls is recorded, requests of clients among it; nil is nothing.
	Record *ReviewedRecord `json:"record,omitempty"`
	// Bound is "gateway", ids of APIs, or such an id with the key of a route.
	Bound []string `json:"bound"`
}

// ReviewedRecord is how a policy's calls are recorded.
type ReviewedRecord struct {
	Sample       float64  `json:"sample"` // share of the calls, from 0 to 1
	MaxPerMinute int      `json:"max_per_minute"`
	Redact       []string `json:"redact,omitempty"`
	Reveal       []string `json:"reveal,omitempty"`
}

// Certificate is the state of one.
type Certificate struct {
	Names    []string   `json:"names"`
	NotAfter *time.Time `json:"not_after,omitempty"` // nil when there is none yet
	Source   string     `json:"source"`
	Error    string     `json:"error,omitempty"`
}
